from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.algorithms import native
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.lists import topk
from nextup.algorithms.native import twins
from nextup.domain.errors import InvalidInput


@pytest.fixture(params=["compiled", "twins"], autouse=True, scope="module")
def backend(request):
    """Run everything with the compiled kernels and with their twins."""
    kernels = native.compiled() if request.param == "compiled" else twins
    if kernels is None:
        pytest.skip("the kernels were not compiled")
    patch = pytest.MonkeyPatch()
    patch.setattr(native, "kernels", kernels)
    yield request.param
    patch.undo()


def by_sorting(scores: np.ndarray, limit: int, excluded=()) -> tuple[list[int], list[float]]:
    """The definition: sort all by score, then index."""
    left = [i for i in range(len(scores)) if i not in set(excluded) and np.isfinite(scores[i])]
    left = sorted(left, key=lambda i: (-scores[i], i))[:limit]
    return left, [float(scores[i]) for i in left]


scores_of_one = st.lists(
    st.sampled_from([-np.inf, -2.5, -1.0, -0.0, 0.0, 0.5, 1.0, 7.0, np.nan, np.inf]), max_size=400
)


@settings(deadline=None)
@given(scores_of_one, st.integers(1, 60), st.sets(st.integers(0, 399)))
def test_the_best_of_one_are_those_of_a_full_sort(scores, limit, excluded):
    """Ties go to the lower index; excluded and infinite scores are no candidates."""
    row = np.array(scores, np.float32)
    excluded = [item for item in excluded if item < len(row)]
    found = topk.best(row, limit, excluded=excluded)
    items, values = by_sorting(row, limit, excluded)
    assert found.items.tolist() == items
    assert found.scores.tolist() == values


def test_many_rows_leave_out_what_each_has_seen():
    """Row by row the answer is that of the full sort, short rows padded with -1 and -inf."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (30, 25)).astype(np.float32)
    seen = Interactions.from_pairs(
        np.r_[rng.integers(0, 30, 200), np.zeros(25, int)],
        np.r_[rng.integers(0, 25, 200), np.arange(25)],
        n_users=30,
        n_items=25,
    )
    for limit in (1, 7, 40):
        ranking = topk.best_of_rows(scores, limit, seen=seen)
        for row in range(30):
            items, values = by_sorting(scores[row], limit, seen.history(row).items.tolist())
            assert ranking.items[row].tolist() == items + [-1] * (limit - len(items))
            assert ranking.scores[row].tolist() == values + [-np.inf] * (limit - len(items))


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 140), st.integers(0, 300), st.integers(1, 40), st.integers(1, 30), st.integers()
)
def test_products_are_ranked_like_the_product_matrix(people, n_items, factors, limit, seed):
    """Ranking from factors is exact: the same as from all scores, ties included."""
    rng = np.random.default_rng(abs(seed))
    queries = rng.integers(-2, 3, (people, factors)).astype(np.float32)
    items = rng.integers(-2, 3, (n_items, factors)).astype(np.float32)
    pairs = 4 * people if n_items else 0
    seen = Interactions.from_pairs(
        rng.integers(0, max(people, 1), pairs),
        rng.integers(0, max(n_items, 1), pairs),
        n_users=people,
        n_items=n_items,
    )
    ours = topk.best_products(queries, items, limit, seen=seen)
    plain = topk.best_of_rows(queries @ items.T, limit, seen=seen)
    assert np.array_equal(ours.items, plain.items)
    assert np.array_equal(ours.scores, plain.scores)


def test_real_products_are_ranked_to_rounding():
    """With vectors of very different lengths no list misses an item that belongs on it."""
    rng = np.random.default_rng(1)
    items = rng.standard_normal((5000, 48)).astype(np.float32)
    items *= rng.lognormal(0, 1, (5000, 1)).astype(np.float32)
    queries = rng.standard_normal((70, 48)).astype(np.float32)
    ranking = topk.best_products(queries, items, 20, threads=3)
    exact = queries.astype(float) @ items.T.astype(float)
    expected = np.sort(exact, axis=1)[:, ::-1][:, :20]
    assert np.take_along_axis(exact, ranking.items, 1) == pytest.approx(expected, rel=1e-5)
    assert ranking.scores == pytest.approx(expected, rel=1e-5)


def test_what_does_not_fit_is_refused():
    """Lengths that differ, lists of no length and unknown items are refused in words."""
    scores = np.zeros((2, 3), np.float32)
    seen = Interactions.from_pairs([], [], n_users=2, n_items=4)
    with pytest.raises(InvalidInput, match="2 people x 4"):
        topk.best_of_rows(scores, 1, seen=seen)
    with pytest.raises(InvalidInput, match="factors"):
        topk.best_products(scores, np.zeros((2, 5), np.float32), 1)
    with pytest.raises(InvalidInput, match="at least one"):
        topk.best(scores[0], 0)
    with pytest.raises(InvalidInput, match="excluded"):
        topk.best(scores[0], 1, excluded=[3])

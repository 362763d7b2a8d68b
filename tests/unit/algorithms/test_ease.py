from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models import ease
from nextup.algorithms.models.ease import Ease
from nextup.algorithms.models.sparse_ease import SparseEase, SparseEaseModel
from nextup.domain.errors import InvalidInput


def random_touches(n_users, n_items, n, seed=0):
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(
        rng.integers(0, n_users, n),
        rng.integers(0, n_items, n),
        rng.integers(1, 4, n),
        n_users=n_users,
        n_items=n_items,
    )


def reference(data, regularization, *, weighted=False):
    """The closed form as in the paper, dense and in float64."""
    x = np.zeros((data.n_users, data.n_items))
    x[data.users(), data.items] = data.weights if weighted else 1
    inverse = np.linalg.inv(x.T @ x + regularization * np.eye(data.n_items))
    weights = -inverse / np.diagonal(inverse)[None, :]
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(60, 20), (15, 40)])  # by items, and by people
def test_the_closed_form_is_that_of_the_paper(shape, weighted):
    """Weights equal a dense float64 reference, inverted on either side."""
    data = random_touches(*shape, 200)
    model = Ease(regularization=3.0, weighted=weighted).fit(data)
    assert model.weights == pytest.approx(reference(data, 3.0, weighted=weighted), abs=1e-5)


def test_blocks_change_nothing(monkeypatch):
    """Small blocks give the weights of one."""
    data = random_touches(15, 40, 200)
    whole = Ease().fit(data).weights
    monkeypatch.setattr(ease, "BLOCK", 7)
    assert Ease().fit(data).weights == pytest.approx(whole, abs=1e-6)


def test_single_precision_stays_close(monkeypatch):
    """Larger problems are solved in float32, to about five digits."""
    monkeypatch.setattr(ease, "DOUBLE_UP_TO", 10)
    data = random_touches(300, 80, 4000)
    model = Ease(regularization=50.0).fit(data)
    assert model.weights == pytest.approx(reference(data, 50.0), abs=1e-5)


def test_a_large_catalogue_gets_the_sparse_form():
    """Above the bound the sparse model is fitted, and says so by its name."""
    model = Ease(exact_up_to=10).fit(random_touches(30, 20, 100))
    assert isinstance(model, SparseEaseModel)
    assert model.name == "sparse_ease"


def test_checkerboard_neighbours_are_of_the_same_colour():
    """People who like even items and people who like odd ones are told apart."""
    pairs = [(u, i) for u in range(20) for i in range(10) if (u + i) % 2 == 0 and (u, i) != (0, 8)]
    users, items = zip(*pairs, strict=True)
    data = Interactions.from_pairs(users, items, n_users=20, n_items=10)
    for component in (Ease(regularization=1.0), SparseEase(regularization=1.0)):
        model = component.fit(data)
        assert model.rank(data, 1).items[0].tolist() == [8]
        assert all(item % 2 == 0 for item in model.similar(0, 4).items)


@pytest.mark.parametrize("settings", [{"regularization": 0.0}, {"regularization": float("nan")}])
def test_no_regularisation_is_refused(settings):
    """Without regularisation there may be no inverse: refused at once, in both forms."""
    for component in (Ease, SparseEase):
        with pytest.raises(InvalidInput, match="regularization"):
            component(**settings)


@pytest.mark.parametrize("component", [Ease, SparseEase])
def test_what_was_touched_lately_counts_more(component):
    """Each place further back counts a share of the next; what is learned stays the same."""
    users, items = np.nonzero(np.random.default_rng(3).random((40, 12)) < 0.5)
    times = np.random.default_rng(4).permutation(len(users))
    data = Interactions.from_pairs(users, items, None, times, n_users=40, n_items=12)
    plain, fading = (
        component(regularization=5.0, place_decay=decay).fit(data) for decay in (1.0, 0.5)
    )
    weights = plain.weights if component is Ease else plain.weights.toarray()
    history = data.history(7)  # the newest comes last
    share = 0.5 ** np.arange(len(history))[::-1]
    assert fading.score(history) == pytest.approx(share @ weights[history.items], abs=1e-5)
    assert fading.score_many(data)[7] == pytest.approx(fading.score(history), abs=1e-5)
    assert not np.allclose(fading.score(history), plain.score(history))


@pytest.mark.parametrize("place_decay", [0.0, 1.5])
def test_a_place_counts_neither_nothing_nor_more_than_the_next(place_decay):
    """A decay outside its range is refused at once, in both forms."""
    for component in (Ease, SparseEase):
        with pytest.raises(InvalidInput, match="place_decay"):
            component(place_decay=place_decay)


def test_with_all_neighbours_the_sparse_form_is_exact():
    """If every item may explain every other, the sparse form is EASE, where items co-occur."""
    data = random_touches(200, 12, 1500)
    exact = Ease(regularization=5.0).fit(data).weights
    local = SparseEase(regularization=5.0, neighbours=12, threads=1).fit(data).weights
    assert local.toarray() == pytest.approx(exact, abs=1e-5)


def test_a_column_is_the_ridge_regression_on_its_neighbours():
    """With few neighbours each column solves the small regression on exactly those."""
    data = random_touches(60, 15, 300)
    weights = SparseEase(regularization=4.0, neighbours=3).fit(data).weights.toarray()
    x = np.zeros((60, 15))
    x[data.users(), data.items] = 1
    for item in range(15):
        near = np.flatnonzero(weights[:, item])
        assert len(near) <= 3
        gram = x[:, near].T @ x[:, near] + 4.0 * np.eye(len(near))
        assert weights[near, item] == pytest.approx(
            np.linalg.solve(gram, x[:, near].T @ x[:, item]), abs=1e-5
        )


def test_an_item_without_company_has_no_weights():
    """An item nobody touched with another is similar to nothing."""
    data = Interactions.from_pairs([0, 1, 1], [0, 1, 2], n_users=2, n_items=4)
    model = SparseEase().fit(data)
    assert model.similar(0, 3).items.tolist() == []
    assert model.similar(3, 3).items.tolist() == []
    assert model.similar(1, 3).items.tolist() == [2]

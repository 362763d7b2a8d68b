from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms import components, native
from nextup.algorithms.interactions import History, Interactions
from nextup.algorithms.models.item_item import ItemItem, ItemItemModel
from nextup.algorithms.native import twins
from nextup.domain.errors import InvalidInput


@pytest.fixture(params=["compiled", "twins"], autouse=True)
def backend(request, monkeypatch):
    """Run everything with the compiled kernels and with their twins."""
    kernels = native.compiled() if request.param == "compiled" else twins
    if kernels is None:
        pytest.skip("the kernels were not compiled")
    for module in (native, native.sparse):
        monkeypatch.setattr(module, "kernels", kernels)
    return request.param


def random_touches(seed=0) -> Interactions:
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(
        rng.integers(0, 49, 600),  # the last person has touched nothing
        rng.integers(0, 34, 600),  # nobody has touched the last item
        rng.uniform(0.3, 3, 600),
        n_users=50,
        n_items=35,
    )


def dense(touches: Interactions) -> np.ndarray:
    matrix = np.zeros((touches.n_users, touches.n_items))
    matrix[touches.users(), touches.items] = touches.weights
    return matrix


def bm25(matrix: np.ndarray, k1=1.2, b=0.75) -> np.ndarray:
    """The formula, with people as the words and items as the documents."""
    rarity = np.log1p(matrix.shape[1] / (1 + (matrix > 0).sum(axis=1)))[:, None]
    lengths = matrix.sum(axis=0)
    norm = k1 * (1 - b + b * lengths / lengths.mean())
    return rarity * matrix * (k1 + 1) / (norm + matrix)


def cosine(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.maximum(np.linalg.norm(matrix, axis=0), 1e-30)


@pytest.mark.parametrize(("weighting", "formula"), [("bm25", bm25), ("cosine", cosine)])
def test_similarities_are_those_of_the_formula(weighting, formula):
    """Each item's list holds the largest entries of the dense similarity matrix."""
    touches = random_touches()
    model = ItemItem(weighting=weighting, neighbours=6).fit(touches)
    weighted = formula(dense(touches))
    similarity = weighted.T @ weighted
    np.fill_diagonal(similarity, 0)
    for item in range(34):
        found = model.similar(item, 6)
        assert item not in found.items
        assert found.scores == pytest.approx(np.sort(similarity[item])[::-1][:6], rel=1e-4)
        assert similarity[item][found.items] == pytest.approx(found.scores, rel=1e-4)
    assert len(model.similar(34, 6).items) == 0


def test_a_score_is_the_sum_of_its_parts():
    """Scores, contributions and rankings tell the same story."""
    touches = random_touches()
    model = ItemItem(neighbours=9).fit(touches)
    every = np.arange(35, dtype=np.int32)
    ranking, everything = model.rank(touches, 35), model.rank(touches, 4, exclude_seen=False)
    for user in range(50):
        history = touches.history(user)
        scores = model.score(history)
        assert model.contributions(history, every).sum(axis=0) == pytest.approx(scores, abs=1e-4)
        unseen = np.setdiff1d(every, history.items)
        found = ranking.items[user]
        assert np.array_equal(np.sort(found[: len(unseen)]), unseen)
        assert (found[len(unseen) :] == -1).all()
        assert ranking.scores[user][: len(unseen)] == pytest.approx(
            np.sort(scores[unseen])[::-1], abs=1e-4
        )
        assert everything.scores[user] == pytest.approx(np.sort(scores)[::-1][:4], abs=1e-4)


@pytest.mark.parametrize("weighting", ["bm25", "cosine"])
def test_a_checkerboard_is_completed(weighting):
    """Neighbours are of one colour, and people are offered theirs first."""
    users, items = np.nonzero(np.add.outer(np.arange(40), np.arange(20)) % 2 == 0)
    known = np.random.default_rng(0).random(len(users)) < 0.6
    touches = Interactions.from_pairs(users[known], items[known], n_users=40, n_items=20)
    model = ItemItem(weighting=weighting).fit(touches)
    for item in range(20):
        assert ((model.similar(item, 20).items + item) % 2 == 0).all()
    ranking = model.rank(touches, 3)
    for user in range(40):
        missing = [
            i for i in range(20) if (user + i) % 2 == 0 and i not in touches.history(user).items
        ]
        found = ranking.items[user][: len(missing)]
        assert ((found + user) % 2 == 0).all()


def test_a_saved_model_ranks_identically(tmp_path):
    """Read back, memory-mapped and read-only, the model gives the same bits."""
    touches = random_touches()
    model = ItemItem(neighbours=7).fit(touches)
    for name, array in model.arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in tmp_path.glob("*.npy")}
    loaded = ItemItemModel.from_arrays(arrays)
    for ours, other in zip(model.rank(touches, 9), loaded.rank(touches, 9), strict=True):
        assert np.array_equal(ours, other)
    assert np.array_equal(model.score(touches.history(1)), loaded.score(touches.history(1)))


def test_threads_do_not_change_the_model():
    """One thread and four give the same bits."""
    touches = random_touches()
    one, four = (ItemItem(threads=threads).fit(touches) for threads in (1, 4))
    assert np.array_equal(one.neighbours, four.neighbours)
    assert np.array_equal(one.similarities, four.similarities)


@pytest.mark.parametrize(("n_users", "n_items"), [(1, 1), (1, 6), (6, 1)])
def test_the_smallest_data_is_learned(n_users, n_items):
    """One person or one item: no neighbours, scores of zero, lists by index."""
    touches = Interactions.from_pairs([0], [0], n_users=n_users, n_items=n_items)
    model = ItemItem().fit(touches)
    assert len(model.similar(0, 3).items) == 0
    assert not model.score(touches.history(0)).any()
    assert model.rank(touches, 2).items[0].tolist() == [i if i < n_items else -1 for i in (1, 2)]


def test_what_cannot_be_used_is_refused():
    """Nothing to learn from, unknown items and wrong settings are refused in words."""
    with pytest.raises(InvalidInput, match="nothing to learn"):
        ItemItem().fit(Interactions.from_pairs([], [], n_users=4, n_items=4))
    for wrong in ({"weighting": "tfidf"}, {"neighbours": 0}, {"length_share": 2.0}):
        with pytest.raises(InvalidInput):
            ItemItem(**wrong)
    model = ItemItem().fit(random_touches())
    stranger = History(np.array([35], np.int32), np.ones(1, np.float32), np.zeros(1, np.int64))
    with pytest.raises(InvalidInput):
        model.score(stranger)
    with pytest.raises(InvalidInput):
        model.similar(35, 2)
    empty = History(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert not model.score(empty).any()


def test_the_model_has_the_optional_abilities():
    """Ranking everyone, finding the similar and explaining are recognised by their protocols."""
    model = ItemItem().fit(random_touches())
    for ability in (components.RanksEveryone, components.FindsSimilar, components.Explains):
        assert isinstance(model, ability)

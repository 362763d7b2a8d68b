"""The blend of many models' lists, held against a dense reference that anybody can check."""

from __future__ import annotations

from typing import ClassVar

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.lists import fusion
from nextup.algorithms.lists.fusion import fuse, fuse_blocks
from nextup.algorithms.models.popularity import PopularityModel
from nextup.domain.errors import InvalidInput

TINY = np.finfo(np.float32).tiny


class Dense:
    """A linear model with every number in sight; it ranks one person after another."""

    name: ClassVar[str] = "dense"

    def __init__(self, likeness) -> None:
        self.likeness = np.asarray(likeness, np.float32)  # (n_items, n_items)

    @property
    def n_items(self):
        return len(self.likeness)

    def score(self, history):
        return history.weights @ self.likeness[history.items]

    def arrays(self):
        return {"likeness": self.likeness}

    @classmethod
    def from_arrays(cls, arrays):
        return cls(arrays["likeness"])


def reference(models, weights, people, limit, candidates, unwanted=()):
    """Item, score and source of every place, person by person and item by item."""
    names = [name for name in models if weights.get(name, 0) > 0]
    lists = []
    for user in range(people.n_users):
        history = people.history(user)
        parts = np.zeros((len(names), people.n_items), np.float32)
        for row, name in enumerate(names):
            scores = np.asarray(models[name].score(history), np.float32).copy()
            scores[history.items] = -np.inf
            order = np.argsort(-scores, kind="stable")[: max(candidates, limit)]
            best = max(scores[order[0]], TINY)
            for item in order:
                share = max(scores[item], np.float32(0)) / best
                parts[row, item] = weights[name] * share
        total = np.float32(0)
        for part in parts:
            total = total + part
        banned = {int(pair) % people.n_items for pair in unwanted if pair // people.n_items == user}
        order = [
            int(item)
            for item in np.argsort(-total, kind="stable")
            if total[item] > 0 and item not in banned
        ]
        lists.append([(i, total[i], int(parts[:, i].argmax())) for i in order[:limit]])
    return lists


def listed(fused):
    """The same shape as `reference`; what fills a short row is left out."""
    rows = zip(fused.ranking.items, fused.ranking.scores, fused.sources, strict=True)
    return [[(int(i), s, int(o)) for i, s, o in zip(*row, strict=True) if i >= 0] for row in rows]


def world(seed, people=7, n_items=9, touches=25):
    """Whole numbers, so that ties are many; some scores are negative."""
    rng = np.random.default_rng(seed)
    models = {
        "first": Dense(rng.integers(-2, 4, (n_items, n_items))),
        "second": Dense(rng.integers(-1, 3, (n_items, n_items))),
        "floor": PopularityModel(rng.integers(0, 5, n_items).astype(np.float32)),
    }
    interactions = Interactions.from_pairs(
        rng.integers(0, people, touches),
        rng.integers(0, n_items, touches),
        n_users=people,
        n_items=n_items,
    )
    return models, interactions


WEIGHTS = {"first": 0.6, "second": 0.3, "floor": 0.02}


@hypothesis.settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    limit=st.integers(1, 12),
    candidates=st.integers(1, 12),
    weights=st.fixed_dictionaries(
        {name: st.sampled_from([0.0, 0.02, 0.3, 1.0]) for name in WEIGHTS}
    ).filter(lambda weights: any(weights.values())),
    banned=st.sets(st.integers(0, 62), max_size=20),
)
def test_it_is_the_weighted_sum_of_shares(seed, limit, candidates, weights, banned):
    """Lists, scores and sources are those of the reference, ties and banned pairs included."""
    models, people = world(seed)
    unwanted = np.array(sorted(banned), np.int64)
    fused = fuse(models, weights, people, limit, candidates=candidates, unwanted=unwanted)
    assert listed(fused) == reference(models, weights, people, limit, candidates, unwanted)


@pytest.mark.parametrize("people_at_once", [1, 2, 3, 100])
def test_blocks_do_not_change_results(monkeypatch, people_at_once):
    """However few people are held in memory at a time, everybody's list stays the same."""
    models, people = world(5)
    unwanted = np.array([1, 12, 13, 40, 62], np.int64)
    whole = fuse(models, WEIGHTS, people, 4, candidates=6, unwanted=unwanted)
    monkeypatch.setattr(fusion, "BLOCK", people_at_once)
    parts = list(fuse_blocks(models, WEIGHTS, people, 4, 6, unwanted))
    assert sum(len(part.sources) for part in parts) == people.n_users
    again = fuse(models, WEIGHTS, people, 4, candidates=6, unwanted=unwanted)
    for one, other in zip(
        (*whole.ranking, whole.sources), (*again.ranking, again.sources), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_models_scale_does_not_matter():
    """A model counts by its weight, not by how large its scores happen to be."""
    models, people = world(3)
    louder = models | {"first": Dense(models["first"].likeness * 1024)}
    quiet, loud = (fuse(m, WEIGHTS, people, 5, candidates=9) for m in (models, louder))
    np.testing.assert_array_equal(quiet.ranking.items, loud.ranking.items)
    np.testing.assert_array_equal(quiet.ranking.scores, loud.ranking.scores)


def test_one_model_alone_keeps_its_order():
    """Blending one model gives its own ranking, with the best item at the model's weight."""
    models, people = world(11)
    fused = fuse({"floor": models["floor"]}, {"floor": 0.5}, people, 9, candidates=9)
    scores = models["floor"].scores
    for row, places in zip(fused.ranking.items, fused.ranking.scores, strict=True):
        found = scores[row[row >= 0]]
        assert (np.diff(found) <= 0).all()
        assert places[0] == np.float32(0.5)


def test_the_source_is_who_gave_most():
    """Each place names the model with the largest part, and -1 where there is no item."""
    first = Dense([[0, 4, 1, 0], *[[0] * 4] * 3])
    second = Dense([[0, 1, 4, 0], *[[0] * 4] * 3])
    people = Interactions.from_pairs([0], [0], n_users=1, n_items=4)
    fused = fuse(
        {"first": first, "second": second}, {"first": 1.0, "second": 0.9}, people, 4, candidates=4
    )
    assert fused.ranking.items.tolist() == [[1, 2, -1, -1]]
    assert fused.sources.tolist() == [[0, 1, -1, -1]]


def test_what_was_seen_or_is_unwanted_is_never_listed():
    """Neither a person's own items nor the pairs one bans come back, for that person only."""
    models, people = world(8)
    unwanted = np.array([0 * 9 + 3, 2 * 9 + 3], np.int64)
    fused = fuse(models, WEIGHTS, people, 9, candidates=9, unwanted=unwanted)
    plain = fuse(models, WEIGHTS, people, 9, candidates=9)
    for user, row in enumerate(fused.ranking.items):
        assert not set(row[row >= 0]) & set(people.history(user).items)
        gone = set(plain.ranking.items[user]) - set(row)
        assert gone <= ({3, -1} if user in {0, 2} else set())
    assert 3 not in fused.ranking.items[0]
    assert 3 not in fused.ranking.items[2]


def test_a_person_without_history_gets_what_models_say_of_nobody():
    """Linear models say nothing about a stranger; popularity still fills the list."""
    models, _ = world(2)
    nobody = Interactions.from_pairs([], [], n_users=2, n_items=9)
    fused = fuse(models, WEIGHTS, nobody, 3, candidates=9)
    assert set(fused.sources.ravel().tolist()) <= {2, -1}
    assert (fused.ranking.items[0] == fused.ranking.items[1]).all()


def test_nobody_gets_no_lists():
    """Without people the result is empty and still has its columns."""
    models, _ = world(1)
    fused = fuse(
        models, WEIGHTS, Interactions.from_pairs([], [], n_users=0, n_items=9), 3, candidates=9
    )
    assert fused.ranking.items.shape == fused.ranking.scores.shape == fused.sources.shape == (0, 3)
    assert fused.ranking.items.dtype == np.int32


@pytest.mark.parametrize("weights", [{}, {"first": 0.0}, {"another": 1.0}])
def test_a_blend_of_nothing_is_refused(weights):
    """Lists of no model would be empty, so this is an error that says what to set."""
    models, people = world(1)
    with pytest.raises(InvalidInput, match=r"No model has a weight.*\[blend\]"):
        fuse(models, weights, people, 3, candidates=9)

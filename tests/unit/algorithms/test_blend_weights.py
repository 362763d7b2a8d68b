from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation.metrics import ndcg
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.lists.fusion import fuse
from nextup.algorithms.lists.topk import best_of_rows
from nextup.algorithms.models.blend_weights import blends_of_rankings
from nextup.domain.errors import InvalidInput

PEOPLE, ITEMS = 60, 40


class Listing:
    """A model that says what it was told to say."""

    name = "listing"
    n_items = ITEMS

    def __init__(self, ranking):
        self.ranking = ranking

    def rank(self, interactions, limit, *, exclude_seen=True):
        return self.ranking


def world(seed):
    """Two models that each know half of what people want, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    truth = Interactions.from_pairs(
        np.repeat(np.arange(PEOPLE), 4),
        rng.integers(0, ITEMS, 4 * PEOPLE),
        n_users=PEOPLE,
        n_items=ITEMS,
    )
    wanted = np.zeros((PEOPLE, ITEMS), np.float32)
    wanted[truth.users(), truth.items] = 1
    half = rng.random((PEOPLE, ITEMS)) < 0.5
    noise = rng.random((3, PEOPLE, ITEMS)).astype(np.float32)
    scores = [noise[0] + wanted * half, noise[1] + wanted * ~half, noise[2]]
    return [best_of_rows(score, 30) for score in scores], truth


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_quality_found_is_that_of_the_blend_served(seed):
    """Fusing the lists with the weights found gives the NDCG that the search reported."""
    lists, truth = world(seed)
    nothing = Interactions.from_pairs([], [], n_users=PEOPLE, n_items=ITEMS)
    for step in blends_of_rankings(lists, truth, cutoff=5, depth=30):
        models = {str(n): Listing(one) for n, one in enumerate(lists)}
        weights = {str(n): weight for n, weight in enumerate(step.weights)}
        fused = fuse(models, weights, nothing, 5, candidates=30)
        assert ndcg(fused.ranking, truth, 5).mean() == pytest.approx(step.ndcg, abs=0.01)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_two_halves_are_found_to_be_better_than_one(seed):
    """The best alone comes first, each step is better, and both that know something are used."""
    lists, truth = world(seed)
    steps = blends_of_rankings(lists, truth, cutoff=5)
    assert steps[0].ndcg == pytest.approx(max(steps[0].alone))
    assert [step.ndcg for step in steps] == sorted({step.ndcg for step in steps})
    assert steps[-1].weights[0] > 0
    assert steps[-1].weights[1] > 0


def test_a_list_that_says_nothing_is_left_out():
    """Empty lists and lists without positive scores get no weight."""
    lists, truth = world(3)
    empty = Ranking(np.full((PEOPLE, 5), -1, np.int32), np.full((PEOPLE, 5), -np.inf, np.float32))
    steps = blends_of_rankings([*lists, empty], truth, cutoff=5)
    assert steps[-1].weights[3] == 0


def test_nobody_to_ask_is_an_error():
    """Without lists, or without truth, there is nothing to find."""
    lists, truth = world(0)
    nothing = Interactions.from_pairs([], [], n_users=PEOPLE, n_items=ITEMS)
    with pytest.raises(InvalidInput):
        blends_of_rankings([], truth)
    with pytest.raises(InvalidInput):
        blends_of_rankings(lists, nothing)

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.lists.exploration import explore, newness, self_normalised_estimate
from nextup.domain.errors import InvalidInput

RANKED = np.array([1, 2, 3, 4], np.int32)


def test_without_exploring_the_list_is_the_ranking():
    """A share of nothing shows the ranked items, each for certain."""
    shown = explore(RANKED, np.array([8, 9]), 3, share=0.0, rng=np.random.default_rng(0))
    assert shown.items.tolist() == [1, 2, 3]
    assert shown.propensities.tolist() == [1, 1, 1]
    assert not shown.explored.any()


@given(
    st.lists(st.integers(0, 9), unique=True, max_size=6),
    st.lists(st.integers(0, 9), unique=True, max_size=6),
    st.integers(1, 8),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_every_list_is_whole(ranked, pool, limit, share, seed):
    """No item twice, nothing from elsewhere, and every propensity in (0, 1]."""
    rng = np.random.default_rng(seed)
    shown = explore(np.array(ranked, int), np.array(pool, int), limit, share=share, rng=rng)
    items = shown.items.tolist()
    assert len(items) == len(set(items))
    assert set(items) <= set(ranked) | set(pool)
    assert len(items) <= limit
    assert ((shown.propensities > 0) & (shown.propensities <= 1 + 1e-12)).all()
    if share < 1 or not pool:
        assert len(items) >= min(limit, len(ranked))


def test_the_logged_propensity_is_how_often_it_happens():
    """Over many draws each item's frequency, given the places before, is its propensity."""
    rng = np.random.default_rng(5)
    pool, weights = np.array([2, 9]), np.array([1.0, 3.0])  # 2 is ranked as well as new
    seen, logged = defaultdict(Counter), {}
    for _ in range(8000):
        shown = explore(RANKED, pool, 2, share=0.4, rng=rng, pool_weights=weights)
        first, second = shown.items.tolist()
        seen[()][first] += 1
        seen[(first,)][second] += 1
        logged[(), first] = shown.propensities[0]
        logged[(first,), second] = shown.propensities[1]
    for before, counts in seen.items():
        total = counts.total()
        assert sum(logged[before, item] for item in counts) == pytest.approx(1, abs=0.02)
        for item, count in counts.items():
            assert logged[before, item] == pytest.approx(count / total, abs=0.05)


def test_the_same_generator_gives_the_same_list():
    """A list can be drawn again from its seed."""
    draws = [
        explore(RANKED, np.arange(10, 20), 4, share=0.5, rng=np.random.default_rng(7))
        for _ in range(2)
    ]
    assert draws[0].items.tolist() == draws[1].items.tolist()


def test_an_estimate_finds_what_the_other_policy_earns():
    """From a logged uniform choice of two, always choosing the better one is estimated right."""
    rng = np.random.default_rng(2)
    choice = rng.integers(0, 2, 4000)
    reward = rng.random(4000) < np.where(choice == 1, 0.8, 0.2)
    estimate = self_normalised_estimate(
        reward.astype(float), np.full(4000, 0.5), (choice == 1).astype(float)
    )
    assert estimate == pytest.approx(0.8, abs=0.03)


def test_new_items_weigh_more():
    """Weights fall with the touches an item has had."""
    assert newness(np.array([0, 1, 3])).tolist() == [1, 0.5, 0.25]


def test_what_makes_no_sense_is_refused():
    """Shares, limits, weights and propensities outside their range are refused."""
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInput):
        explore(RANKED, RANKED, 1, share=1.5, rng=rng)
    with pytest.raises(InvalidInput):
        explore(RANKED, RANKED, 0, share=0.5, rng=rng)
    with pytest.raises(InvalidInput, match="weight"):
        explore(RANKED, RANKED, 1, share=0.5, rng=rng, pool_weights=np.array([-1.0, 1, 1, 1]))
    with pytest.raises(InvalidInput, match="propensity"):
        self_normalised_estimate(np.ones(1), np.zeros(1))
    with pytest.raises(InvalidInput):
        self_normalised_estimate(np.ones(0), np.ones(0))
    with pytest.raises(InvalidInput, match="none"):
        self_normalised_estimate(np.ones(1), np.ones(1), np.zeros(1))

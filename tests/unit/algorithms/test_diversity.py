from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.lists.diversity import (
    calibrated,
    determinantal,
    divergence,
    genre_shares,
    maximal_marginal_relevance,
)
from nextup.domain.errors import InvalidInput

TWINS = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], float)  # 0 and 1 are the same, 2 is not
WORTH = np.array([1.0, 0.9, 0.5])


@pytest.mark.parametrize("choose", [maximal_marginal_relevance, determinantal])
def test_a_twin_waits(choose):
    """The twin of the first place comes after something different, if diversity is wanted."""
    assert choose(WORTH, TWINS, 3, diversity=0.5).tolist() == [0, 2, 1]


@pytest.mark.parametrize("choose", [maximal_marginal_relevance, determinantal])
@given(
    relevance=st.lists(st.floats(0, 10, width=32), min_size=1, max_size=8),
    limit=st.integers(1, 10),
)
def test_without_diversity_relevance_decides(choose, relevance, limit):
    """Diversity 0 is the order of relevance; every candidate comes at most once."""
    values = np.array(relevance)
    chosen = choose(values, np.eye(len(values)), limit, diversity=0.0)
    assert len(set(chosen.tolist())) == len(chosen) == min(limit, len(values))
    assert values[chosen].tolist() == sorted(relevance, reverse=True)[:limit]


def test_marginal_relevance_equals_a_plain_loop():
    """Each place is the best of all that are left, by the formula."""
    rng = np.random.default_rng(0)
    worth, x = rng.random(8), rng.random((8, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    likeness = x @ x.T
    chosen = []
    for _ in range(5):
        gain = {
            c: 0.6 * worth[c] / worth.max() - 0.4 * max([likeness[c, d] for d in chosen], default=0)
            for c in range(8)
            if c not in chosen
        }
        chosen.append(max(gain, key=gain.__getitem__))
    found = maximal_marginal_relevance(worth, likeness, 5, diversity=0.4)
    assert found.tolist() == chosen


def test_each_determinantal_place_adds_the_most_volume():
    """Greedy choice equals computing every determinant anew."""
    rng = np.random.default_rng(1)
    worth, x = rng.random(7), rng.standard_normal((7, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    likeness = x @ x.T
    found = determinantal(worth, likeness, 4, diversity=0.5).tolist()
    chosen = []
    for _ in range(4):
        gain = {}
        for c in set(range(7)) - set(chosen):
            trial = [*chosen, c]
            volume = np.linalg.slogdet(likeness[np.ix_(trial, trial)])[1]
            gain[c] = sum(worth[trial]) / worth.max() + volume
        chosen.append(max(gain, key=gain.__getitem__))
    assert found == chosen


def test_a_full_span_falls_back_to_relevance():
    """With more places than dimensions the rest follows by relevance."""
    found = determinantal(np.array([0.1, 0.9, 0.8, 0.7]), np.ones((4, 4)), 4, diversity=0.5)
    assert found.tolist() == [1, 2, 3, 0]


def test_a_list_follows_the_persons_genres():
    """Somebody with a third of comedies gets a third, though dramas are all more relevant."""
    genres = np.array([[1, 0]] * 6 + [[0, 1]] * 6, float)
    worth = np.linspace(1, 0.5, 12)
    wanted = np.array([2 / 3, 1 / 3])
    plain = calibrated(worth, genres, wanted, 6, strength=0.0)
    assert plain.tolist() == [0, 1, 2, 3, 4, 5]
    fair = calibrated(worth, genres, wanted, 6, strength=0.9)
    assert (genres[fair].sum(axis=0) / 6).tolist() == pytest.approx([2 / 3, 1 / 3])


def test_no_history_asks_for_no_calibration():
    """Where nothing is known of the person, relevance decides."""
    genres = np.array([[1, 0], [0, 1]], float)
    found = calibrated(np.array([1.0, 2.0]), genres, np.zeros(2), 2, strength=1.0)
    assert found.tolist() == [1, 0]


def test_divergence_is_zero_only_for_the_wanted():
    """The wanted distribution itself is at 0, any other farther, an empty list farthest."""
    wanted = np.array([0.5, 0.5])
    same, other, empty = divergence(wanted, np.array([[2.0, 2.0], [4.0, 0.0], [0.0, 0.0]]))
    assert same == pytest.approx(0)
    assert 0 < other < empty


def test_shares_add_up_to_one():
    """A history divides over its genres by weight; one that says nothing is all zeros."""
    shares = genre_shares(np.array([[1, 0], [0.5, 0.5]]), np.array([3, 1]))
    assert shares == pytest.approx([3.5 / 4, 0.5 / 4])
    assert genre_shares(np.zeros((0, 2)), np.zeros(0)).tolist() == [0, 0]


def test_nobody_and_nothing():
    """No candidates give an empty list."""
    for choose in (maximal_marginal_relevance, determinantal):
        assert len(choose(np.zeros(0), np.zeros((0, 0)), 5)) == 0
    assert len(calibrated(np.zeros(0), np.zeros((0, 2)), np.ones(2) / 2, 5)) == 0


@pytest.mark.parametrize("choose", [maximal_marginal_relevance, determinantal])
def test_what_makes_no_sense_is_refused(choose):
    """Shapes that differ, NaN, shares outside 0..1 and empty lists are refused."""
    for relevance, likeness, limit, diversity in (
        (np.ones(2), np.eye(3), 1, 0.5),
        (np.array([1, np.nan]), np.eye(2), 1, 0.5),
        (np.ones(2), np.full((2, 2), np.nan), 1, 0.5),
        (np.ones(2), np.eye(2), 0, 0.5),
        (np.ones(2), np.eye(2), 1, 1.5),
    ):
        with pytest.raises(InvalidInput):
            choose(relevance, likeness, limit, diversity=diversity)
    for genres, strength in itertools.product([np.ones((3, 2)), np.ones((2, 2))], [0.5, -1.0]):
        if genres.shape == (2, 2) and strength == 0.5:
            continue
        with pytest.raises(InvalidInput):
            calibrated(np.ones(2), genres, np.ones(2) / 2, 1, strength=strength)

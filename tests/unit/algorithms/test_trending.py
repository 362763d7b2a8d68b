from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.interactions import History, Interactions
from nextup.algorithms.models.trending import (
    Trending,
    decayed_buckets,
    decayed_counts,
    trending_by_category,
)
from nextup.domain.errors import InvalidInput

NOBODY = History(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64))


def test_a_touch_counts_half_after_a_half_life():
    """With a half-life of 10 s, touches of 0, 10 and 20 s ago count 1, 1/2 and 1/4."""
    data = Interactions.from_pairs([0, 1, 2], [0, 1, 2], times=[100, 90, 80], n_users=3, n_items=3)
    model = Trending(half_life_seconds=10).fit(data)
    assert model.score(NOBODY).tolist() == [1, 0.5, 0.25]


def test_the_window_ends_a_touch():
    """What is older than the window does not count, what is exactly as old does."""
    counted = decayed_counts(
        np.array([0, 1]),
        np.array([90, 89]),
        np.ones(2),
        n_items=2,
        now=100,
        half_life_seconds=1e9,
        window_seconds=10,
    )
    assert counted[0] > 0.99
    assert counted[1] == 0


def test_the_future_does_not_count():
    """A touch after `now` gives nothing, so yesterday's list can be made again."""
    counted = decayed_counts(
        np.array([0, 0]), np.array([100, 101]), np.ones(2), n_items=1, now=100, half_life_seconds=5
    )
    assert counted.tolist() == [1]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10**6)), min_size=1, max_size=30),
    st.integers(0, 10**6),
)
def test_time_passing_scales_all_scores_alike(touches, later):
    """After `later` seconds every score has shrunk by the same factor: the order stays."""
    items = np.array([item for item, _ in touches])
    times = np.array([time for _, time in touches])
    args = {"n_items": 5, "half_life_seconds": 5e5}
    first = decayed_counts(items, times, np.ones(len(items)), now=10**6, **args)
    second = decayed_counts(items, times, np.ones(len(items)), now=10**6 + later, **args)
    assert second == pytest.approx(first * 2 ** (-later / 5e5))


def test_hourly_buckets_come_close_to_exact_times():
    """Buckets of an hour are within half an hour's decay of the exact sum."""
    rng = np.random.default_rng(1)
    now, half_life = 100 * 3600, 12 * 3600.0
    times = rng.integers(0, now, 5000)
    items = rng.integers(0, 6, 5000)
    exact = decayed_counts(
        items, times, np.ones(5000), n_items=6, now=now, half_life_seconds=half_life
    )
    counts = np.zeros((100, 6))
    np.add.at(counts, (times // 3600, items), 1)
    rough = decayed_buckets(counts, np.arange(100) * 3600, now=now, half_life_seconds=half_life)
    assert rough == pytest.approx(exact, rel=2 ** (0.5 / 12) - 1)


def test_a_bucket_that_has_not_begun_does_not_count():
    """Only buckets begun by `now` count; the current one counts in full."""
    counted = decayed_buckets([[3], [5]], [0, 3600], now=60, half_life_seconds=3600)
    assert counted.tolist() == [3]


def test_no_buckets_count_nothing():
    """A counter that is empty gives zeros."""
    counted = decayed_buckets(np.zeros((0, 2)), [], now=60, half_life_seconds=3600)
    assert counted.tolist() == [0, 0]


def test_each_category_has_its_own_list():
    """A category lists its own items by score, without those nobody touched."""
    lists = trending_by_category(
        np.array([3.0, 1.0, 2.0, 0.0]),
        np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 1]], np.bool_),
        5,
    )
    assert [found.items.tolist() for found in lists] == [[0], [2, 1], []]


@pytest.mark.parametrize(
    "settings",
    [{"half_life_seconds": 0}, {"half_life_seconds": float("nan")}, {"window_seconds": -1.0}],
)
def test_impossible_durations_are_refused(settings):
    """A half-life or window that is no positive duration is refused at once."""
    with pytest.raises(InvalidInput, match="must be"):
        Trending(**settings)


def test_bucket_shapes_must_agree():
    """Counts and starting times of different numbers of buckets are refused."""
    with pytest.raises(InvalidInput, match="buckets"):
        decayed_buckets([[1.0]], [0, 1], now=2, half_life_seconds=1)
    with pytest.raises(InvalidInput, match="categories"):
        trending_by_category(np.ones(3), np.ones((1, 2), np.bool_), 1)

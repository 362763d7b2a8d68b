from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models import sessions
from nextup.algorithms.models.sessions import pair_counts

PLAIN = {"span": 10, "gap_seconds": 100, "lag_decay": 1.0, "half_life_seconds": math.inf}


def walk(*stops, n_items=4):
    """One person's touches, (item, time) each."""
    items, times = zip(*stops, strict=True)
    return Interactions.from_pairs([0] * len(items), items, times=times, n_users=1, n_items=n_items)


def test_order_is_kept():
    """Item 2 then item 0 is a pair from 2 to 0, not back."""
    counts = pair_counts(walk((2, 0), (0, 5)), **PLAIN).toarray()
    assert counts[2, 0] == 1
    assert counts.sum() == 1


def test_a_silence_ends_a_session():
    """Touches on both sides of a longer gap than allowed are no pair."""
    data = walk((0, 0), (1, 100), (2, 201))
    counts = pair_counts(data, **PLAIN).toarray()
    assert counts[0, 1] == 1
    assert counts[1, 2] == 0


def test_span_and_lag_decay():
    """A pair two places apart counts the decay once, beyond the span nothing."""
    data = walk((0, 0), (1, 1), (2, 2), (3, 3))
    counts = pair_counts(data, **PLAIN | {"span": 2, "lag_decay": 0.5}).toarray()
    assert counts[0].tolist() == [0, 1, 0.5, 0]


def test_age_is_counted_from_the_newest_touch():
    """A pair one half-life older than the newest touch counts half."""
    data = Interactions.from_pairs(
        [0, 0, 1, 1], [0, 1, 2, 3], times=[0, 0, 50, 50], n_users=2, n_items=4
    )
    counts = pair_counts(data, **PLAIN | {"half_life_seconds": 50.0}).toarray()
    assert counts[0, 1] == 0.5
    assert counts[2, 3] == 1


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 300)),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 4),
)
def test_counts_equal_a_plain_loop(rows, span):
    """Vectorised counts equal a loop over people, sessions and pairs, whatever the blocks."""
    users, items, times = zip(*rows, strict=True)
    data = Interactions.from_pairs(users, items, times=times, n_users=4, n_items=6)
    wanted = np.zeros((6, 6))
    for user in range(4):
        history = data.history(user)
        for later in range(len(history)):
            for earlier in range(max(0, later - span), later):
                gaps = np.diff(history.times[earlier : later + 1])
                if (gaps <= 100).all():
                    pair = history.items[earlier], history.items[later]
                    confidence = np.sqrt(history.weights[earlier] * history.weights[later])
                    wanted[pair] += confidence * 0.5 ** (later - earlier - 1)
    settings = PLAIN | {"span": span, "lag_decay": 0.5}
    assert pair_counts(data, **settings).toarray() == pytest.approx(wanted)
    whole = sessions.BLOCK_TOUCHES
    sessions.BLOCK_TOUCHES = 3
    try:
        assert pair_counts(data, **settings).toarray() == pytest.approx(wanted)
    finally:
        sessions.BLOCK_TOUCHES = whole

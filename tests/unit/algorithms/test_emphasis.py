from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models.emphasis import Emphasis

touches = st.lists(
    st.tuples(
        st.integers(0, 4), st.integers(0, 6), st.floats(0.5, 4, width=32), st.integers(0, 20)
    ),
    max_size=30,
)
kinds = st.sampled_from(
    [
        Emphasis(),
        Emphasis(weighted=True),
        Emphasis(half_life_seconds=5),
        Emphasis(weighted=True, half_life_seconds=3, place_decay=0.5),
    ]
)


def test_a_worked_example():
    """Touches 10 s and one place apart, with a half-life of 10 s and a place decay of 1/2."""
    data = Interactions.from_pairs([0, 0], [2, 1], [3, 5], [0, 10], n_users=1, n_items=3)
    emphasis = Emphasis(weighted=True, half_life_seconds=10, place_decay=0.5)
    assert emphasis.of(data.history(0)).tolist() == [3 * 0.5 * 0.5, 5]
    assert emphasis.of_everybody(data).tolist() == [5, 0.75]  # in the order of the matrix


@given(touches, kinds)
def test_many_people_are_emphasised_as_each_alone(rows, emphasis):
    """The matrix of everybody holds each person's own emphasis."""
    users, items, weights, times = zip(*rows, strict=True) if rows else ([], [], [], [])
    data = Interactions.from_pairs(users, items, weights, times, n_users=5, n_items=7)
    matrix = emphasis.matrix(data).toarray()
    for user in range(5):
        history = data.history(user)
        assert matrix[user, history.items] == pytest.approx(emphasis.of(history))


@given(kinds)
def test_storing_keeps_all_of_it(emphasis):
    """The array gives back the same emphasis."""
    assert Emphasis.from_array(emphasis.array()) == emphasis


def test_nothing_has_no_emphasis():
    """An empty history and an empty matrix give empty arrays."""
    nobody = Interactions.from_pairs([], [], n_users=2, n_items=3)
    emphasis = Emphasis(place_decay=0.5)
    assert len(emphasis.of(nobody.history(0))) == 0
    assert emphasis.matrix(nobody).nnz == 0
    assert np.array_equal(Emphasis().matrix(nobody).toarray(), np.zeros((2, 3)))

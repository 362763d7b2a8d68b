from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.lists import selection
from nextup.algorithms.lists.selection import (
    best_items,
    best_rows,
    rank_in_blocks,
    rank_in_one_order,
)
from nextup.domain.errors import InvalidInput

few_values = st.sampled_from([0.0, 1.0, 2.0, -1.0, -np.inf])  # many ties
score_blocks = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=few_values,
)


def sorted_by_hand(row, limit):
    order = sorted(range(len(row)), key=lambda item: (-row[item], item))
    best = [item for item in order if row[item] > -np.inf][:limit]
    return best + [-1] * (limit - len(best))


@given(score_blocks, st.integers(1, 12))
def test_the_best_columns_are_those_of_a_plain_sort(scores, limit):
    """Selection gives what sorting by score, then by index, gives, filled with -1."""
    ranking = best_rows(scores, limit)
    assert ranking.items.tolist() == [sorted_by_hand(row, limit) for row in scores]


def test_a_list_of_no_length_is_refused():
    """A limit below one is the caller's mistake."""
    with pytest.raises(InvalidInput, match="at least one"):
        best_items(np.zeros(3, np.float32), 0)
    nobody = Interactions.from_pairs([], [], n_users=1, n_items=3)
    with pytest.raises(InvalidInput, match="at least one"):
        rank_in_one_order(np.zeros(3, np.float32), nobody, 0)


def test_only_allowed_items_are_listed():
    """A mask leaves only its items, so a list may be shorter than asked for."""
    allowed = np.array([True, False, True, False])
    found = best_items(np.array([1, 9, 2, 8], np.float32), 3, allowed=allowed)
    assert found.items.tolist() == [2, 0]


def test_a_mask_of_another_catalogue_is_refused():
    """A mask whose length is not the catalogue's cannot be meant."""
    with pytest.raises(InvalidInput, match="mask"):
        best_items(np.zeros(3, np.float32), 1, allowed=np.ones(2, np.bool_))


pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 7)), max_size=30)


@given(pairs, st.integers(1, 10), st.booleans(), st.lists(few_values, min_size=8, max_size=8))
def test_one_order_for_all_ranks_as_each_alone(touches, limit, exclude, values):
    """Skipping seen items along one order equals ranking each person's own row of scores."""
    people = Interactions.from_pairs(
        [user for user, _ in touches], [item for _, item in touches], n_users=7, n_items=8
    )
    scores = np.where(np.isneginf(values), -5, values).astype(np.float32)
    quick = rank_in_one_order(scores, people, limit, exclude_seen=exclude)
    plain = rank_in_blocks(
        lambda part: np.tile(scores, (part.n_users, 1)), people, limit, exclude_seen=exclude
    )
    assert np.array_equal(quick.items, plain.items)
    assert np.array_equal(quick.scores, plain.scores)


def test_the_size_of_a_block_changes_nothing(monkeypatch):
    """Ranking in blocks of one person gives the lists of ranking all at once."""
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((30, 30)).astype(np.float32)
    people = Interactions.from_pairs(
        rng.integers(0, 20, 90), rng.integers(0, 30, 90), n_users=20, n_items=30
    )

    def rows(part):
        return np.stack(
            [scores[part.history(user).items].sum(axis=0) for user in range(part.n_users)]
        )

    whole = rank_in_blocks(rows, people, 5)
    monkeypatch.setattr(selection, "BLOCK_BYTES", 1)
    assert np.array_equal(rank_in_blocks(rows, people, 5).items, whole.items)

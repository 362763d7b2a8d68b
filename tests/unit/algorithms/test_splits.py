from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nextup.algorithms.evaluation.splits import (
    TimeSplit,
    check_no_future,
    global_time_split,
    leave_last_out,
    random_holdout,
    select_people,
    strong_generalisation_split,
)
from nextup.algorithms.interactions import Interactions
from nextup.domain.errors import InvalidInput

touches = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=60
)


def interactions(rows, n_users=8, n_items=10):
    users, items, times = zip(*rows, strict=True)
    return Interactions.from_pairs(users, items, times=times, n_users=n_users, n_items=n_items)


def triples(part, users=None):
    names = part.users() if users is None else np.asarray(users)[part.users()]
    return sorted(zip(names.tolist(), part.items.tolist(), part.times.tolist(), strict=True))


@given(touches, st.integers(1, 50))
def test_a_time_split_loses_nothing_and_mixes_nothing(rows, cut):
    """Every touch is on exactly one side, earlier ones in train, the others in truth."""
    data = interactions(rows)
    assume(data.times.min() < cut <= data.times.max())
    split = global_time_split(data, cut_at=cut)
    assert sorted(triples(split.train) + triples(split.truth)) == triples(data)
    assert split.train.times.max() < cut <= split.truth.times.min()


@given(touches, st.floats(0.05, 0.9))
def test_a_time_split_by_share_hides_no_more_than_asked(rows, share):
    """The cut found for a share leaves at most that share as truth."""
    data = interactions(rows)
    try:
        split = global_time_split(data, test_share=share)
    except InvalidInput:
        assume(False)
    assert len(split.truth) <= share * len(data)


def test_a_time_split_cuts_where_one_would():
    """Of ten touches a second apart, a fifth are the last two."""
    data = interactions([(0, item, item) for item in range(10)])
    split = global_time_split(data, test_share=0.2)
    assert split.cut_at == 8
    assert split.truth.items.tolist() == [8, 9]


def test_the_guard_finds_a_leak():
    """A touch as late as the cut in train, or an early one in truth, is refused."""
    early, late = interactions([(0, 0, 1)]), interactions([(0, 1, 9)])
    with pytest.raises(InvalidInput, match="Train holds"):
        check_no_future(TimeSplit(late, late, 9))
    with pytest.raises(InvalidInput, match="Truth holds"):
        check_no_future(TimeSplit(early, early, 9))


def test_times_that_never_change_cannot_be_cut():
    """Where all touches carry the same time, a time split is refused with a way out."""
    with pytest.raises(InvalidInput, match="cut"):
        global_time_split(interactions([(0, 0, 5), (1, 1, 5)]))


@given(touches, st.integers(0, 1000), st.floats(0.1, 0.9))
def test_held_out_people_are_split_and_never_trained_on(rows, seed, share):
    """Train holds only the others; fold-in and truth together are the held-out rows."""
    data = interactions(rows)
    try:
        split = strong_generalisation_split(
            data, rng=np.random.default_rng(seed), held_out=0.5, fold_in_share=share
        )
    except InvalidInput:
        assume(False)
    everything = (
        triples(split.train, split.train_users)
        + triples(split.fold_in, split.held_out_users)
        + triples(split.truth, split.held_out_users)
    )
    assert sorted(everything) == triples(data)
    assert np.diff(split.fold_in.indptr).min() >= 1
    assert np.diff(split.truth.indptr).min() >= 1


def test_the_same_generator_holds_out_the_same_people():
    """Two splits from the same seed are equal, another seed's differs."""
    rng = np.random.default_rng(0)
    data = interactions([(u, i, 0) for u in range(8) for i in rng.permutation(10)[:5]])

    def split(seed):
        return strong_generalisation_split(data, rng=np.random.default_rng(seed), held_out=3)

    assert triples(split(1).truth) == triples(split(1).truth)
    assert triples(split(1).truth) != triples(split(2).truth)


def test_more_people_than_there_are_cannot_be_held_out():
    """Holding out everybody leaves nothing to learn from and is refused."""
    data = interactions([(0, 0, 0), (0, 1, 0), (1, 0, 0)], n_users=2)
    with pytest.raises(InvalidInput, match="held out"):
        strong_generalisation_split(data, rng=np.random.default_rng(0), held_out=2)


def test_the_last_touches_are_hidden():
    """Each person's latest touch is the truth; somebody with only one keeps it."""
    data = interactions([(0, 3, 1), (0, 1, 9), (0, 2, 5), (1, 4, 7)], n_users=2)
    split = leave_last_out(data)
    assert triples(split.truth) == [(0, 1, 9)]
    assert triples(split.train) == [(0, 2, 5), (0, 3, 1), (1, 4, 7)]


@given(touches, st.integers(1, 3))
def test_nothing_hidden_is_older_than_what_is_kept(rows, n_last):
    """No person has a hidden touch before a kept one."""
    data = interactions(rows)
    try:
        split = leave_last_out(data, n_last=n_last)
    except InvalidInput:
        assume(False)
    for user in range(data.n_users):
        kept, hidden = split.train.history(user), split.truth.history(user)
        if len(hidden):
            assert len(hidden) == n_last
            assert kept.times.max() <= hidden.times.min()


@given(touches, st.integers(0, 99), st.floats(0.05, 1.0))
def test_a_random_part_leaves_everybody_something(rows, seed, share):
    """Hidden and kept are the whole, and nobody loses the last touch."""
    data = interactions(rows)
    try:
        split = random_holdout(data, rng=np.random.default_rng(seed), share=share)
    except InvalidInput:
        assume(False)
    assert sorted(triples(split.train) + triples(split.truth)) == triples(data)
    assert ((np.diff(split.train.indptr) > 0) == (np.diff(data.indptr) > 0)).all()


@given(touches, st.lists(st.integers(0, 7), max_size=10))
def test_selected_people_are_their_rows(rows, chosen):
    """Row r of a selection is the chosen person's row, repeated or not."""
    data = interactions(rows)
    part = select_people(data, np.array(chosen, np.int64))
    assert part.n_users == len(chosen)
    for row, user in enumerate(chosen):
        assert part.history(row).items.tolist() == data.history(user).items.tolist()


@pytest.mark.parametrize(
    "split",
    [
        leave_last_out,
        lambda data: random_holdout(data, rng=np.random.default_rng(0)),
        lambda data: strong_generalisation_split(data, rng=np.random.default_rng(0)),
        global_time_split,
    ],
)
def test_too_little_data_is_refused_by_every_split(split):
    """One touch cannot be split, nor can none."""
    for data in (
        Interactions.from_pairs([], [], n_users=0, n_items=3),
        Interactions.from_pairs([0], [0], n_users=1, n_items=3),
    ):
        with pytest.raises(InvalidInput):
            split(data)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_between_nothing_and_all(share):
    """Shares outside 0..1 are refused."""
    data = interactions([(0, item, item) for item in range(10)])
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        global_time_split(data, test_share=share)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        random_holdout(data, rng=np.random.default_rng(0), share=share)
    with pytest.raises(InvalidInput, match="at least 1"):
        leave_last_out(data, n_last=0)

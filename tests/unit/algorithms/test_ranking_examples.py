from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models.item_item import ItemItem
from nextup.algorithms.models.popularity import Popularity
from nextup.algorithms.reranking.examples import (
    TouchLog,
    examples_at,
    examples_over,
    look,
    question_moments,
    without,
)
from nextup.algorithms.reranking.features import ItemStatistics, RankingFeatures
from nextup.algorithms.reranking.traits import ItemTraits
from nextup.domain.errors import InvalidInput

N_USERS, N_ITEMS = 6, 9
DAY = 86_400
CUT = 100 * DAY
END = 200 * DAY
GENRES = ItemTraits.of(
    sparse.csr_array(np.random.default_rng(3).random((N_ITEMS, 4)) < 0.5, dtype=np.float32)
)
FEATURES = RankingFeatures(
    ("item_item", "popularity"), (1.0, 0.2), {"genres": GENRES}, depth=5, pool=7
)
EVERYBODY = np.arange(N_USERS)

touches = st.tuples(
    st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1), st.sampled_from([1.0, 2.0, 5.0])
)


def timed(first, last):
    return st.lists(st.tuples(touches, st.integers(first, last)), max_size=25)


before_cut = timed(0, CUT - 1).filter(len)
after_cut = timed(CUT, END)


def log_of(events):
    columns = [(*touch, at) for touch, at in events]
    users, items, weights, times = zip(*columns, strict=True)
    return TouchLog.of(users, items, weights, times, n_users=N_USERS, n_items=N_ITEMS)


def fit_sources(past):
    return {"item_item": ItemItem(threads=1).fit(past), "popularity": Popularity().fit(past)}


def honest(log):
    """What the ranker is shown of everybody at the cut."""
    past = log.between(None, CUT)
    shown = look(FEATURES, fit_sources(past), past, ItemStatistics.before(past, CUT), CUT)
    return shown.candidates.items, shown.features


def with_a_source_from_the_future(log):
    """The same, but popularity was counted over the whole log."""
    past = log.between(None, CUT)
    models = fit_sources(past) | {"popularity": Popularity().fit(log.between(None, END + 1))}
    shown = look(FEATURES, models, past, ItemStatistics.before(past, CUT), CUT)
    return shown.candidates.items, shown.features


def with_pairs_merged_before_the_cut(log):
    """The same, but the matrix was built first and cut by the pairs' last touches."""
    merged = log.between(None, END + 1)
    early = merged.times < CUT
    if not early.any():
        return np.empty(0), np.empty(0)
    past = Interactions.from_pairs(
        merged.users()[early],
        merged.items[early],
        merged.weights[early],
        merged.times[early],
        n_users=N_USERS,
        n_items=N_ITEMS,
    )
    shown = look(FEATURES, fit_sources(past), past, ItemStatistics.before(past, CUT), CUT)
    return shown.candidates.items, shown.features


def sees_the_future(shown_by, past, futures):
    """Whether what is shown changes, in any bit, with what happens after the cut."""
    first, *others = [shown_by(log_of(past + future)) for future in futures]
    return any(
        part.tobytes() != again.tobytes() or part.shape != again.shape
        for other in others
        for part, again in zip(first, other, strict=True)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before_cut, after_cut, after_cut, st.randoms(use_true_random=False))
def test_no_feature_sees_the_future(past, future, other, random):
    """Whatever is added, removed or changed after the cut, every feature keeps every bit."""
    fewer = [event for event in future if random.random() < 0.5]
    changed = [((user, item, 5.0), END - at + CUT) for (user, item, _), at in future]
    futures = [future, [], fewer, changed, future + other, other]
    assert not sees_the_future(honest, past, futures)


@pytest.mark.parametrize("leak", [with_a_source_from_the_future, with_pairs_merged_before_the_cut])
def test_a_leak_is_caught(leak):
    """The same check finds a planted source of the future, and pairs merged too early."""
    past = [((0, 1, 1.0), DAY), ((1, 2, 1.0), 2 * DAY), ((1, 1, 1.0), DAY), ((2, 2, 1.0), DAY)]
    again = [((1, 2, 1.0), CUT + DAY)]  # a pair of the past is touched again
    assert sees_the_future(leak, past, [[], again])
    assert not sees_the_future(honest, past, [[], again])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before_cut, after_cut, after_cut)
def test_examples_differ_only_in_their_answers(past, future, other):
    """A person's question is the same, bit for bit, whatever the answer turns out to be."""
    found = []
    for after in (future, other):
        log = log_of(past + after)
        examples = examples_over(
            log, [CUT], END + 1 - CUT, FEATURES, fit_sources, rng=np.random.default_rng(0)
        )
        pieces = np.split(examples.features, examples.starts[1:-1])
        found.append(dict(zip(examples.users.tolist(), pieces, strict=False)))
    for user in found[0].keys() & found[1].keys():
        assert found[0][user].tobytes() == found[1][user].tobytes()


@settings(max_examples=40, deadline=None)
@given(before_cut, after_cut)
def test_labels_are_what_was_new_after(past, future):
    """A candidate is right exactly if its person touched it after the cut and never before."""
    log = log_of(past + future)
    known = {touch[:2] for touch, _ in past}
    new = {touch[:2] for touch, _ in future} - known
    everything = examples_over(
        log, [CUT], END + 1 - CUT, FEATURES, fit_sources, rng=np.random.default_rng(0)
    )
    items, _ = honest(log)
    right = [
        (user, item) in new
        for user in everything.users.tolist()
        for item in items[user].tolist()
        if item >= 0
    ]
    assert everything.labels.tolist() == right
    asked = {user for user, _ in new} & {user for user, _ in known}
    assert set(everything.users.tolist()) == asked
    assert everything.wanted.sum() == len([pair for pair in new if pair[0] in asked])


def test_the_future_is_refused():
    """Histories, statistics and outcomes on the wrong side of the moment are refused."""
    log = log_of([((0, 1, 1.0), DAY), ((0, 2, 1.0), 3 * DAY), ((1, 1, 1.0), DAY)])
    whole, early = log.between(None, END), log.between(None, 2 * DAY)
    with pytest.raises(InvalidInput, match="future"):
        ItemStatistics.before(whole, 2 * DAY)
    with pytest.raises(InvalidInput, match="future"):
        ItemStatistics.before(whole, 3 * DAY)  # the moment itself is not before the moment
    models, statistics = fit_sources(early), ItemStatistics.before(early, 2 * DAY)
    with pytest.raises(InvalidInput, match="future"):
        look(FEATURES, models, whole, statistics, 2 * DAY)
    with pytest.raises(InvalidInput, match="later"):
        look(FEATURES, models, early, statistics, 2 * DAY - 1)
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInput, match="outcome"):
        examples_at(FEATURES, models, early, early, 2 * DAY, rng=rng)
    with pytest.raises(InvalidInput, match="future"):
        examples_at(FEATURES, models, whole, whole, 2 * DAY, rng=rng)


def test_everybody_may_ask_at_a_moment_of_their_own():
    """Many people at many moments in one call are what each gives alone."""
    rng = np.random.default_rng(5)
    events = [
        ((int(u), int(i), 1.0), int(t))
        for u, i, t in zip(
            rng.integers(0, N_USERS, 30),
            rng.integers(0, N_ITEMS, 30),
            rng.integers(0, CUT, 30),
            strict=True,
        )
    ]
    past = log_of(events).between(None, CUT)
    models, statistics = fit_sources(past), ItemStatistics.before(past, CUT)
    moments = CUT + DAY * EVERYBODY
    together = look(FEATURES, models, past, statistics, moments)
    for user in EVERYBODY:
        alone = look(FEATURES, models, past, statistics, int(moments[user]))
        assert np.array_equal(together.features[user], alone.features[user])


def test_few_are_asked_where_many_could_be():
    """Not more people than allowed, the same ones for the same generator, in order."""
    past = Interactions.from_pairs(EVERYBODY, [0] * 6, None, [1] * 6, n_users=6, n_items=9)
    after = Interactions.from_pairs(EVERYBODY, [1] * 6, None, [9] * 6, n_users=6, n_items=9)
    asked = [
        examples_at(
            FEATURES, fit_sources(past), past, after, 5, rng=np.random.default_rng(2), people=3
        ).users
        for _ in range(2)
    ]
    assert len(asked[0]) == 3
    assert np.array_equal(*asked)
    assert (np.diff(asked[0]) > 0).all()


def test_unwanted_pairs_are_no_candidates():
    """What a person dismissed before the moment is not asked about."""
    users, items = np.repeat(EVERYBODY, 2), np.tile([0, 1], 6)
    items[-1] = 2  # the last person has not seen item 1, the others not item 2
    past = Interactions.from_pairs(users, items, None, [1] * 12, n_users=6, n_items=9)
    after = Interactions.from_pairs([0, 5], [2, 3], None, [9, 9], n_users=6, n_items=9)
    rng = np.random.default_rng(0)
    free = examples_at(FEATURES, fit_sources(past), past, after, 5, rng=rng)
    assert free.users.tolist() == [0, 5]
    assert free.sizes.tolist() == [1, 1]
    bound = examples_at(
        FEATURES, fit_sources(past), past, after, 5, rng=rng, unwanted=np.array([5 * 9 + 1])
    )
    assert bound.sizes.tolist() == [1, 0]
    assert not bound.tell_apart.any()


def test_question_moments_leave_enough_before_them():
    """One horizon apart, the last outcome ends at the end, half of the past lies before each."""
    times = np.arange(0, 100)
    assert question_moments(times, until=100, horizon_seconds=10, count=3) == [70, 80, 90]
    assert question_moments(times, until=100, horizon_seconds=30, count=3) == [70]
    assert question_moments(times, until=100, horizon_seconds=90, count=3) == []
    assert question_moments(np.array([], np.int64), until=9, horizon_seconds=1, count=2) == []


def test_without_removes_pairs_whatever_their_time():
    """A pair in both is gone; the rows stay people."""
    one = Interactions.from_pairs([0, 0, 1], [1, 2, 1], None, [5, 5, 5], n_users=2, n_items=3)
    other = Interactions.from_pairs([0], [2], [9.0], [1], n_users=2, n_items=3)
    left = without(one, other)
    assert left.indptr.tolist() == [0, 1, 2]
    assert left.items.tolist() == [1, 1]

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.algorithms.audience.simulate import SHOWCASE, AudienceConfig, simulate
from nextup.algorithms.audience.tastes import TASTES, matches
from nextup.domain.errors import InvalidInput
from nextup.domain.events import to_microseconds
from nextup.domain.items import Item
from nextup.services.sample import sample_items

END = datetime(2025, 6, 2, tzinfo=UTC)  # a Monday
SMALL = AudienceConfig(people=60, days=14)
MINUTE = 60_000_000  # microseconds
COLUMNS = ["event_ids", "types", "user_ids", "item_ids", "values", "session_ids"]


@pytest.fixture(scope="module")
def items():
    return sample_items()


@pytest.fixture(scope="module")
def audience(items):
    return simulate(items, ends_at=END, seed=7)


@pytest.fixture(scope="module")
def types(audience):
    return np.array(audience.types)


def rows_of(audience, user_id):
    return audience.user_index == audience.truth.user_ids.index(user_id)


def gini(counts):
    """0 where all are equal, near 1 where one has everything."""
    ascending, n = np.sort(counts), len(counts)
    return (2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * ascending.sum())


def test_the_default_audience_is_large(audience):
    """The defaults give at least 200,000 events of 2,500 people over 90 days."""
    assert len(audience) >= 200_000
    assert len(set(audience.user_ids)) == 2500
    days = np.ptp(audience.occurred_at) / 86_400e6
    assert 89 < days <= 90


def test_the_same_seed_gives_the_same_audience(items):
    """Items, configuration, end and seed determine every column."""
    one, two = (simulate(items, SMALL, ends_at=END, seed=3) for _ in range(2))
    assert all(getattr(one, name) == getattr(two, name) for name in COLUMNS)
    assert np.array_equal(one.occurred_at, two.occurred_at)
    assert np.array_equal(one.truth.end, two.truth.end)


def test_another_seed_gives_another_audience(items):
    """Nothing but the showcase people's names is shared by two seeds."""
    one, two = (simulate(items, SMALL, ends_at=END, seed=seed) for seed in (3, 4))
    assert set(one.event_ids).isdisjoint(two.event_ids)
    assert set(one.session_ids).isdisjoint(two.session_ids)
    assert one.item_ids[:100] != two.item_ids[:100]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    people=st.integers(5, 40),
    days=st.floats(1, 30),
    n_items=st.integers(1, 60),
)
def test_every_audience_keeps_the_contract(seed, people, days, n_items):
    """Whatever its size: sorted, inside the period, ids unique, values only beside ratings."""
    items = sample_items()[:n_items]
    config = AudienceConfig(people=people, days=days)
    audience = simulate(items, config, ends_at=END, seed=seed)
    assert {len(getattr(audience, name)) for name in COLUMNS} == {len(audience)}
    assert audience.event_ids == [f"sim-{seed}-{number}" for number in range(len(audience))]
    assert (np.diff(audience.occurred_at) >= 0).all()
    assert audience.occurred_at[0] >= audience.truth.starts_at
    assert audience.occurred_at[-1] < audience.truth.ends_at == to_microseconds(END)
    assert set(audience.user_ids) == set(audience.truth.user_ids)
    for kind, value in zip(audience.types, audience.values, strict=True):
        assert (value is not None) == (kind == "rating")
        assert value is None or (0.5 <= value <= 5 and value * 2 == round(value * 2))


def test_the_end_may_be_in_any_time_zone(items):
    """The same moment written in another zone gives the same events."""
    elsewhere = END.astimezone(timezone(timedelta(hours=5, minutes=30)))
    one, two = (simulate(items, SMALL, ends_at=end) for end in (END, elsewhere))
    assert np.array_equal(one.occurred_at, two.occurred_at)


def test_chains_are_plausible(audience, types):
    """In a session an item is viewed once, then clicked, and only then liked or rated."""
    session = np.unique(audience.session_ids, return_inverse=True)[1]
    pair = session * 10_000 + audience.item_index
    first = {}
    for kind in ("view", "click", "like", "rating", "dismiss"):
        rows = np.flatnonzero(types == kind)
        keys, at = np.unique(pair[rows], return_index=True)
        first[kind] = dict(zip(keys.tolist(), audience.occurred_at[rows[at]], strict=True))
        assert len(first[kind]) == len(rows) > 1000  # each once in a session
    for earlier, later in (("view", "click"), ("click", "like"), ("click", "rating")):
        assert all(first[earlier][key] < at for key, at in first[later].items())
    assert first["dismiss"].keys() <= first["view"].keys()
    assert not first["dismiss"].keys() & first["click"].keys()


def test_nobody_likes_or_rates_an_item_twice(audience, types):
    """A repeated visit ends at the click."""
    for kind in ("like", "rating", "dismiss"):
        rows = types == kind
        pair = audience.user_index[rows] * 10_000 + audience.item_index[rows]
        assert len(np.unique(pair)) == len(pair)


def test_popularity_is_skewed(audience):
    """A few items get most of the attention: the Gini index of events per item is above 0.45."""
    events = np.bincount(audience.item_index, minlength=len(audience.truth.item_ids))
    assert gini(events) > 0.45
    top_tenth = np.sort(events)[-len(events) // 10 :]
    assert top_tenth.sum() > 0.35 * events.sum()


def test_without_the_zipf_curve_popularity_is_flat(items):
    """The skew comes from the configured curve, not by accident."""
    config = replace(AudienceConfig(people=400, days=30), taste_strength=0.0, trend_share=0.0)
    even = simulate(items, replace(config, zipf_exponent=0.0, follow_share=0.0), ends_at=END)
    skewed = simulate(items, config, ends_at=END)
    n = len(items)
    assert gini(np.bincount(even.item_index, minlength=n)) + 0.2 < gini(
        np.bincount(skewed.item_index, minlength=n)
    )


def test_activity_is_heavy_tailed(audience):
    """The busiest tenth does over a third of everything; half the people do under a fifth."""
    events = np.sort(np.bincount(audience.user_index))
    assert events[-250:].sum() > 0.33 * events.sum()
    assert events[:1250].sum() < 0.2 * events.sum()


def test_people_join_late(audience):
    """About three in ten join during the period, so the last third has many first visits."""
    first = np.full(2500, np.iinfo(np.int64).max)
    np.minimum.at(first, audience.user_index, audience.occurred_at)
    truth = audience.truth
    share = np.mean(first > truth.starts_at + (truth.ends_at - truth.starts_at) * 2 // 3)
    assert 0.08 < share < 0.25


@pytest.mark.parametrize(
    ("user_id", "genres"),
    [
        ("horror-fan", {"Horror"}),
        ("classics-reader", {"Classics"}),
        ("family-evenings", {"Family", "Children"}),
        ("sci-fi-fan", {"Science Fiction"}),
    ],
)
def test_tastes_are_recoverable(audience, types, items, user_id, genres):
    """What a showcase person likes is mostly of their genre, far above everybody's share."""
    liked = types == "like"
    mine = audience.item_index[liked & rows_of(audience, user_id)]
    everybody = audience.item_index[liked]

    def share(indices):
        return np.mean([bool(genres & set(items[index].genres)) for index in indices])

    assert len(mine) >= 8
    assert share(mine) > 0.7
    assert share(mine) > 2 * share(everybody)


def test_the_newcomer_has_hardly_done_anything(audience):
    """The newcomer joined in the last day and has a handful of events in one session."""
    rows = np.flatnonzero(rows_of(audience, "newcomer"))
    assert 3 <= len(rows) <= 15
    assert len({audience.session_ids[row] for row in rows}) == 1
    assert audience.occurred_at[rows].min() > audience.truth.ends_at - 24 * 60 * MINUTE


def test_showcase_tastes_are_pure_and_fixed(audience):
    """A showcase person has one taste, the same at the start and at the end."""
    for user_id, taste in SHOWCASE.items():
        assert audience.truth.tastes_of(user_id) == ({taste: 1.0}, {taste: 1.0})


def test_mixtures_are_small_and_sum_to_one(audience):
    """Everybody starts with one to three tastes; weights are shares."""
    start, end = audience.truth.start, audience.truth.end
    assert set(np.unique((start > 0).sum(axis=1))) == {1, 2, 3}
    assert np.allclose(start.sum(axis=1), 1)
    assert np.allclose(end.sum(axis=1), 1)


def test_tastes_drift(audience):
    """A third of the people end with a main taste that they did not have at the start."""
    start, end = audience.truth.start, audience.truth.end
    main = end.argmax(axis=1)
    new = start[np.arange(len(start)), main] == 0
    assert 0.28 < new.mean() < 0.42


def test_drift_shows_in_what_people_click(audience, types):
    """Drifted people's last clicks suit their final taste better than their first clicks do."""
    truth = audience.truth
    main = truth.end.argmax(axis=1)
    drifted = truth.start[np.arange(len(main)), main] == 0
    clicks = np.flatnonzero((types == "click") & drifted[audience.user_index])
    suits = truth.match[main[audience.user_index[clicks]], audience.item_index[clicks]]
    elapsed = (audience.occurred_at[clicks] - truth.starts_at) / (truth.ends_at - truth.starts_at)
    assert suits[elapsed > 0.8].mean() > suits[elapsed < 0.2].mean() + 0.2


def test_without_drift_nobody_finds_a_new_taste(items):
    """A drift share of zero only shifts the weights among the tastes that people have."""
    truth = simulate(items, replace(SMALL, drift_share=0.0), ends_at=END).truth
    assert ((truth.end > 0) == (truth.start > 0)).all()


def test_the_mixture_moves_in_a_line(audience):
    """Halfway through the period a person is halfway; outside it the ends hold."""
    truth = audience.truth
    middle = (truth.starts_at + truth.ends_at) // 2
    users, moments = np.array([9, 9, 9]), np.array([0, middle, truth.ends_at + 1])
    expected = [truth.start[9], (truth.start[9] + truth.end[9]) / 2, truth.end[9]]
    assert np.allclose(truth.mixture(users, moments), expected)


def test_ratings_follow_affinity(audience, types):
    """Stars correlate strongly with how much the person truly wanted the item."""
    rated = np.flatnonzero(types == "rating")[:5000]
    stars = [audience.values[row] for row in rated]
    affinity = audience.truth.affinity(audience.user_index[rated], audience.occurred_at[rated])
    wanted = affinity[np.arange(len(rated)), audience.item_index[rated]]
    assert np.corrcoef(stars, wanted)[0, 1] > 0.5
    assert len(set(stars)) == 10


def test_dismissed_items_are_unwanted(audience, types):
    """What people dismiss they want far less than what they like."""
    means = {}
    for kind in ("like", "dismiss"):
        rows = np.flatnonzero(types == kind)[:3000]
        affinity = audience.truth.affinity(audience.user_index[rows], audience.occurred_at[rows])
        means[kind] = affinity[np.arange(len(rows)), audience.item_index[rows]].mean()
    assert means["dismiss"] + 0.3 < means["like"]


def test_sessions_have_gaps(audience):
    """Events of a session follow within 15 minutes; a person's sessions lie 30 minutes apart."""
    session = np.unique(audience.session_ids, return_inverse=True)[1]
    order = np.lexsort((audience.occurred_at, audience.user_index))
    user, session = audience.user_index[order], session[order]
    gap = np.diff(audience.occurred_at[order])
    same_person = user[1:] == user[:-1]
    same_session = session[1:] == session[:-1]
    assert gap[same_session].max() <= 15 * MINUTE
    assert gap[same_person & ~same_session].min() >= 30 * MINUTE
    assert same_person[same_session].all()
    assert np.count_nonzero(same_session) > 3 * np.count_nonzero(same_person & ~same_session)


def test_arrivals_follow_the_clock_and_the_week(audience):
    """Evenings are busier than nights, weekends busier than weekdays."""
    hour = audience.occurred_at // (60 * MINUTE) % 24
    assert np.count_nonzero((hour >= 19) & (hour < 22)) > 10 * np.count_nonzero(
        (hour >= 3) & (hour < 6)
    )
    weekday = (audience.occurred_at // (24 * 60 * MINUTE) + 3) % 7  # Monday is 0
    by_day = np.bincount(weekday, minlength=7)
    assert by_day[5:].mean() > 1.2 * by_day[:4].mean()


def test_something_is_talked_about(items):
    """Trends concentrate a window's visits on a few items beyond their usual share."""
    config = replace(AudienceConfig(people=300, days=10), trend_days=5.0)
    calm = simulate(items, replace(config, trend_share=0.0), ends_at=END)
    loud = simulate(items, replace(config, trend_share=0.5), ends_at=END)

    def six_most_visited(audience):
        visits = np.bincount(audience.item_index[np.array(audience.types) == "view"])
        return np.sort(visits)[-6:].sum() / visits.sum()

    assert six_most_visited(loud) > six_most_visited(calm) + 0.2


def test_matches_are_between_none_and_full(items):
    """Every taste fits some items fully, and some not at all."""
    match = matches(TASTES, items)
    assert match.shape == (len(TASTES), len(items))
    assert match.min() == 0
    assert match.max() == 1
    assert ((match >= 0.7).sum(axis=1) >= 20).all()
    assert ((match == 0).sum(axis=1) >= 100).all()


def test_an_item_without_description_suits_nobody():
    """Without genres, makers, keywords and year the match is zero, and simulating still works."""
    bare = [Item(f"item:{number}") for number in range(3)]
    assert not matches(TASTES, bare).any()
    assert set(simulate(bare, SMALL, ends_at=END).item_ids) == {item.item_id for item in bare}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"items": []}, "at least one item"),
        ({"ends_at": END.replace(tzinfo=None)}, "time zone"),
        ({"config": AudienceConfig(people=4)}, "at least 5 people"),
        ({"config": AudienceConfig(days=0.5)}, "shorter than a day"),
        ({"seed": -1}, "whole number from 0"),
    ],
)
def test_impossible_requests_are_refused(changes, said):
    """What cannot be simulated is refused with the reason."""
    arguments = {"items": [Item("a")], "config": SMALL, "ends_at": END} | changes
    with pytest.raises(InvalidInput, match=said):
        simulate(arguments.pop("items"), arguments.pop("config"), **arguments)


def test_asking_for_a_stranger_fails(audience):
    """The truth knows only its own people."""
    with pytest.raises(ValueError, match="not in"):
        audience.truth.tastes_of("nobody")

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.transforms.frames import NOW, ago, frame, rows

from nextup.algorithms.confidence import confidences
from nextup.domain.events import EventType, from_microseconds, to_microseconds
from nextup.domain.recommendations import Touch
from nextup.domain.tables import COLUMNS, Table
from nextup.domain.weighing import Weighing
from nextup.transforms.silver_to_gold import item_stats, trending, user_item

WEIGHING = Weighing()
FADING = Weighing(half_life_seconds=86_400.0)


def silver(*acts: dict[str, Any]) -> Any:
    numbered = (
        {"offset": offset, "event_id": str(offset), **act} for offset, act in enumerate(acts)
    )
    same = {"user_id": "ada", "item_id": "i", "occurred_at": NOW, "partition": "0"}
    return frame(Table.INTERACTIONS, *numbered, **same)


def confidence(*acts: dict[str, Any], weighing: Weighing = WEIGHING) -> float:
    ((value,),) = rows(user_item(silver(*acts), weighing, NOW), "confidence")
    return float(value)


def test_columns_are_the_tables() -> None:
    """Each transformation gives its table's columns in order."""
    pairs = user_item(silver(), WEIGHING, NOW)
    top = trending(silver(), WEIGHING, as_of=NOW, days=7, half_life_seconds=1.0, limit=1)
    for result, table in (
        (pairs, Table.USER_ITEM),
        (item_stats(frame(Table.USER_ITEM)), Table.ITEM_STATS),
        (top, Table.TRENDING),
    ):
        assert tuple(result.collect_schema().names()) == COLUMNS[table]


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ([{"type": "view"}], 1.0),
        ([{"type": "view"}] * 3, 2.0),
        ([{"type": "view"}] * 7, 3.0),
        ([{"type": "view"}, {"type": "click"}, {"type": "like"}], 8.0),
        ([{"type": "rating", "value": 5.0}], 5.0),
        ([{"type": "rating", "value": 2.0}], 0.0),
        ([{"type": "rating", "value": 3.75}], 2.5),
        ([{"type": "rating", "value": None}, {"type": "view"}], 1.0),
        ([{"type": "rating", "value": 5.0}, {"type": "rating", "value": 2.5}], 0.0),
        ([{"type": "like"}, {"type": "dismiss"}], 0.0),
        ([{"type": "dismiss"}, {"type": "like"}], 5.0),
        ([{"type": "view"}, {"type": "impression"}], 1.0),
    ],
)
def test_confidence_as_documented(acts: list[dict[str, Any]], expected: float) -> None:
    """First touches count in full, further ones less; ratings by the last; dismissed is 0."""
    assert confidence(*acts) == pytest.approx(expected)


def test_last_is_by_time_then_by_offset() -> None:
    """A late event with an earlier time does not become the last one."""
    late = {"type": "rating", "value": 1.0, "occurred_at": ago(days=1)}
    assert confidence({"type": "rating", "value": 5.0}, late) == pytest.approx(5.0)


def test_a_retract_takes_back_what_came_before() -> None:
    """As if it had not been: no row, no trend; what is done afterwards counts anew."""
    liked = [{"type": "like", "occurred_at": ago(days=3)}, {"type": "dismiss"}]
    liked[1]["occurred_at"] = ago(days=2)
    back = {"type": "retract", "occurred_at": ago(days=1)}
    other = {"type": "like", "item_id": "j", "occurred_at": ago(days=2)}
    frame = user_item(silver(*liked, back, other), WEIGHING, NOW)
    assert rows(frame, "item_id", "confidence") == [("j", 5.0)]
    assert [place[1] for place in top(*liked, back, other)] == ["j"]
    assert confidence(*liked, back, {"type": "view"}) == pytest.approx(1.0)


def test_touches_fade() -> None:
    """One half-life halves a touch's count and a rating's weight; the future counts as now."""
    day_old = {"occurred_at": ago(days=1)}
    view, rating = {"type": "view", **day_old}, {"type": "rating", "value": 5.0, **day_old}
    assert confidence(view, weighing=FADING) == pytest.approx(math.log2(1.5))
    assert confidence(rating, weighing=FADING) == pytest.approx(2.5)
    ahead = {"type": "view", "occurred_at": NOW + timedelta(hours=1)}
    assert confidence(ahead, weighing=FADING) == pytest.approx(1.0)


def test_pairs_that_were_only_shown_have_no_row() -> None:
    """Impressions alone are not a touch."""
    assert rows(user_item(silver({"type": "impression"}), WEIGHING, NOW), "item_id") == []


TYPES = [kind.value for kind in EventType]
TOUCHES = st.lists(
    st.builds(
        lambda item, kind, value, seconds: (item, kind, value, seconds),
        st.sampled_from(["i", "j", "k"]),
        st.sampled_from(TYPES),
        st.sampled_from([None, 0.5, 2.5, 3.0, 5.0, 9.0]),
        st.integers(-1_000, 40 * 86_400),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(TOUCHES, st.sampled_from([WEIGHING, FADING, Weighing(view=0.0, half_life_seconds=1e6)]))
def test_live_and_batch_weigh_alike(
    touched: list[tuple[str, str, float | None, int]], weighing: Weighing
) -> None:
    """What serving computes for one person is what the table holds, to 1e-5."""
    now = to_microseconds(NOW)
    touches = [
        Touch(item, kind, value, now - seconds * 1_000_003, offset)
        for offset, (item, kind, value, seconds) in enumerate(touched)
    ]
    live = confidences(reversed(touches), weighing, now)
    events = [
        {"item_id": t.item_id, "type": t.type, "value": t.value,
         "occurred_at": from_microseconds(t.occurred_at)}
        for t in touches
    ]  # fmt: skip
    table = user_item(silver(*events), weighing, NOW)
    batch = {item: (c, d, at) for item, c, d, at in
             rows(table, "item_id", "confidence", "dismissed", "last_at")}  # fmt: skip
    wanted = dict(zip(live.items, live.weights.tolist(), strict=True))
    for item, (value, dismissed, _) in batch.items():
        assert wanted.get(item, 0.0) == pytest.approx(value, rel=1e-5, abs=1e-5)
        assert (item in live.dismissed) == dismissed
    assert set(wanted) <= set(batch)
    assert live.dismissed | live.consumed == set(batch)
    for item, seconds in zip(live.items, live.times.tolist(), strict=True):
        assert seconds == math.floor(batch[item][2].timestamp())
    assert live.times.tolist() == sorted(live.times.tolist())


def test_item_stats() -> None:
    """People, touches and the mean of last ratings; who dismissed the item is left out."""
    acts = [
        {"type": "rating", "value": 4.0, "occurred_at": ago(days=2)},
        {"type": "view", "user_id": "bob"},
        {"type": "rating", "value": 1.0, "user_id": "bob"},
        {"type": "like", "user_id": "eve"},
        {"type": "dismiss", "user_id": "eve"},
        {"type": "view", "item_id": "j"},
    ]
    stats = item_stats(user_item(silver(*acts), WEIGHING, NOW))
    columns = ("item_id", "people", "touches", "ratings", "mean_rating", "first_at")
    assert rows(stats, *columns) == [("i", 2, 3, 2, 2.5, ago(days=2)), ("j", 1, 1, 0, None, NOW)]


def top(*acts: dict[str, Any], days: int = 7, limit: int = 10) -> list[tuple[Any, ...]]:
    half_life = timedelta(days=2).total_seconds()
    found = trending(
        silver(*acts), WEIGHING, as_of=NOW, days=days, half_life_seconds=half_life, limit=limit
    )
    return rows(found, "rank", "item_id", "score", "people", "window")


def test_trending_fades_and_ranks() -> None:
    """Newer touches weigh more, ties go by id, and the list is as long as asked."""
    acts = [
        {"type": "view", "item_id": "old", "occurred_at": ago(days=2)},
        {"type": "view", "item_id": "b"},
        {"type": "view", "item_id": "a"},
        {"type": "like", "item_id": "hot", "user_id": "bob"},
        {"type": "view", "item_id": "hot"},
        {"type": "view", "item_id": "hot"},
    ]
    expected = [
        (1, "hot", 7.0, 2, "7d"),
        (2, "a", 1.0, 1, "7d"),
        (3, "b", 1.0, 1, "7d"),
        (4, "old", 0.5, 1, "7d"),
    ]
    assert [(*r[:2], round(r[2], 6), *r[3:]) for r in top(*acts)] == expected
    assert [r[1] for r in top(*acts, limit=2)] == ["hot", "a"]
    assert [r[1] for r in top(*acts, days=1)] == ["hot", "a", "b"]


def test_trending_ignores_what_is_no_touch() -> None:
    """Impressions, dismisses and what happened after the moment do not count."""
    acts = [
        {"type": "impression"},
        {"type": "dismiss"},
        {"type": "like", "occurred_at": NOW + timedelta(seconds=1)},
        {"type": "rating", "value": 1.0},
    ]
    assert top(*acts) == []

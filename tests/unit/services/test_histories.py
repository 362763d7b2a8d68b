"""The online state that was loaded in bulk is the one that followed the log event by event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.adapters.engine.local import LocalEngine
from nextup.adapters.online_state.memory import MemoryOnlineState
from nextup.bootstrap import open_platform
from nextup.domain.events import START, Event
from nextup.domain.items import Item
from nextup.services.collect import collect
from nextup.services.histories import is_ahead, load_histories
from nextup.services.refine import refine
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.ports.online_state import OnlineState

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
WINDOW_DAYS = 14
WEIGHTS = {"view": 1.0, "click": 2.0, "like": 5.0, "rating": 5.0}


def new_state() -> OnlineState:
    return MemoryOnlineState(weights=WEIGHTS, window_days=WINDOW_DAYS)


def followed(platform: Platform) -> OnlineState:
    """What reading the log gives."""
    state = new_state()
    batch = platform.event_log.read(START, 100_000)
    state.apply(batch.rows, batch.position)
    return state


def loaded(platform: Platform, slice_rows: int = 1_000_000) -> tuple[OnlineState, int]:
    state = new_state()
    engine = LocalEngine(platform.lake, slice_rows=slice_rows)
    people = load_histories(engine, platform.lake, state, window_days=WINDOW_DAYS)
    engine.close()
    return state, people


def bring_in(platform: Platform, events: Sequence[Event]) -> None:
    platform.catalog.put_items([Item(f"i{n}") for n in range(4)])
    platform.event_log.append(events)
    collect(platform.event_log, platform.engine, batch_rows=1000)
    refine(platform.engine, platform.catalog, batch_rows=1000)


def like(number: int, user: str = "ada", kind: str = "like", **ago: float) -> Event:
    return Event(f"e{number}", kind, user, f"i{number % 4}", NOW - timedelta(**ago))


def everything(state: OnlineState, users: Sequence[str]) -> dict[str, object]:
    since = NOW - timedelta(days=WINDOW_DAYS - 1)
    trending = state.trending(since, NOW + timedelta(hours=1))
    return {
        "position": dict(state.position()),
        "trending": {item: sorted(hours) for item, hours in trending.items()},
        **{user: state.history(user) for user in users},
    }


acts = st.lists(
    st.tuples(
        st.sampled_from(["ada", "bob", "Ada", "a b", "ü"]),
        st.sampled_from(["view", "click", "like", "rating", "dismiss", "impression", "retract"]),
        st.integers(0, 3),
        st.integers(0, 20 * 24 * 60),  # minutes ago
        st.sampled_from([0.5, 3.0, 5.0]),
    ),
    min_size=1,
    max_size=30,
)


@hypothesis.settings(max_examples=8, deadline=None)
@given(acts=acts)
def test_loading_is_following(tmp_path_factory: pytest.TempPathFactory, acts: list) -> None:
    """Histories are equal touch by touch, in one slice or in many; so are recent counters."""
    numbers = count()
    events = [
        Event(
            f"e{next(numbers)}",
            kind,
            user,
            f"i{item}",
            NOW - timedelta(minutes=minutes),
            stars if kind == "rating" else None,
        )
        for user, kind, item, minutes, stars in acts
    ]
    users = sorted({event.user_id for event in events})
    with open_platform(load_settings(tmp_path_factory.mktemp("platform"))) as platform:
        bring_in(platform, events)
        expected = followed(platform)
        for slice_rows in (5, 1_000_000):
            state, _ = loaded(platform, slice_rows)
            assert {user: _acts(state, user) for user in users} == {
                user: _acts(expected, user) for user in users
            }
            assert state.position() == platform.event_log.head()


def _acts(state: OnlineState, user: str) -> list:
    """An impression is no act of the person; following the log may keep it, loading does not."""
    return [touch for touch in state.history(user) if touch.type != "impression"]


def test_counters_are_those_of_following(tmp_path: Path) -> None:
    """What trends after a load is what would trend had every event been applied."""
    events = [
        like(n, kind=kind, hours=n * 7)
        for n, kind in enumerate(["view", "click", "like", "view", "like", "click"] * 4)
    ]
    with open_platform(load_settings(tmp_path)) as platform:
        bring_in(platform, events)
        state, people = loaded(platform)
        assert people == 1
        assert everything(state, ["ada"]) == everything(followed(platform), ["ada"])


def test_what_came_since_is_kept(tmp_path: Path) -> None:
    """Events that the state applied beyond the lake are neither lost nor counted twice."""
    with open_platform(load_settings(tmp_path)) as platform:
        bring_in(platform, [like(n) for n in range(6)])
        state = new_state()
        platform.event_log.append([like(6), like(7, "bob")])
        rows = platform.event_log.read(START, 100)
        late = [row for row in rows.rows if row.event_id in {"e6", "e7"}]
        state.apply(late, {})  # the updater saw the newest first, as after a fresh start
        assert load_histories(platform.engine, platform.lake, state, window_days=WINDOW_DAYS)
        expected = followed(platform)
        for user in ("ada", "bob"):
            assert state.history(user) == expected.history(user)


def test_a_state_that_is_ahead_is_left_alone(tmp_path: Path) -> None:
    """When the state has read the log further than the lake, loading does nothing."""
    with open_platform(load_settings(tmp_path)) as platform:
        bring_in(platform, [like(n) for n in range(3)])
        platform.event_log.append([like(3)])
        state = followed(platform)
        before = everything(state, ["ada"])
        assert not load_histories(platform.engine, platform.lake, state, window_days=WINDOW_DAYS)
        assert everything(state, ["ada"]) == before


def test_an_empty_lake_loads_nothing(tmp_path: Path) -> None:
    """Before the first event there is nothing to load, and no error."""
    with open_platform(load_settings(tmp_path)) as platform:
        state, people = loaded(platform)
        assert people == 0
        assert state.position() == START


def test_progress_counts_the_slices(tmp_path: Path) -> None:
    """Every slice is reported, and the last report says that all are done."""
    reports: list[tuple[str, int, int]] = []
    with open_platform(load_settings(tmp_path)) as platform:
        bring_in(platform, [like(n, f"u{n}") for n in range(30)])
        engine = LocalEngine(platform.lake, slice_rows=10)
        load_histories(
            engine,
            platform.lake,
            new_state(),
            window_days=WINDOW_DAYS,
            report=lambda *given: reports.append(given),
        )
        engine.close()
    total = reports[-1][2]
    assert total > 1
    assert reports == [("histories", n, total) for n in range(1, total + 1)]


@pytest.mark.parametrize(
    ("position", "other", "ahead"),
    [
        ({}, {}, False),
        ({"0": 1}, {}, True),
        ({}, {"0": 1}, False),
        ({"0": 5}, {"0": 5}, False),
        ({"0": 5, "1": 2}, {"0": 9, "1": 1}, True),
        ({"0": 0}, {}, False),
    ],
)
def test_ahead_means_in_any_partition(position: dict, other: dict, ahead: bool) -> None:
    """One partition that lies further is enough; an absent one stands at 0."""
    assert is_ahead(position, other) is ahead

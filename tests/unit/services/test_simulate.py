"""The simulated audience acts through the log, like everybody, and each act counts once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from nextup.algorithms.audience.simulate import AudienceConfig
from nextup.bootstrap import open_platform
from nextup.domain.errors import Conflict
from nextup.domain.events import START, EventType, from_microseconds
from nextup.domain.items import Item
from nextup.services.simulate import put_sample, simulate, write_days
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.services.simulate import Simulated

END = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with open_platform(load_settings(tmp_path)) as platform:
        put_sample(platform.catalog)
        yield platform


def act(
    platform: Platform, people: int = 30, days: int = 3, ends_at: datetime = END, seed: int = 1
) -> Simulated:
    config = AudienceConfig(people=people, days=days)
    return simulate(platform.event_log, platform.catalog, config, ends_at=ends_at, seed=seed)


def kept(platform: Platform) -> int:
    return len(platform.event_log.read(START, 1_000_000).rows)


def test_the_sample_is_put_once(platform: Platform) -> None:
    """Putting the sample again changes nothing."""
    items = list(platform.catalog.all_items())
    assert put_sample(platform.catalog) == len(items)
    assert list(platform.catalog.all_items()) == items
    assert {item.kind for item in items} == {"film", "book"}


def test_events_are_those_of_the_period(platform: Platform) -> None:
    """Everything happens within the period, with known items and known types."""
    done = act(platform)
    rows = platform.event_log.read(START, 1_000_000).rows
    assert done.events == len(rows) > 0
    assert done.duplicates == 0
    assert done.people == len({row.user_id for row in rows})
    assert platform.catalog.unknown_items({row.item_id for row in rows}) == set()
    assert {row.type for row in rows} <= set(EventType)
    times = [from_microseconds(row.occurred_at) for row in rows]
    assert END - timedelta(days=3) <= min(times)
    assert max(times) < END


def test_the_same_audience_twice_counts_once(platform: Platform) -> None:
    """Repeating a simulation, as after a kill, adds nothing and says so."""
    first = act(platform)
    again = act(platform)
    assert (again.events, again.duplicates) == (0, first.events)
    assert kept(platform) == first.events


@pytest.mark.parametrize(
    "other",
    [{"seed": 2}, {"people": 40}, {"days": 4}, {"ends_at": END + timedelta(days=3)}],
    ids=lambda other: next(iter(other)),
)
def test_another_audience_is_other_people_or_times(platform: Platform, other: dict) -> None:
    """Another seed, size or period gives events of its own; none is taken for a known one."""
    first = act(platform)
    second = act(platform, **other)
    assert second.duplicates == 0
    assert kept(platform) == first.events + second.events


def test_other_items_make_other_events(platform: Platform) -> None:
    """After the catalogue grew, the same audience does other things, which all count."""
    first = act(platform)
    platform.catalog.put_items([Item(f"new-{n}", "film", "New", 2026) for n in range(50)])
    second = act(platform)
    assert second.duplicates == 0
    assert kept(platform) == first.events + second.events


def test_files_hold_what_the_log_would(platform: Platform, tmp_path: Path) -> None:
    """Day by day, under the same ids; written again they are the same."""
    config, items = AudienceConfig(people=30, days=3), list(platform.catalog.all_items())

    def written() -> dict[str, bytes]:
        files = write_days(tmp_path / "days", items, config, ends_at=END, seed=1)
        assert all(len(one.path.read_bytes().splitlines()) == one.events for one in files)
        return {one.path.name: one.path.read_bytes() for one in files}

    days = written()
    assert sorted(days) == [f"events-2026-01-{day}.jsonl" for day in (29, 30, 31)]
    assert days == written()
    act(platform)
    for day, content in days.items():
        for line in map(json.loads, content.splitlines()):
            assert line["occurred_at"].startswith(day[7:17])
    logged = {row.event_id: row for row in platform.event_log.read(START, 1_000_000).rows}
    told = {
        line["event_id"]: line
        for each in days.values()
        for line in map(json.loads, each.splitlines())
    }
    assert told.keys() == logged.keys()
    for event_id, line in told.items():
        assert line["item_id"] == logged[event_id].item_id
        assert line.get("value") == logged[event_id].value


def test_files_need_items(tmp_path: Path) -> None:
    """As the log does."""
    with pytest.raises(Conflict, match="nextup ingest sample"):
        write_days(tmp_path, [], AudienceConfig(people=30, days=3), ends_at=END, seed=1)


def test_progress_reaches_its_end(platform: Platform) -> None:
    """The last report says that all events are done."""
    reports: list[tuple[str, int, int]] = []
    config = AudienceConfig(people=30, days=2)
    done = simulate(
        platform.event_log,
        platform.catalog,
        config,
        ends_at=END,
        seed=1,
        report=lambda *given: reports.append(given),
    )
    assert reports[-1] == ("events", done.events, done.events)


def test_nobody_acts_on_nothing(tmp_path: Path) -> None:
    """An empty catalogue is refused with the command that fills it."""
    with (
        open_platform(load_settings(tmp_path)) as platform,
        pytest.raises(Conflict, match="nextup ingest sample"),
    ):
        act(platform)

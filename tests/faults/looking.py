"""What a platform holds, looked at from outside the process that was killed."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from nextup.adapters.online_state.memory import MemoryOnlineState
from nextup.bootstrap import open_platform
from nextup.domain.events import START
from nextup.domain.tables import EVENT_ID, OFFSET, Table
from nextup.services.collect import SOURCE
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.domain.events import LogRow
    from nextup.domain.recommendations import PublishedList

EVERYTHING = 10_000_000  # rows


@contextmanager
def opened(home: Path) -> Iterator[Platform]:
    with open_platform(load_settings(home)) as platform:
        yield platform


def log_rows(platform: Platform) -> list[LogRow]:
    """The log, each event of which must be there once; offsets and times ascend."""
    rows = platform.event_log.read(START, EVERYTHING).rows
    assert len({row.event_id for row in rows}) == len(rows)
    pairs = list(pairwise(rows))
    assert all(first.offset < second.offset for first, second in pairs)
    assert all(first.received_at <= second.received_at for first, second in pairs)
    assert platform.event_log.head().get("0", 0) == (rows[-1].offset + 1 if rows else 0)
    return rows


def rejected_ids(platform: Platform) -> list[str]:
    """The ids of what broke a contract, each once."""
    rows = platform.event_log.read_rejected(START, EVERYTHING).rows
    ids = [row.rejected_id for row in rows]
    assert len(set(ids)) == len(ids)
    return ids


def events_in(platform: Platform, table: Table, rows: Sequence[LogRow]) -> int:
    """How many of the log's events have come to the table: all of those before its position,
    and no others. More or fewer would be half a transaction."""
    found = platform.lake.scan(table).select(OFFSET, EVENT_ID).collect().sort(OFFSET).rows()
    reached = platform.lake.position(table, SOURCE).get("0", 0)
    assert found == [(row.offset, row.event_id) for row in rows if row.offset < reached]
    return len(found)


def hashes(platform: Platform) -> dict[Table, str]:
    """A fingerprint of every table, all of which must be readable to the last byte."""
    for table in Table:
        platform.lake.scan(table).collect()
    return {table: platform.lake.content_hash(table) for table in Table}


def lists(platform: Platform) -> dict[str, PublishedList | None]:
    """What everybody who is in the log is shown from the store."""
    people = {row.user_id for row in log_rows(platform)}
    return {user_id: platform.recommendation_store.read(user_id) for user_id in sorted(people)}


def published_in_lake(platform: Platform) -> dict[str, list[tuple[str, float, str]]]:
    """The lists of gold.recommendations, by person."""
    rows = platform.lake.scan(Table.RECOMMENDATIONS).sort("user_id", "rank").collect()
    found: dict[str, list[tuple[str, float, str]]] = {}
    for user_id, item_id, score, source in rows.select(
        "user_id", "item_id", "score", "source"
    ).iter_rows():
        found.setdefault(user_id, []).append((item_id, score, source))
    return found


def assert_whole_generation(platform: Platform) -> str | None:
    """The generation in service has as many lists as were published under its name."""
    current = platform.recommendation_store.current()
    if current is not None:
        known = {one.generation: one.lists for one in platform.control.generations()}
        assert platform.recommendation_store.count(current) == known.get(
            current, platform.recommendation_store.count(current)
        )
        assert platform.recommendation_store.count(current) > 0
    return current


def assert_state_is_the_log(platform: Platform) -> None:
    """Histories and counters of the last day are those of a replay of the whole log into an
    empty state of another kind."""
    settings = platform.settings
    rows = log_rows(platform)
    state = platform.online_state
    assert state.position() == platform.event_log.head()
    replayed = MemoryOnlineState(
        weights=settings.weights.model_dump(), window_days=settings.trending.window_days
    )
    replayed.apply(rows, platform.event_log.head())
    for user_id in {row.user_id for row in rows}:
        assert state.history(user_id) == replayed.history(user_id), user_id
    now = datetime.now(UTC)
    day = (now - timedelta(days=1), now + timedelta(hours=1))
    assert dict(state.trending(*day)) == dict(replayed.trending(*day))

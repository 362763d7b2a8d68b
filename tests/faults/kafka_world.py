"""A small platform whose event log is on Kafka, and the counts that must agree in the end."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.faults.looking import EVERYTHING, opened
from tests.faults.processes import succeed

from nextup.adapters.online_state.memory import MemoryOnlineState
from nextup.domain.events import START
from nextup.domain.tables import EVENT_ID, OFFSET, PARTITION, Table
from nextup.services.collect import SOURCE

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.domain.events import LogRow

TIMEOUT = 2.0  # seconds for brokers to answer
SESSION = 2.0  # seconds until a silent stream loses its share
SETTINGS = """
event_log_url = "{url}"

[lake]
batch_rows = 500
collect_seconds = 0.3

[kafka]
partitions = 3
replication = {replication}
timeout_seconds = {timeout}
session_seconds = {session}
"""


def kafka_home(sample_folder: Path, home: Path, url: str, *, replication: int = 1) -> Path:
    """A folder with the sample's catalogue and an empty log."""
    (home / "data").mkdir(parents=True)
    text = SETTINGS.format(url=url, replication=replication, timeout=TIMEOUT, session=SESSION)
    (home / "nextup.toml").write_text(text, encoding="utf-8")
    shutil.copy(sample_folder / "data" / "catalog.db", home / "data")
    return home


def log_rows(platform: Platform) -> list[LogRow]:
    """The log, each event of which must be there once; offsets ascend in each partition."""
    rows, position = [], START
    while True:
        batch = platform.event_log.read(position, EVERYTHING)
        rows += batch.rows
        if not batch.rows:
            break
        position = batch.position
    assert len({row.event_id for row in rows}) == len(rows)
    partitions = defaultdict(list)
    for row in rows:
        partitions[row.partition].append(row.offset)
    for offsets in partitions.values():
        assert all(first < second for first, second in pairwise(offsets))
    people = defaultdict(set)
    for row in rows:
        people[row.user_id].add(row.partition)
    assert set(map(len, people.values())) <= {1}
    return rows


def assert_table_is_the_log(platform: Platform, table: Table, rows: list[LogRow]) -> None:
    """Every event of the log is there once, at its place, and no others."""
    found = platform.lake.scan(table).select(PARTITION, OFFSET, EVENT_ID).collect().rows()
    reached = platform.lake.position(table, SOURCE)
    expected = [
        (row.partition, row.offset, row.event_id)
        for row in rows
        if row.offset < reached.get(row.partition, 0)
    ]
    assert Counter(found) == Counter(expected)


def assert_all_counts_agree(home: Path, acknowledged: Collection[str]) -> int:
    """What clients were told, the log, bronze, silver and the online state: the same events."""
    succeed(home, "pipeline", "run", "--to", "refine")
    succeed(home, "stream", "--only", "online", "--once")
    with opened(home) as platform:
        rows = log_rows(platform)
        assert sorted(row.event_id for row in rows) == sorted(acknowledged)
        for table in (Table.EVENTS, Table.INTERACTIONS):
            assert_table_is_the_log(platform, table, rows)
            assert platform.lake.scan(table).collect().height == len(rows)
        assert_state_is_the_log(platform, rows)
    return len(rows)


def assert_state_is_the_log(platform: Platform, rows: list[LogRow]) -> None:
    """Histories and counters are those of a replay into an empty state of another kind."""
    settings = platform.settings
    replayed = MemoryOnlineState(
        weights=settings.weights.model_dump(), window_days=settings.trending.window_days
    )
    replayed.apply(rows, platform.event_log.head())
    state = platform.online_state
    for user_id in {row.user_id for row in rows}:
        assert state.history(user_id) == replayed.history(user_id), user_id
    now = datetime.now(UTC)
    day = (now - timedelta(days=1), now + timedelta(hours=1))
    assert dict(state.trending(*day)) == dict(replayed.trending(*day))

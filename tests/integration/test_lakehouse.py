"""From the log to gold: every event exactly once, whatever is retried, killed or replayed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.engine.local import LocalEngine
from nextup.adapters.event_log.sql import SqlEventLog
from nextup.adapters.lake.delta import DeltaLake
from nextup.adapters.sql import open_database
from nextup.domain.events import Event, LogRow, Rejected, to_microseconds
from nextup.domain.items import Item
from nextup.domain.tables import EVENT_ID, OFFSET, PARTITION, Table
from nextup.ports.event_log import EventBatch, RejectedBatch
from nextup.services.collect import collect
from nextup.services.features import make_features
from nextup.services.lake_upkeep import lake_status, maintain_lake
from nextup.services.refine import refine
from nextup.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextup.domain.events import Position
    from nextup.ports.event_log import EventLog

NOW = datetime(2024, 6, 1, tzinfo=UTC)
TYPES = ("view", "click", "like", "rating", "dismiss", "impression", "retract")
BUILT = (
    Table.EVENTS,
    Table.QUARANTINE,
    Table.INTERACTIONS,
    Table.ITEMS,
    Table.USER_ITEM,
    Table.ITEM_STATS,
    Table.TRENDING,
)


class PlainLog:
    """A log that does not deduplicate and has two partitions, as a queue's would."""

    def __init__(self, rows: Sequence[LogRow]) -> None:
        self.rows = list(rows)

    def head(self) -> Position:
        return {row.partition: row.offset + 1 for row in self.rows}

    def read(self, position: Position, limit: int) -> EventBatch:
        ahead = [row for row in self.rows if row.offset >= position.get(row.partition, 0)]
        return EventBatch(
            ahead[:limit], {**position, **{r.partition: r.offset + 1 for r in ahead[:limit]}}
        )

    def read_rejected(self, position: Position, limit: int) -> RejectedBatch:
        return RejectedBatch([], position)


def log_row(partition: str, offset: int, event_id: str, **other: Any) -> LogRow:
    at = to_microseconds(NOW)
    row = LogRow(partition, offset, at, event_id, "view", "ada", "i1", at, None, None, None, None)
    return row._replace(**other)


def events(count: int, seed: int = 1) -> list[Event]:
    rng = random.Random(seed)
    return [
        Event(
            f"e{seed}-{n}",
            rng.choice(TYPES),
            f"u{rng.randrange(30)}",
            f"i{rng.randrange(60)}",
            NOW - timedelta(seconds=rng.randrange(30 * 86_400)),
            rng.choice([None, 1.0, 3.5, 5.0]),
        )
        for n in range(count)
    ]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlEventLog]:
    log = SqlEventLog(open_database("sqlite:///events.db", tmp_path))
    yield log
    log.close()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    catalog = SqlCatalog(open_database("sqlite:///catalog.db", tmp_path))
    catalog.put_items(Item(f"i{n}", "film", f"Film {n}", genres=("Drama",)) for n in range(50))
    yield catalog
    catalog.close()


def build(
    log: EventLog | PlainLog, catalog: SqlCatalog, lake: DeltaLake, *, batch_rows: int = 100
) -> dict[str, dict[str, int]]:
    engine = LocalEngine(lake, slice_rows=200)
    return {
        "collect": collect(log, engine, batch_rows=batch_rows),  # type: ignore[arg-type]
        "refine": refine(engine, catalog, batch_rows=batch_rows),
        "features": make_features(engine, Settings(), NOW),
    }


def hashes(lake: DeltaLake) -> dict[Table, str]:
    return {table: lake.content_hash(table) for table in BUILT}


def test_from_log_to_gold(log: SqlEventLog, catalog: SqlCatalog, tmp_path: Path) -> None:
    """Counts add up from table to table, and a second run finds nothing to do."""
    log.append(events(1000))
    log.reject([Rejected("r1", "api", "{", "json", "Not JSON.", NOW)])
    lake = DeltaLake(str(tmp_path / "lake"))
    done = build(log, catalog, lake)
    assert done["collect"] == {"events": 1000, "rejected": 1}
    assert done["refine"]["read"] == done["refine"]["written"] == 1000
    assert done["refine"]["items"] == 50
    silver = lake.scan(Table.INTERACTIONS).collect()
    unknown = sum(int(item[1:]) >= 50 for item in silver["item_id"])
    assert done["refine"]["unknown_items"] == unknown > 0
    pair = ["user_id", "item_id"]
    retracts = silver.filter(pl.col("type") == "retract").group_by(pair)
    taken_back = retracts.agg(pl.col("occurred_at").max().alias("until"))
    acts = silver.join(taken_back, on=pair, how="left").filter(
        pl.col("type") != "impression",
        pl.col("until").is_null() | (pl.col("occurred_at") > pl.col("until")),
    )
    assert done["features"]["user_item"] == acts.select(pair).n_unique()
    before = hashes(lake)
    again = build(log, catalog, lake)
    assert again["collect"] == {"events": 0, "rejected": 0}
    assert again["refine"]["read"] == 0
    assert hashes(lake) == before
    assert lake.position(Table.TRENDING, "events") == log.head()


def test_replay_gives_identical_tables(
    log: SqlEventLog, catalog: SqlCatalog, tmp_path: Path
) -> None:
    """An empty lake filled from zero equals one that grew bit by bit, in every table."""
    grown = DeltaLake(str(tmp_path / "grown"))
    for seed in range(4):
        log.append(events(300, seed))
        log.append(events(300, seed))  # a client's retry
        build(log, catalog, grown, batch_rows=70 + 40 * seed)
        maintain_lake(grown, keep_days=1)
    replayed = DeltaLake(str(tmp_path / "replayed"))
    build(log, catalog, replayed, batch_rows=100_000)
    assert hashes(replayed) == hashes(grown)
    assert replayed.scan(Table.INTERACTIONS).collect().height == 1200
    assert {s.table: s.rows for s in lake_status(replayed)} == {
        s.table: s.rows for s in lake_status(grown)
    }


def test_duplicates_of_a_plain_log(catalog: SqlCatalog, tmp_path: Path) -> None:
    """The first event of each id stays: within a chunk, across chunks, and across runs."""
    log = PlainLog(
        [
            log_row("0", 0, "a"),
            log_row("0", 1, "a", item_id="i2"),
            log_row("1", 4, "b"),
            log_row("0", 9, "a", item_id="i3"),  # after a gap
        ]
    )
    lake = DeltaLake(str(tmp_path / "lake"))
    first = build(log, catalog, lake, batch_rows=2)["refine"]
    assert (first["read"], first["written"], first["duplicates"]) == (4, 2, 2)
    log.rows += [log_row("0", 10, "b"), log_row("1", 5, "c")]
    second = build(log, catalog, lake, batch_rows=2)["refine"]
    assert (second["read"], second["written"], second["duplicates"]) == (2, 1, 1)
    silver = lake.scan(Table.INTERACTIONS).select(EVENT_ID, PARTITION, OFFSET).collect()
    assert sorted(silver.rows()) == [("a", "0", 0), ("b", "1", 4), ("c", "1", 5)]


def test_late_events_keep_their_time(log: SqlEventLog, catalog: SqlCatalog, tmp_path: Path) -> None:
    """An event that arrives late counts at the moment it happened, in the next run."""
    lake = DeltaLake(str(tmp_path / "lake"))
    log.append([Event("new", "rating", "ada", "i1", NOW - timedelta(hours=1), 5.0)])
    build(log, catalog, lake)
    log.append([Event("late", "rating", "ada", "i1", NOW - timedelta(days=3), 1.0)])
    build(log, catalog, lake)
    (pair,) = lake.scan(Table.USER_ITEM).collect().rows(named=True)
    assert (pair["rating"], pair["touches"]) == (5.0, 2)
    assert pair["first_at"] == NOW - timedelta(days=3)


def test_gold_stops_at_its_moment(log: SqlEventLog, catalog: SqlCatalog, tmp_path: Path) -> None:
    """What happens after the end of the day is not in that day's gold."""
    lake = DeltaLake(str(tmp_path / "lake"))
    log.append([Event("later", "like", "ada", "i1", NOW)])
    assert build(log, catalog, lake)["features"] == {"user_item": 0, "item_stats": 0, "trending": 0}


def test_broken_rows_are_quarantined_once(catalog: SqlCatalog, tmp_path: Path) -> None:
    """A row that breaks a rule of silver is kept whole with the rule; the others go on."""
    rows = [log_row("0", n, f"e{n}", type="stare" if n % 3 == 0 else "like") for n in range(10)]
    rows[1] = rows[1]._replace(value=float("nan"), context='{"ü": 1}')
    lake = DeltaLake(str(tmp_path / "lake"))
    done = build(PlainLog(rows), catalog, lake, batch_rows=3)["refine"]
    assert (done["read"], done["written"], done["quarantined"]) == (10, 5, 5)
    kept = lake.scan(Table.QUARANTINE).sort(OFFSET).collect()
    assert kept[OFFSET].to_list() == [0, 1, 3, 6, 9]
    assert set(kept["rule"]) == {"type.one_of", "value.range"}
    assert '"event_id": "e0"' in kept["record"][0]
    other = DeltaLake(str(tmp_path / "other"))
    build(PlainLog(rows), catalog, other, batch_rows=100)
    assert hashes(other) == hashes(lake)


def test_quarantine_survives_a_kill_before_silver(catalog: SqlCatalog, tmp_path: Path) -> None:
    """Broken rows that were kept before the good ones could be written are not kept again."""
    rows = [log_row("0", n, f"e{n}", type="stare" if n % 2 else "like") for n in range(6)]
    lake = DeltaLake(str(tmp_path / "lake"))

    class Dies(LocalEngine):
        def append(self, table: Table, *args: Any, **options: Any) -> int:
            if table is Table.INTERACTIONS:
                raise KeyboardInterrupt
            return super().append(table, *args, **options)

    collect(PlainLog(rows[:4]), LocalEngine(lake), batch_rows=10)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        refine(Dies(lake), catalog, batch_rows=10)
    done = build(PlainLog(rows), catalog, lake)["refine"]  # two more rows have come meanwhile
    assert (done["read"], done["written"], done["quarantined"]) == (6, 3, 3)
    assert sorted(lake.scan(Table.QUARANTINE).collect()[OFFSET]) == [1, 3, 5]


PIPELINE = """
import sys
from pathlib import Path
from tests.integration.test_lakehouse import *
home = Path(sys.argv[1])
log = SqlEventLog(open_database("sqlite:///events.db", home))
catalog = SqlCatalog(open_database("sqlite:///catalog.db", home))
print("ready", flush=True)
build(log, catalog, DeltaLake(str(home / "lake")), batch_rows=40)
print("done", flush=True)
"""


def test_killed_anywhere_nothing_lost(
    log: SqlEventLog, catalog: SqlCatalog, tmp_path: Path
) -> None:
    """SIGKILL at random moments of the way to gold, then a whole run: as if nothing happened."""
    log.append(events(1500))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}
    rng = random.Random(7)
    killed = 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", PIPELINE, str(tmp_path)],
            stdout=subprocess.PIPE,
            env=environment,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            try:
                process.wait(rng.uniform(0.05, 0.6))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
    assert killed > 0
    lake = DeltaLake(str(tmp_path / "lake"))
    build(log, catalog, lake, batch_rows=40)
    replayed = DeltaLake(str(tmp_path / "replayed"))
    build(log, catalog, replayed, batch_rows=10_000)
    assert hashes(lake) == hashes(replayed)
    assert lake.scan(Table.INTERACTIONS).collect()[EVENT_ID].n_unique() == 1500

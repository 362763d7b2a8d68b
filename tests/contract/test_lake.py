"""What every lake promises."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.contract.backends import LAKES, Place, kill_at_line
from tests.contract.backends import places as backends
from tests.contract.lake_rows import DAY, events, items, offsets, places

from nextup.adapters.lake.frames import polars_schema
from nextup.domain.errors import Conflict, InvalidInput, NotFound
from nextup.domain.events import START
from nextup.domain.tables import COLUMNS, OFFSET, SCORE, Table
from nextup.schemas.table_schemas import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.lake import Lake


@pytest.fixture(params=LAKES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from backends(request, tmp_path)


@pytest.fixture
def lake(place: Place) -> Lake:
    return place.lake()


@pytest.mark.parametrize("table", list(Table))
def test_unwritten_table_is_empty(lake: Lake, table: Table) -> None:
    """A table that was never written reads as empty, with its columns and types."""
    frame = lake.scan(table).collect()
    assert frame.is_empty()
    assert frame.schema == polars_schema(table_schema(table))
    assert lake.version(table) is None
    assert lake.position(table, "log") == START


def test_rows_come_back(lake: Lake) -> None:
    """What was appended is read again, to the microsecond, across day partitions."""
    written = events(0, 30, 60)
    lake.append(Table.EVENTS, written)
    assert lake.scan(Table.EVENTS).sort(OFFSET).collect().equals(written)
    assert lake.scan(Table.EVENTS).collect_schema().names() == list(COLUMNS[Table.EVENTS])


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    """Spaces and letters that URLs do not have are read as they were written, and maintained."""
    lake = Place(f"file://{tmp_path}/Müllers films/a lake", tmp_path).lake()
    for offset in range(3):
        lake.append(Table.EVENTS, events(offset))
    assert lake.maintain(keep=timedelta(0))
    assert lake.scan(Table.EVENTS).collect().height == 3
    assert lake.content_hash(Table.EVENTS)
    lake.close()


def test_position_moves_with_rows(lake: Lake) -> None:
    """Each partition's position is stored beside the rows, and each source's apart."""
    lake.append(Table.EVENTS, events(0), source="log", position={"0": 1})
    lake.append(Table.EVENTS, events(5, partition="é/1"), source="log", position={"é/1": 6})
    lake.append(Table.EVENTS, events(9), source="other", position={"0": 3})
    assert lake.position(Table.EVENTS, "log") == {"0": 1, "é/1": 6}
    assert lake.position(Table.EVENTS, "other") == {"0": 3}


def test_same_append_twice_is_one(lake: Lake) -> None:
    """An append whose position was reached before writes nothing."""
    first = lake.append(Table.EVENTS, events(0, 1), source="log", position={"0": 2}, after=START)
    again = lake.append(Table.EVENTS, events(0, 1), source="log", position={"0": 2}, after=START)
    earlier = lake.append(Table.EVENTS, events(0), source="log", position={"0": 1})
    assert first == again == earlier
    assert offsets(lake) == [0, 1]


def test_empty_append_moves_position(lake: Lake) -> None:
    """No rows with a position remember the position; no rows without one do nothing."""
    lake.append(Table.EVENTS, events(), source="log", position={"0": 7})
    version = lake.version(Table.EVENTS)
    assert lake.position(Table.EVENTS, "log") == {"0": 7}
    assert lake.append(Table.EVENTS, events()) == version


def test_moved_source_is_a_conflict(lake: Lake) -> None:
    """Rows that overlap what somebody else wrote are refused, not doubled."""
    lake.append(Table.EVENTS, events(0, 1), source="log", position={"0": 2})
    with pytest.raises(Conflict):
        lake.append(Table.EVENTS, events(0, 1, 2), source="log", position={"0": 3}, after=START)
    both = {"0": 1, "1": 1}
    with pytest.raises(Conflict):
        lake.append(Table.EVENTS, events(0), source="log", position=both)
    assert offsets(lake) == [0, 1]


def test_replace_takes_the_place_of_all(lake: Lake) -> None:
    """Only the new rows remain; equal content still makes a version."""
    lake.replace(Table.TRENDING, places("a", "b"), source="log", position={"0": 4})
    first = lake.version(Table.TRENDING)
    second = lake.replace(Table.TRENDING, [places("c").lazy(), places().lazy()])
    third = lake.replace(Table.TRENDING, places("c").lazy())
    assert items(lake) == ["c"]
    assert first is not None
    assert [second, third] == [first + 1, first + 2]
    assert lake.position(Table.TRENDING, "log") == {"0": 4}
    lake.replace(Table.TRENDING, places())
    assert items(lake) == []


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (places("a").drop(SCORE), "no column score"),
        (places("a").with_columns(extra=1), "no column extra"),
        (places("a").with_columns(pl.lit("high").alias(SCORE)), "score must be"),
        (places("a").with_columns(pl.lit(None, pl.Float64).alias(SCORE)), "may not be empty"),
    ],
)
def test_wrong_frames_are_refused(lake: Lake, frame: pl.DataFrame, said: str) -> None:
    """Missing, surplus, mistyped and empty columns raise InvalidInput and write nothing."""
    lake.replace(Table.TRENDING, places("kept"))
    for write in (
        lambda: lake.append(Table.TRENDING, frame),
        lambda: lake.replace(Table.TRENDING, frame),
        lambda: lake.replace(Table.TRENDING, [places("good").lazy(), frame.lazy()]),
    ):
        with pytest.raises(InvalidInput, match=said):
            write()
    assert items(lake) == ["kept"]


def test_time_travel(lake: Lake) -> None:
    """Every version can be read again, by number and by moment."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    first = lake.replace(Table.TRENDING, places("a"))
    between = datetime.now(UTC)
    threading.Event().wait(0.005)  # versions are told apart by the millisecond
    second = lake.replace(Table.TRENDING, places("b"))
    assert items(lake, first) == items(lake, between) == ["a"]
    assert items(lake, second) == items(lake, datetime.now(UTC)) == ["b"]
    assert items(lake, before) == []
    for never in (second + 1, -1):
        with pytest.raises(NotFound):
            lake.scan(Table.TRENDING, never)
    with pytest.raises(NotFound):
        lake.scan(Table.ITEMS, 0)
    assert lake.scan(Table.ITEMS, between).collect().is_empty()


def test_scan_is_a_snapshot(lake: Lake) -> None:
    """A lazy frame shows the version it was made from, whatever is written before it is run."""
    lake.append(Table.EVENTS, events(0))
    frame = lake.scan(Table.EVENTS)
    lake.append(Table.EVENTS, events(1))
    lake.delete(Table.EVENTS, "user_id = 'ada'")
    assert frame.collect().height == 1


def test_update_and_delete(lake: Lake) -> None:
    """Both say how many rows matched, and positions survive."""
    lake.append(Table.EVENTS, events(0, 1, 2), source="log", position={"0": 3})
    at = "cast('2026-01-02T03:04:05.123456Z' as timestamp)"
    assert lake.update(Table.EVENTS, {"received_at": at}, '"offset" = 1') == 1
    changed = lake.scan(Table.EVENTS).filter(pl.col(OFFSET) == 1).collect()
    assert changed["received_at"][0] == datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)
    assert lake.delete(Table.EVENTS, '"offset" >= 1') == 2
    assert lake.delete(Table.EVENTS, '"offset" >= 1') == 0
    assert offsets(lake) == [0]
    assert lake.position(Table.EVENTS, "log") == {"0": 3}
    assert lake.update(Table.ITEMS, {"kind": "'x'"}, "true") == 0
    assert lake.delete(Table.ITEMS, "true") == 0


def test_status(lake: Lake) -> None:
    """Rows, files and bytes of the latest version of every written table, by name."""
    lake.append(Table.EVENTS, events(0, 30))
    lake.replace(Table.TRENDING, places("a"))
    found = lake.status()
    assert [(s.table, s.rows, s.files) for s in found] == [
        (Table.EVENTS, 2, 2),
        (Table.TRENDING, 1, 1),
    ]
    assert all(s.bytes > 0 and s.changed_at > DAY for s in found)


def test_maintenance_keeps_rows_positions_and_young_versions(lake: Lake) -> None:
    """Compaction changes no row and no position; versions younger than `keep` stay readable."""
    versions = [
        lake.append(Table.EVENTS, events(n), source="log", position={"0": n + 1}) for n in range(6)
    ]
    content = lake.content_hash(Table.EVENTS)
    (status,) = lake.maintain(keep=timedelta(days=1))
    assert (status.rows, status.files) == (6, 1)
    assert lake.content_hash(Table.EVENTS) == content
    assert lake.position(Table.EVENTS, "log") == {"0": 6}
    assert [len(offsets(lake, version)) for version in versions] == [1, 2, 3, 4, 5, 6]
    lake.maintain(keep=timedelta(0))
    assert lake.content_hash(Table.EVENTS) == content
    assert lake.position(Table.EVENTS, "log") == {"0": 6}
    with pytest.raises(NotFound):
        lake.scan(Table.EVENTS, versions[0])
    with pytest.raises(NotFound):
        lake.scan(Table.EVENTS, datetime(2001, 1, 1, tzinfo=UTC))
    assert lake.status()[0].files == 1
    lake.append(Table.EVENTS, events(6), source="log", position={"0": 7}, after={"0": 6})
    assert offsets(lake) == list(range(7))


def test_content_hash(place: Place) -> None:
    """Equal rows in other files and another order hash alike; any other row does not."""
    one, two = place.lake(), place.another().lake()
    one.append(Table.EVENTS, events(0, 1, 2))
    for offset in (2, 0, 1):
        two.append(Table.EVENTS, events(offset))
    assert one.content_hash(Table.EVENTS) == two.content_hash(Table.EVENTS)
    two.append(Table.EVENTS, events(1))
    assert one.content_hash(Table.EVENTS) != two.content_hash(Table.EVENTS)
    assert one.content_hash(Table.ITEMS) == two.content_hash(Table.ITEMS)


def test_tenants_do_not_meet(place: Place) -> None:
    """Two tenants of one root see their own tables only."""
    one, two = place.lake(), replace(place, tenant=f"{place.tenant}_two").lake()
    one.replace(Table.TRENDING, places("a"))
    assert two.status() == []
    assert items(two) == []


def test_writers_at_once_lose_nothing(lake: Lake) -> None:
    """Appends from several threads, to a table that none has made yet, all arrive."""
    failures: list[BaseException] = []

    def write(worker: int) -> None:
        try:
            for n in range(5):
                rows = events(n, partition=str(worker))
                lake.append(Table.EVENTS, rows, source="log", position={str(worker): n + 1})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert lake.scan(Table.EVENTS).collect().height == 20
    assert lake.position(Table.EVENTS, "log") == {str(worker): 5 for worker in range(4)}


def test_racing_collectors_write_once(lake: Lake) -> None:
    """Of two writers with the same rows one writes; the other's is a no-op or a conflict."""
    lake.append(Table.EVENTS, events(), source="log", position={"0": 1})
    start = threading.Barrier(2)

    def write() -> None:
        start.wait()
        lake.append(Table.EVENTS, events(1, 2), source="log", position={"0": 3}, after={"0": 1})

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert offsets(lake) == [1, 2]


WRITER = """
from tests.contract.lake_rows import Table, events
lake = place.lake()
while True:
    done = lake.position(Table.EVENTS, "log").get("0", 0)
    rows = events(*range(done, done + 3))
    lake.append(Table.EVENTS, rows, source="log", position={"0": done + 3}, after={"0": done})
    print(done + 3, flush=True)
"""


def test_killed_writer_leaves_rows_and_position_together(place: Place) -> None:
    """SIGKILL at any moment: each acknowledged row is there once, and so says the position."""
    lake = place.lake()
    for line in (2, 3, 4):  # another moment each time
        acknowledged = kill_at_line(place.run(WRITER), line)
        end = lake.position(Table.EVENTS, "log")["0"]
        assert end >= int(acknowledged[-1])
        assert offsets(lake) == list(range(end))

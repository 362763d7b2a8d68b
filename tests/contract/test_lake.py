"""What every lake promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from nextup.adapters.lake.delta import DeltaLake
from nextup.adapters.lake.frames import polars_schema
from nextup.domain.errors import (
    BackendUnavailable,
    Conflict,
    CorruptData,
    InvalidInput,
    NotFound,
    StorageFull,
)
from nextup.domain.events import START
from nextup.domain.tables import COLUMNS, OFFSET, SCORE, Table
from nextup.schemas.table_schemas import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAY = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[DeltaLake]:
    lake = DeltaLake(str(tmp_path / "lake"))
    yield lake
    lake.close()


def events(*offsets: int, partition: str = "0") -> pl.DataFrame:
    rows = []
    for offset in offsets:
        at = DAY + timedelta(hours=offset)
        row: Sequence[Any] = (
            partition, offset, at, f"{partition}-e{offset}", "rating", "ada", "i1", at, 4.5,
            None, None, '{"a": 1}', at.date(),
        )  # fmt: skip
        rows.append(row)
    return pl.DataFrame(rows, polars_schema(table_schema(Table.EVENTS)), orient="row")


def places(*items: str, score: float = 1.0) -> pl.DataFrame:
    rows = [("7d", rank, item, score, 1) for rank, item in enumerate(items, 1)]
    return pl.DataFrame(rows, polars_schema(table_schema(Table.TRENDING)), orient="row")


def offsets(lake: DeltaLake, as_of: int | datetime | None = None) -> list[int]:
    return sorted(lake.scan(Table.EVENTS, as_of).collect()[OFFSET].to_list())


def items(lake: DeltaLake, as_of: int | datetime | None = None) -> list[str]:
    return lake.scan(Table.TRENDING, as_of).sort("rank").collect()["item_id"].to_list()


def data_files(tmp_path: Path, table: Table) -> list[Path]:
    return sorted((tmp_path / "lake" / table.value.replace(".", "/")).rglob("part-*.parquet"))


@pytest.mark.parametrize("table", list(Table))
def test_unwritten_table_is_empty(lake: DeltaLake, table: Table) -> None:
    """A table that was never written reads as empty, with its columns and types."""
    frame = lake.scan(table).collect()
    assert frame.is_empty()
    assert frame.schema == polars_schema(table_schema(table))
    assert lake.version(table) is None
    assert lake.position(table, "log") == START


def test_rows_come_back(lake: DeltaLake) -> None:
    """What was appended is read again, to the microsecond, across day partitions."""
    written = events(0, 30, 60)
    lake.append(Table.EVENTS, written)
    assert lake.scan(Table.EVENTS).sort(OFFSET).collect().equals(written)
    assert lake.scan(Table.EVENTS).collect_schema().names() == list(COLUMNS[Table.EVENTS])


def test_position_moves_with_rows(lake: DeltaLake) -> None:
    """Each partition's position is stored beside the rows, and each source's apart."""
    lake.append(Table.EVENTS, events(0), source="log", position={"0": 1})
    lake.append(Table.EVENTS, events(5, partition="é/1"), source="log", position={"é/1": 6})
    lake.append(Table.EVENTS, events(9), source="other", position={"0": 3})
    assert lake.position(Table.EVENTS, "log") == {"0": 1, "é/1": 6}
    assert lake.position(Table.EVENTS, "other") == {"0": 3}


def test_same_append_twice_is_one(lake: DeltaLake) -> None:
    """An append whose position was reached before writes nothing."""
    first = lake.append(Table.EVENTS, events(0, 1), source="log", position={"0": 2}, after=START)
    again = lake.append(Table.EVENTS, events(0, 1), source="log", position={"0": 2}, after=START)
    earlier = lake.append(Table.EVENTS, events(0), source="log", position={"0": 1})
    assert first == again == earlier
    assert offsets(lake) == [0, 1]


def test_empty_append_moves_position(lake: DeltaLake) -> None:
    """No rows with a position remember the position; no rows without one do nothing."""
    lake.append(Table.EVENTS, events(), source="log", position={"0": 7})
    version = lake.version(Table.EVENTS)
    assert lake.position(Table.EVENTS, "log") == {"0": 7}
    assert lake.append(Table.EVENTS, events()) == version


def test_moved_source_is_a_conflict(lake: DeltaLake) -> None:
    """Rows that overlap what somebody else wrote are refused, not doubled."""
    lake.append(Table.EVENTS, events(0, 1), source="log", position={"0": 2})
    with pytest.raises(Conflict):
        lake.append(Table.EVENTS, events(0, 1, 2), source="log", position={"0": 3}, after=START)
    both = {"0": 1, "1": 1}
    with pytest.raises(Conflict):
        lake.append(Table.EVENTS, events(0), source="log", position=both)
    assert offsets(lake) == [0, 1]


def test_replace_takes_the_place_of_all(lake: DeltaLake) -> None:
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
def test_wrong_frames_are_refused(lake: DeltaLake, frame: pl.DataFrame, said: str) -> None:
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


def test_time_travel(lake: DeltaLake) -> None:
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


def test_scan_is_a_snapshot(lake: DeltaLake) -> None:
    """A lazy frame shows the version it was made from, whatever is written before it is run."""
    lake.append(Table.EVENTS, events(0))
    frame = lake.scan(Table.EVENTS)
    lake.append(Table.EVENTS, events(1))
    lake.delete(Table.EVENTS, "user_id = 'ada'")
    assert frame.collect().height == 1


def test_update_and_delete(lake: DeltaLake) -> None:
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


def test_status(lake: DeltaLake) -> None:
    """Rows, files and bytes of the latest version of every written table, by name."""
    lake.append(Table.EVENTS, events(0, 30))
    lake.replace(Table.TRENDING, places("a"))
    found = lake.status()
    assert [(s.table, s.rows, s.files) for s in found] == [
        (Table.EVENTS, 2, 2),
        (Table.TRENDING, 1, 1),
    ]
    assert all(s.bytes > 0 and s.changed_at > DAY for s in found)


def test_maintenance_keeps_rows_positions_and_young_versions(
    lake: DeltaLake, tmp_path: Path
) -> None:
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
    assert len(data_files(tmp_path, Table.EVENTS)) == 1
    lake.append(Table.EVENTS, events(6), source="log", position={"0": 7}, after={"0": 6})
    assert offsets(lake) == list(range(7))


def test_maintenance_removes_old_orphans(lake: DeltaLake, tmp_path: Path) -> None:
    """What a killed writer left is removed when it is old; a young one may still be written."""
    lake.replace(Table.TRENDING, places("a"))
    folder = data_files(tmp_path, Table.TRENDING)[0].parent
    old, young = folder / "part-old.parquet", folder / "part-young.parquet"
    for orphan in (old, young):
        orphan.write_bytes(b"half")
    long_ago = (datetime.now(UTC) - timedelta(days=3)).timestamp()
    os.utime(old, (long_ago, long_ago))
    lake.maintain(keep=timedelta(days=2))
    assert not old.exists()
    assert young.exists()
    assert items(lake) == ["a"]


def test_content_hash(tmp_path: Path) -> None:
    """Equal rows in other files and another order hash alike; any other row does not."""
    one, two = DeltaLake(str(tmp_path / "one")), DeltaLake(str(tmp_path / "two"))
    one.append(Table.EVENTS, events(0, 1, 2))
    for offset in (2, 0, 1):
        two.append(Table.EVENTS, events(offset))
    assert one.content_hash(Table.EVENTS) == two.content_hash(Table.EVENTS)
    two.append(Table.EVENTS, events(1))
    assert one.content_hash(Table.EVENTS) != two.content_hash(Table.EVENTS)
    assert one.content_hash(Table.ITEMS) == two.content_hash(Table.ITEMS)


def test_prefixes_do_not_meet(tmp_path: Path) -> None:
    """Two tenants of one root see their own tables only."""
    one, two = DeltaLake(str(tmp_path), "one_"), DeltaLake(f"file://{tmp_path}", "two_")
    one.replace(Table.TRENDING, places("a"))
    assert two.status() == []
    assert items(two) == []


def test_writers_at_once_lose_nothing(lake: DeltaLake) -> None:
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


def test_racing_collectors_write_once(lake: DeltaLake) -> None:
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
import sys
from tests.contract.test_lake import DeltaLake, Table, events
lake = DeltaLake(sys.argv[1])
while True:
    done = lake.position(Table.EVENTS, "log").get("0", 0)
    rows = events(*range(done, done + 3))
    lake.append(Table.EVENTS, rows, source="log", position={"0": done + 3}, after={"0": done})
    print(done + 3, flush=True)
"""


def test_killed_writer_leaves_rows_and_position_together(tmp_path: Path) -> None:
    """SIGKILL at any moment: each acknowledged row is there once, and so says the position."""
    root = tmp_path / "lake"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}
    acknowledged = 0
    for kill in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdout is not None
            for _ in range(2 + kill):
                acknowledged = int(process.stdout.readline())
            threading.Event().wait(0.003 * kill)  # another moment of the next write each time
            process.send_signal(signal.SIGKILL)
        lake = DeltaLake(str(root))
        end = lake.position(Table.EVENTS, "log")["0"]
        assert end >= acknowledged
        assert offsets(lake) == list(range(end))


def test_full_disk(tmp_path: Path) -> None:
    """A full disk raises StorageFull and leaves the table as it was."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        lake = DeltaLake(str(disk / "lake"))
        lake.append(Table.EVENTS, events(0), source="log", position={"0": 1})
        noise = pl.Series("context", [os.urandom(400).hex() for _ in range(2000)])
        large = events(*range(1, 2001)).with_columns(noise)
        with pytest.raises(StorageFull):
            lake.append(Table.EVENTS, large, source="log", position={"0": 2001})
        with pytest.raises(StorageFull):
            lake.replace(Table.EVENTS, large.lazy(), source="log", position={"0": 2001})
        assert offsets(lake) == [0]
        assert lake.position(Table.EVENTS, "log") == {"0": 1}
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_unusable_folder(tmp_path: Path) -> None:
    """A root that is no folder, or may not be written, is a clear error."""
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(BackendUnavailable, match="cannot be used"):
        DeltaLake(str(file)).append(Table.EVENTS, events(0))


def damage_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[4 : middle + 60] = os.urandom(middle + 56)
    file.write_bytes(content)


@pytest.mark.parametrize("how", ["cut short", "missing"])
def test_damaged_file_is_named(lake: DeltaLake, tmp_path: Path, how: str) -> None:
    """A file that is gone or cut short is found before it is read, and named with its table."""
    lake.append(Table.EVENTS, events(0))
    (file,) = data_files(tmp_path, Table.EVENTS)
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CorruptData, match=rf"bronze\.events.*{file.name}"):
        lake.scan(Table.EVENTS)
    assert [file.name in line for line in lake.damage(Table.EVENTS)] == [True]


def test_rotten_bytes_are_named(lake: DeltaLake, tmp_path: Path) -> None:
    """Bytes that changed on disk raise CorruptData with table and file, and stay as they are."""
    lake.append(Table.EVENTS, events(*range(24)))
    (file,) = data_files(tmp_path, Table.EVENTS)
    damage_middle(file)
    rotten = file.read_bytes()
    with pytest.raises(CorruptData, match=rf"bronze\.events.*{file.name}"):
        lake.replace(Table.EVENTS, lake.scan(Table.EVENTS))
    with pytest.raises(CorruptData):
        lake.content_hash(Table.EVENTS)
    assert file.read_bytes() == rotten


@pytest.mark.parametrize("content", ["", '{"commitInfo": {"time'])
def test_damaged_log_is_named(lake: DeltaLake, tmp_path: Path, content: str) -> None:
    """A broken transaction log is an error that names the file; it is never written over."""
    lake.append(Table.EVENTS, events(0))
    log = tmp_path / "lake/bronze/events/_delta_log/00000000000000000000.json"
    log.write_text(content)
    for use in (
        lambda: lake.scan(Table.EVENTS),
        lambda: lake.append(Table.EVENTS, events(1)),
        lambda: lake.position(Table.EVENTS, "log"),
    ):
        with pytest.raises(CorruptData, match="_delta_log"):
            use()
    assert log.read_text() == content


def test_lost_log_is_not_an_empty_table(lake: DeltaLake, tmp_path: Path) -> None:
    """A log whose beginning is gone is damage, not a table to make anew."""
    lake.append(Table.EVENTS, events(0))
    (tmp_path / "lake/bronze/events/_delta_log/00000000000000000000.json").unlink()
    with pytest.raises(CorruptData):
        lake.scan(Table.EVENTS)


def test_new_column_reads_as_null(lake: DeltaLake, tmp_path: Path) -> None:
    """A table written before a column existed is read with nulls in it, and can be appended to."""
    old = pl.DataFrame({"window": ["1d"], "item_id": ["a"], "score": [1.0], "rank": [1]})
    folder = tmp_path / "lake/gold/trending"
    folder.mkdir(parents=True)
    old.with_columns(pl.col("rank").cast(pl.Int32)).write_delta(str(folder))
    assert lake.scan(Table.TRENDING).collect()["people"].to_list() == [None]
    lake.append(Table.TRENDING, places("b"))
    assert sorted(items(lake)) == ["a", "b"]

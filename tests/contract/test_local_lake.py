"""What a lake on a local disk does when the disk is full, unusable or damaged."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.contract.lake_rows import events, items, offsets, places

from nextup.adapters.lake.delta import DeltaLake
from nextup.domain.errors import BackendUnavailable, CorruptData, StorageFull
from nextup.domain.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[DeltaLake]:
    lake = DeltaLake(str(tmp_path / "lake"))
    yield lake
    lake.close()


def data_files(tmp_path: Path, table: Table) -> list[Path]:
    return sorted((tmp_path / "lake" / table.value.replace(".", "/")).rglob("part-*.parquet"))


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

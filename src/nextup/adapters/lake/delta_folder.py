"""Where the tables' folders are, and what a local disk can tell about their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from nextup.adapters.lake.delta_errors import in_our_words, translated
from nextup.domain.errors import CorruptData, NextupError

if TYPE_CHECKING:
    from nextup.adapters.lake.hdfs_mirror import HdfsMirror
    from nextup.domain.tables import Table

_LOG: Final = "_delta_log"


class LocalTable(DeltaTable):
    """A table on a local disk, which Polars finds: it takes the files' paths as they are, and
    delta-rs writes a space in them as in a URL."""

    def file_uris(self, *chosen: Any, **named: Any) -> list[str]:
        """As paths."""
        return [unquote(uri) for uri in super().file_uris(*chosen, **named)]


class DeltaFolder:
    """`<root>/<prefix><layer>/<name>`, on local disk or behind a URL."""

    def __init__(self, root: str, prefix: str, mirror: HdfsMirror | None = None) -> None:
        """`mirror` is for a root that Polars cannot read."""
        self._mirror = mirror
        path = root.removeprefix("file://")
        self.local = Path(path).absolute() if "://" not in path else None
        self._root = str(self.local) if self.local is not None else path.rstrip("/")
        self._prefix = prefix

    def uri(self, table: Table) -> str:
        """The table's folder."""
        layer, _, name = table.value.partition(".")
        return f"{self._root}/{self._prefix}{layer}/{name}"

    @property
    def root(self) -> str:
        """Where the layers lie."""
        return self._root

    def make_root(self) -> None:
        """Create the root where that is needed."""
        if self.local is not None:
            self.local.mkdir(parents=True, exist_ok=True)

    def make(self, table: Table) -> None:
        """Create the folder where that is needed; an object store needs none."""
        if self.local is not None:
            with translated(f"The lake in {self._root}"):
                Path(self.uri(table)).mkdir(parents=True, exist_ok=True)

    def open(self, table: Table, version: int | None, options: dict[str, str] | None) -> DeltaTable:
        """The table at a version; None: the latest. Raises what delta-rs raises."""
        kind = LocalTable if self.local is not None else DeltaTable
        return kind(self.uri(table), version=version, storage_options=options)

    def readable(self, delta: DeltaTable) -> DeltaTable:
        """The table where Polars can read it."""
        return delta if self._mirror is None else self._mirror.readable(delta)

    def forget_copies(self, delta: DeltaTable) -> None:
        """Remove what was copied of versions that are gone."""
        if self._mirror is not None:
            self._mirror.forget(delta)

    def absent(self, table: Table, delta: DeltaTable) -> list[str]:
        """Files of this version that are missing or cut short, which Polars would not survive.

        Looks at local disks only; elsewhere, reading shows it.
        """
        if self.local is None:
            return []
        folder = Path(self.uri(table))
        actions = pl.DataFrame(delta.get_add_actions(flatten=True))
        found = []
        for name, size in zip(actions["path"], actions["size_bytes"], strict=True):
            file = folder / name
            if not file.is_file():
                found.append(f"{name} (missing)")
            elif file.stat().st_size != size:
                found.append(f"{name} ({file.stat().st_size} of {size} bytes)")
        return found

    def has_log(self, table: Table) -> bool:
        """Whether a local disk holds anything of the table's log."""
        log = Path(self.uri(table), _LOG)
        if self.local is None or not log.is_dir():
            return False
        return any(file.suffix in {".json", ".parquet"} for file in log.iterdir())

    def refuse_broken_log(self, table: Table, error: Exception) -> None:
        """Raise CorruptData if there is a log that makes no table: it is not for overwriting."""
        if self.has_log(table):
            raise CorruptData(
                f"Damaged: {table}: {_LOG} does not begin where it should.",
                cure="Restore the folder from a backup.",
            ) from error

    def log_error(self, table: Table, error: Exception, place: str) -> NextupError:
        """The error of opening the table in our words; of a damaged log it names the file."""
        explained = in_our_words(error, place)
        if isinstance(explained, CorruptData) and (broken := self._broken_log_files(table)):
            return CorruptData(f"Damaged: {table}: {', '.join(broken)}.", cure=explained.cure)
        return explained

    def _broken_log_files(self, table: Table) -> list[str]:
        log = Path(self.uri(table), _LOG)
        if self.local is None or not log.is_dir():
            return []
        return [f"{_LOG}/{file.name}" for file in sorted(log.iterdir()) if _is_broken(file)]


def _is_broken(file: Path) -> bool:
    try:
        if file.suffix == ".json":
            for line in file.read_text(encoding="utf-8").splitlines():
                json.loads(line)
            return file.stat().st_size == 0
        if file.suffix == ".parquet":
            pl.read_parquet(file)
    except (ValueError, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return True
    return False

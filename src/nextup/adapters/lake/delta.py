"""Delta tables through delta-rs: a folder per table, on local disk, HDFS or S3.

Where a source stands is stored as Delta application transactions, one per partition of the
source and in the commit that holds the rows, so that rows and position cannot come apart. Delta
cannot list such transactions, so a table property keeps the partitions' names.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from nextup.adapters.lake.delta_errors import in_our_words, translated
from nextup.adapters.lake.delta_folder import DeltaFolder
from nextup.adapters.lake.delta_positions import (
    is_ahead,
    remember_partitions,
    stored_position,
    transactions,
    version_at,
)
from nextup.adapters.lake.delta_trial import TriedFolder
from nextup.adapters.lake.delta_upkeep import HOOKS, UNTIL_MAINTAINED, WRITER, adopt, maintain
from nextup.adapters.lake.frames import conformed, polars_schema, readable, require_values
from nextup.adapters.lake.streams import BatchStream
from nextup.domain.errors import Conflict, CorruptData, NotFound
from nextup.domain.events import EPOCH, START, Position
from nextup.domain.tables import Table
from nextup.ports.lake import AsOf, TableStatus
from nextup.schemas.table_schemas import table_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deltalake.transaction import AddAction

    from nextup.adapters.lake.hdfs_mirror import HdfsMirror

    Frame = pl.DataFrame | pl.LazyFrame | Sequence[pl.LazyFrame]

T = TypeVar("T")

_ATTEMPTS: Final = 10  # at a write that others get in the way of


class DeltaLake(TriedFolder):
    """The lake under one root. Safe to share between threads and processes."""

    copied_first = ("_last_checkpoint", "_delta_log")  # commits that come later are not copied

    def __init__(
        self,
        root: str,
        prefix: str = "",
        storage_options: Mapping[str, str] | None = None,
        mirror: HdfsMirror | None = None,
    ) -> None:
        """`root` is a folder or a URL; `prefix` stands before each layer's name, so that
        tenants do not meet; `mirror` copies what Polars cannot read where it lies."""
        self._options = dict(storage_options or {}) or None
        self._folder = DeltaFolder(root, prefix, mirror)

    def scan(self, table: Table, as_of: AsOf = None) -> pl.LazyFrame:
        """A lazy frame over one version; what later writes do does not change it."""
        schema = table_schema(table)
        delta = self._seen(table, as_of)
        if delta is None:
            return pl.LazyFrame(schema=polars_schema(schema))
        with translated(self._place(table)):
            return readable(pl.scan_delta(self._folder.readable(delta)), schema)

    def version(self, table: Table) -> int | None:
        """The latest version; None if the table was never written."""
        delta = self._open(table)
        return None if delta is None else delta.version()

    def uri(self, table: Table) -> str:
        """Where the table's files are: an absolute path, or a URL."""
        return self._folder.uri(table)

    def files(self, table: Table, as_of: AsOf = None) -> list[str]:
        """The files of one version, as paths or URLs; none of a table that was not yet written."""
        delta = self._seen(table, as_of)  # whose `file_uris` would encode spaces
        names = [] if delta is None else pl.DataFrame(delta.get_add_actions())["path"].to_list()
        return [f"{self.uri(table)}/{name}" for name in sorted(names)]

    def position(self, table: Table, source: str) -> Position:
        """How far `source` has been written into the table; START if never."""
        delta = self._open(table)
        return START if delta is None else stored_position(delta, source)

    def append(
        self,
        table: Table,
        frame: pl.DataFrame,
        *,
        source: str = "",
        position: Position | None = None,
        after: Position | None = None,
    ) -> int:
        """Add rows and the position, once: repeated with a position already reached, it does
        nothing and returns the version there is."""
        schema = table_schema(table)
        rows = conformed(frame.lazy(), schema).sort(schema.sort_by or schema.key).collect()
        require_values(rows, schema)

        def attempt() -> int:
            delta = self._open_or_create(table, source, position or START)
            if not is_ahead(table, stored_position(delta, source), position, after):
                return delta.version()
            if position is None and rows.is_empty():
                return delta.version()
            return self._write(delta, rows, "append", source, position)

        return self._attempts(table, attempt)

    def replace(
        self,
        table: Table,
        frame: Frame,
        *,
        source: str = "",
        position: Position | None = None,
    ) -> int:
        """Put these rows in the place of all others; lazy ones pass through in batches."""
        schema = table_schema(table)
        lazy = _sorted_parts(frame, schema.sort_by)
        parts = [conformed(part, schema) for part in lazy]
        delta = self._open_or_create(table, source, position or START)
        stream = BatchStream(
            parts, polars_schema(schema), lambda rows: require_values(rows, schema)
        )
        try:
            return self._write(delta, stream.batches(), "overwrite", source, position)
        except (DeltaError, OSError) as error:
            cause = stream.error or error
            if isinstance(cause, CommitFailedError):
                raise in_our_words(cause, self._place(table)) from error
            raise self.explain(cause, self._place(table)) from error

    def adopt(
        self,
        table: Table,
        files: Sequence[AddAction],
        *,
        replacing: bool,
        source: str = "",
        position: Position | None = None,
        after: Position | None = None,
    ) -> bool:
        """Make files that somebody wrote into the table's folder its rows, as `append` or
        `replace` would; returns whether it did, and False where the position was reached."""

        def attempt() -> bool:
            delta = self._open_or_create(table, source, position or START)
            if not replacing and not is_ahead(
                table, stored_position(delta, source), position, after
            ):
                return False
            adopt(delta, table_schema(table), files, _commit(source, position), replacing)
            return True

        return self._attempts(table, attempt)

    def update(self, table: Table, values: Mapping[str, str], where: str) -> int:
        """Set columns to SQL expressions in the rows that match; returns how many."""

        def attempt() -> int:
            delta = self._open(table)
            if delta is None:
                return 0
            done = delta.update(
                updates=dict(values), predicate=where, post_commithook_properties=HOOKS
            )
            return int(done["num_updated_rows"])

        return self._attempts(table, attempt)

    def delete(self, table: Table, where: str) -> int:
        """Remove the rows that match; old versions hold them until maintenance drops those."""

        def attempt() -> int:
            delta = self._open(table)
            if delta is None:
                return 0
            done = delta.delete(where, post_commithook_properties=HOOKS)
            return int(done["num_deleted_rows"])

        return self._attempts(table, attempt)

    def status(self) -> Sequence[TableStatus]:
        """Of every table that was written, by name."""
        opened = ((table, self._open(table)) for table in sorted(Table))
        return [self._status(table, delta) for table, delta in opened if delta is not None]

    def maintain(self, *, keep: timedelta) -> Sequence[TableStatus]:
        """Compact, checkpoint, and remove what no version younger than `keep` needs."""
        for table in sorted(Table):
            if self._open(table) is not None:
                self._attempts(table, partial(self._maintain, table, keep))
        return self.status()

    def content_hash(self, table: Table, as_of: AsOf = None) -> str:
        """A fingerprint of the rows, whatever their order or files. Compare it only between
        lakes that the same version of Polars read."""
        rows = pl.struct(pl.all())
        with translated(self._place(table)):
            found = (
                self.scan(table, as_of)
                .select(
                    pl.len().alias("rows"),
                    *(rows.hash(seed).sum().alias(str(seed)) for seed in (1, 2)),  # modulo 2^64
                )
                .collect(engine="streaming")
                .row(0)
            )
        return "-".join(f"{int(part):x}" for part in found)

    def explain(self, error: BaseException, place: str) -> Exception:
        """The error in our words; damage names its files, wherever in the lake they are."""
        explained = in_our_words(error, place)
        if isinstance(explained, CorruptData):
            damaged = [line for table in sorted(Table) for line in self.damage(table)]
            if damaged:
                return CorruptData(f"Damaged: {'; '.join(damaged)}.", cure=explained.cure)
        return explained

    def damage(self, table: Table) -> list[str]:
        """Read every byte of the table's latest version; one line per file that is not whole."""
        delta = self._open(table)
        if delta is None:
            return []
        absent = self._folder.absent(table, delta)
        found = [f"{table}: {name}" for name in absent]
        for uri in sorted(self._folder.readable(delta).file_uris()):
            if any(uri.endswith(name.split(" ", 1)[0]) for name in absent):
                continue
            try:
                pl.scan_parquet(uri, storage_options=self._options).collect()
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
                found.append(f"{table}: {uri.removeprefix(self._folder.uri(table)).lstrip('/')}")
        return found

    def backup_root(self) -> Path | None:
        """The root, where it is on this machine's disk."""
        return self._folder.local

    def close(self) -> None:
        """Nothing stays open between calls."""

    # ---- inside

    def _place(self, table: Table) -> str:
        return f"Table {table} in {self._folder.uri(table)}"

    def _open(self, table: Table, version: int | None = None) -> DeltaTable | None:
        with translated(self._place(table)):
            for last in (False, True):  # another process may be making the table just now
                try:
                    return self._existing(table, version)
                except TableNotFoundError as error:
                    if last:
                        self._folder.refuse_broken_log(table, error)
                    if not self._folder.has_log(table):
                        return None
                except DeltaError as error:
                    raise self._folder.log_error(table, error, self._place(table)) from error
        return None

    def _existing(self, table: Table, version: int | None) -> DeltaTable:
        return self._folder.open(table, version, self._options)

    def _open_or_create(self, table: Table, source: str, position: Position) -> DeltaTable:
        delta = self._open(table)
        if delta is None:
            delta = self._create(table)
        with translated(self._place(table)):
            remember_partitions(delta, source, position)
        return delta

    def _create(self, table: Table) -> DeltaTable:
        schema = table_schema(table)
        self._folder.make(table)
        with translated(self._place(table)):
            return DeltaTable.create(
                self._folder.uri(table),
                polars_schema(schema),
                mode="ignore",
                partition_by=list(schema.partition_by),
                name=table.value,
                description=schema.description,
                configuration=UNTIL_MAINTAINED,
                storage_options=self._options,
            )

    def _write(
        self, delta: DeltaTable, rows: Any, mode: Any, source: str, position: Position | None
    ) -> int:
        write_deltalake(
            delta,
            rows,
            mode=mode,
            schema_mode="merge" if mode == "append" else "overwrite",
            writer_properties=WRITER,
            commit_properties=_commit(source, position),
            post_commithook_properties=HOOKS,
        )
        return delta.version()

    def _attempts(self, table: Table, attempt: Callable[[], T]) -> T:
        """Again when somebody else committed in between: each attempt looks at the table anew."""
        for last in [False] * (_ATTEMPTS - 1) + [True]:
            try:
                with translated(self._place(table)):
                    return attempt()
            except Conflict as conflict:
                if last or not isinstance(conflict.__cause__, CommitFailedError):
                    raise
        raise AssertionError("unreachable")

    def _seen(self, table: Table, as_of: AsOf) -> DeltaTable | None:
        """What a reader is shown, all there."""
        if as_of is not None:
            return self._at(table, as_of)
        delta = self._open(table)
        return None if delta is None else self._whole(table, delta)

    def _at(self, table: Table, as_of: int | datetime) -> DeltaTable | None:
        """An old version, all there; None for a moment when the table was not yet written."""
        latest = self._open(table)
        if isinstance(as_of, datetime):
            version = None if latest is None else version_at(table, latest, as_of)
        else:
            version = as_of
        if version is None:
            return None
        if latest is None or not 0 <= version <= latest.version():
            raise NotFound(f"{table} never had a version {version}.")
        gone = NotFound(
            f"Version {version} of {table} has been removed by maintenance.",
            cure="`nextup lake status` shows what there is; lake.keep_days says how long it stays.",
        )
        try:
            delta = self._open(table, version)
        except CorruptData as error:
            raise gone from error
        if delta is None or delta.repair(dry_run=True)["files_removed"]:
            raise gone
        return delta

    def _whole(self, table: Table, delta: DeltaTable) -> DeltaTable:
        """The table, or its successor if maintenance removed files meanwhile."""
        if not self._folder.absent(table, delta):
            return delta
        newer = self._open(table)
        absent = self._folder.absent(table, newer) if newer is not None else ["everything"]
        if newer is None or absent:
            raise CorruptData(
                f"Damaged: {'; '.join(f'{table}: {name}' for name in absent)}.",
                cure="Restore the file from a backup, or remove the table's folder and run the "
                "pipeline, which builds it anew from the event log.",
            )
        return newer

    def _status(self, table: Table, delta: DeltaTable) -> TableStatus:
        with translated(self._place(table)):
            files = pl.DataFrame(delta.get_add_actions(flatten=True))
            changed = delta.history(1)[0]["timestamp"]  # milliseconds
        return TableStatus(
            table=table,
            version=delta.version(),
            rows=int(files["num_records"].sum()),
            files=files.height,
            bytes=int(files["size_bytes"].sum()),
            changed_at=EPOCH + timedelta(milliseconds=changed),
        )

    def _maintain(self, table: Table, keep: timedelta) -> None:
        delta = self._open(table)
        if delta is not None:
            maintain(delta, keep)
            self._folder.forget_copies(delta)


def _commit(source: str, position: Position | None) -> CommitProperties:
    return CommitProperties(app_transactions=transactions(source, position or START))


def _sorted_parts(frame: Frame, sort_by: Sequence[str]) -> Sequence[pl.LazyFrame]:
    if isinstance(frame, pl.LazyFrame):
        return [frame]
    if isinstance(frame, pl.DataFrame):
        return [frame.lazy().sort(sort_by)]
    return list(frame)

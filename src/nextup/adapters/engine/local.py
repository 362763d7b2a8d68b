"""Polars in this process: streams what may exceed memory, and cuts the rest into slices."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import narwhals as nw
import polars as pl

from nextup.adapters.engine.columns import Codebook, array_of, frame_of
from nextup.adapters.lake.delta_errors import in_our_words
from nextup.adapters.lake.frames import polars_schema
from nextup.domain.errors import ConfigurationError
from nextup.ports.engine import Cell, Coded
from nextup.schemas.table_schemas import table_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from nextup.domain.events import Position
    from nextup.domain.tables import Table
    from nextup.ports.engine import Column, Frames
    from nextup.ports.lake import AsOf, Lake

_SLICE_ROWS: Final = 3_000_000  # a grouped slice of so many takes well under 2 GB


class LocalEngine:
    """Runs transformations on this machine's cores. Safe to share between threads."""

    name = "local"

    def __init__(self, lake: Lake, *, slice_rows: int = _SLICE_ROWS) -> None:
        self._lake = lake
        self._slice_rows = slice_rows

    def scan(self, table: Table, as_of: AsOf = None) -> nw.LazyFrame[Any]:
        """The table as it is, or was."""
        return nw.from_native(self._lake.scan(table, as_of))

    def position(self, table: Table, source: str) -> Position:
        """How far `source` has been written into the table."""
        return self._lake.position(table, source)

    def held(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """The same rows, in memory."""
        return nw.from_native(self._collect(_native(frame)).lazy())

    def rows(self, table: Table, rows: Sequence[Sequence[Any]]) -> nw.LazyFrame[Any]:
        """A frame of plain rows; integers stand for times and, since the epoch, for days."""
        return nw.from_native(frame_of(rows, polars_schema(table_schema(table))).lazy())

    def frame(self, columns: Mapping[str, Column]) -> nw.LazyFrame[Any]:
        """A small frame of plain columns."""
        return nw.from_native(pl.DataFrame(columns).lazy())

    def slices(self, table: Table, by: str, as_of: AsOf = None) -> Sequence[nw.LazyFrame[Any]]:
        """The table in ranges of `by`; one range where the table is small."""
        frame = self._lake.scan(table, as_of)
        rows = int(self._collect(frame.select(pl.len()))[0, 0])
        parts = math.ceil(rows / self._slice_rows)
        if parts <= 1:
            return [nw.from_native(frame)]
        counts = self._collect(frame.group_by(by).agg(pl.len().alias("rows")).sort(by))
        last_row = counts["rows"].cum_sum().cast(pl.Int64) - 1
        part = last_row * parts // rows  # ascending, 0..parts-1
        firsts = counts[by].filter(part.ne_missing(part.shift(1))).to_list()
        return [
            nw.from_native(frame.filter(_between(by, first, after)))
            for first, after in zip(firsts, [*firsts[1:], None], strict=True)
        ]

    def append(
        self,
        table: Table,
        frame: Frames,
        *,
        source: str,
        position: Position,
        after: Position | None = None,
    ) -> int:
        """Collects the rows: callers bring them in chunks that fit in memory."""
        rows = self._collect(pl.concat(_cast(part, table) for part in _natives(frame)))
        before = self._lake.version(table)
        version = self._lake.append(table, rows, source=source, position=position, after=after)
        return 0 if version == before else rows.height

    def replace(
        self,
        table: Table,
        frame: Frames,
        *,
        source: str = "",
        position: Position | None = None,
    ) -> int:
        """One part after the other, each sorted as its table is."""
        sort_by = table_schema(table).sort_by
        parts = [_cast(part, table).sort(sort_by) for part in _natives(frame)]
        version = self._lake.replace(table, parts, source=source, position=position)
        return int(self._collect(self._lake.scan(table, version).select(pl.len()))[0, 0])

    def arrays(self, frame: nw.LazyFrame[Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The frame's columns in memory."""
        return {column.name: array_of(column) for column in self._collect(_native(frame))}

    def coded(self, frame: nw.LazyFrame[Any], *columns: str) -> Coded:
        """The plan runs once, and its text is gone batch by batch."""
        native = _native(frame)
        codebooks = {name: Codebook(name) for name in columns}
        batches = [native.collect_schema().to_frame().with_columns(pl.col(columns).cast(pl.Int32))]
        with self._explained():
            batches.extend(
                batch.with_columns(book.coded(batch) for book in codebooks.values())
                for batch in native.collect_batches(engine="streaming")
            )
        arrays = {column.name: array_of(column) for column in pl.concat(batches)}
        values = {}
        for name, book in codebooks.items():
            arrays[name], values[name] = book.ascending(arrays[name])
        return Coded(arrays, values)

    def read_csv(
        self, urls: Sequence[str], columns: Mapping[str, Cell], *, line: str, row: str
    ) -> nw.LazyFrame[Any]:
        """As in the port, of this machine's disks. Raises ConfigurationError for others."""
        if far := [url for url in urls if not url.startswith("file://")]:
            raise ConfigurationError(
                f"The local engine cannot read {far[0]}.",
                cure="Set engine_url to Spark: local[*], or spark://host:7077.",
            )
        found = pl.scan_csv(
            [url.removeprefix("file://") for url in urls],
            schema=dict.fromkeys(columns, pl.String),
            glob=False,
            truncate_ragged_lines=True,
            encoding="utf8-lossy",
        ).with_row_index(line)
        typed = found.select(
            *(_typed(name, cell) for name, cell in columns.items()),
            pl.concat_str(*columns, separator=",", ignore_nulls=True).alias(row),
            pl.col(line).cast(pl.Int64),
        )
        return nw.from_native(typed)

    def close(self) -> None:
        """Nothing stays open between calls; the lake is closed by whoever opened it."""

    def _collect(self, frame: pl.LazyFrame) -> pl.DataFrame:
        with self._explained():
            return frame.collect(engine="streaming")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            if isinstance(self._lake, ExplainsErrors):
                raise self._lake.explain(error, "The lake") from error
            raise in_our_words(error, "The lake") from error


@runtime_checkable
class ExplainsErrors(Protocol):
    """A lake that finds out which of its files an error came from."""

    def explain(self, error: BaseException, place: str) -> Exception:
        """The error to raise instead."""
        ...


def _native(frame: nw.LazyFrame[Any]) -> pl.LazyFrame:
    native = frame.to_native()
    assert isinstance(native, pl.LazyFrame)
    return native


def _natives(frames: Frames) -> list[pl.LazyFrame]:
    several = [frames] if isinstance(frames, nw.LazyFrame) else frames
    return [_native(frame) for frame in several]


def _cast(frame: pl.LazyFrame, table: Table) -> pl.LazyFrame:
    """With the widths that the table has: an engine's counts may be narrower or wider."""
    wanted = polars_schema(table_schema(table))
    given = frame.collect_schema()
    return frame.with_columns(
        pl.col(name).cast(dtype)
        for name, dtype in wanted.items()
        if name in given and given[name] != dtype and _is_numeric(given[name])
    )


def _is_numeric(dtype: pl.DataType) -> bool:
    """Whether these are numbers, or lists of numbers."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return inner.is_numeric()


def _between(by: str, first: Any, after: Any) -> pl.Expr:
    above = pl.lit(value=True) if first is None else pl.col(by) >= first
    return above if after is None else above & (pl.col(by) < after)


_TYPES: Final = {Cell.INTEGER: pl.Int64, Cell.NUMBER: pl.Float64, Cell.SECONDS: pl.Int64}


def _typed(name: str, cell: Cell) -> pl.Expr:
    """The cell of a CSV file as what it holds; null where it does not."""
    if cell is Cell.TEXT:
        return pl.col(name)
    value = pl.col(name).str.strip_chars().cast(_TYPES[cell], strict=False)
    if cell is not Cell.SECONDS:
        return value
    return (value * 1_000_000).cast(pl.Datetime("us", "UTC"))

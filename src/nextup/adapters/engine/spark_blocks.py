"""Python on Spark's executors: blocks of rows go in as arrays, rows or counts come out.

The executors need this very version of Nextup, and what the work itself needs. Rows travel as
Arrow; the work is sent once to each task, and broadcast where it is large.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
import numpy as np
import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema

from nextup.adapters.engine.spark_core import SparkCore
from nextup.adapters.engine.spark_tables import spark_schema
from nextup.schemas.table_schemas import table_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pyspark.sql import DataFrame

    from nextup.domain.tables import Table
    from nextup.ports.engine import Block, Blocks, Column

BLOCK_ROWS: Final = 500_000  # at least, where the part has as many: some 50 MB of pairs
_COUNTS: Final = "name string, value bigint"  # what parts answer that only count


class SparkBlocks(SparkCore):
    """The part of the Spark engine that sends Python to the executors: SupportsBlocks."""

    def map_blocks(
        self,
        frame: nw.LazyFrame[Any],
        by: str,
        work: Callable[[Blocks], Iterable[Mapping[str, Column]]],
        table: Table,
    ) -> nw.LazyFrame[Any]:
        """As in the port."""
        schema = spark_schema(table_schema(table))
        with self._explained():
            parts = _parted(frame, by)
            return nw.from_native(
                parts.mapInArrow(_Rows(work, by, to_arrow_schema(schema)), schema)
            )

    def sum_blocks(
        self, frame: nw.LazyFrame[Any], by: str, work: Callable[[Blocks], Mapping[str, int]]
    ) -> dict[str, int]:
        """As in the port; a part without rows is not asked."""
        with self._explained():
            counted = _parted(frame, by).mapInArrow(_Counts(work, by), _COUNTS).toArrow()
        totals: Counter[str] = Counter()
        for row in counted.to_pylist():
            totals[row["name"]] += row["value"]
        return dict(totals)


def _parted(frame: nw.LazyFrame[Any], by: str) -> DataFrame:
    native: DataFrame = frame.to_native()
    return native.repartition(by).sortWithinPartitions(by)


@dataclass(frozen=True, slots=True)
class _Rows:
    work: Callable[[Blocks], Iterable[Mapping[str, Column]]]
    by: str
    schema: pa.Schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for columns in self.work(blocks_of(batches, self.by)):
            arrays = [_to_arrow(columns[field.name], field.type) for field in self.schema]
            yield pa.record_batch(arrays, schema=self.schema)


@dataclass(frozen=True, slots=True)
class _Counts:
    work: Callable[[Blocks], Mapping[str, int]]
    by: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        blocks = blocks_of(batches, self.by)
        first = next(blocks, None)
        if first is None:
            return
        counted = self.work(chain((first,), blocks))
        names = pa.array(list(counted), pa.string())
        yield pa.record_batch([names, pa.array(counted.values(), pa.int64())], ["name", "value"])


def blocks_of(batches: Iterator[pa.RecordBatch], by: str) -> Iterator[Block]:
    """Sorted batches put together, and cut where the value of `by` changes."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows < BLOCK_ROWS:
            continue
        held = pa.Table.from_batches(waiting)
        values = held[by].to_numpy()
        cut = int(np.searchsorted(values == values[-1], True))  # where the last value begins
        if cut:
            yield _arrays(held.slice(0, cut))
        waiting = held.slice(cut).to_batches()
        rows = held.num_rows - cut
    if rows:
        yield _arrays(pa.Table.from_batches(waiting))


def _arrays(table: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    return {name: _array(table[name].combine_chunks()) for name in table.column_names}


def _array(column: pa.Array) -> np.ndarray[Any, Any]:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        whole = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
        column = column.cast(whole).cast(pa.int64())
    found: np.ndarray[Any, Any] = column.to_numpy(zero_copy_only=False)
    return found


def _to_arrow(column: Column, wanted: pa.DataType) -> pa.Array:
    if isinstance(column, np.ndarray) and column.dtype != object:
        return pa.array(column).cast(wanted)
    return pa.array(column, wanted)

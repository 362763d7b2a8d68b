"""CSV files read by Spark's executors, each its part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
from pyspark.sql import functions as sf
from pyspark.sql.types import StringType, StructField, StructType

from nextup.adapters.engine.spark_core import SparkCore
from nextup.adapters.engine.spark_tables import literal_path
from nextup.ports.engine import Cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column

_TYPES: Final = {Cell.INTEGER: "bigint", Cell.NUMBER: "double", Cell.SECONDS: "bigint"}


class SparkCsv(SparkCore):
    """The part of the Spark engine that reads CSV files: ReadsCsv."""

    def read_csv(
        self, urls: Sequence[str], columns: Mapping[str, Cell], *, line: str, row: str
    ) -> nw.LazyFrame[Any]:
        """As in the port."""
        text = StructType([StructField(name, StringType()) for name in columns])
        with self._explained():
            reader = self._session.read.schema(text).option("header", "true")
            found = reader.csv([literal_path(url) for url in urls])
            typed = found.select(
                *(_typed(name, cell) for name, cell in columns.items()),
                sf.concat_ws(",", *columns).alias(row),
                sf.monotonically_increasing_id().alias(line),
            )
            return nw.from_native(typed)


def _typed(name: str, cell: Cell) -> Column:
    if cell is Cell.TEXT:
        return sf.col(name)
    value = sf.trim(name).try_cast(_TYPES[cell])
    moment = sf.timestamp_seconds(value) if cell is Cell.SECONDS else value
    return moment.alias(name)

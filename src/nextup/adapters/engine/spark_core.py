"""Tables on Spark: read, transformed and written by the executors.

Executors write files into a table's folder, where nobody sees them; then one commit makes them
rows, together with the source's position, exactly as the lake itself does it. So a job that fails,
is killed or done again leaves the table as it was, and both engines see the same position.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
import polars as pl
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from nextup.adapters.engine import spark_errors
from nextup.adapters.engine.columns import Codebook, array_of, frame_of
from nextup.adapters.engine.spark_session import open_session
from nextup.adapters.engine.spark_tables import (
    conformed,
    empty_frame,
    from_polars,
    read_files,
    write_files,
)
from nextup.adapters.lake.delta_positions import is_ahead
from nextup.adapters.lake.frames import polars_schema
from nextup.domain.errors import ConfigurationError, NextupError
from nextup.ports.engine import Coded
from nextup.ports.trial import Trial
from nextup.schemas.table_schemas import table_schema
from nextup.settings import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from nextup.adapters.lake.delta import DeltaLake
    from nextup.domain.events import Position
    from nextup.domain.tables import Table
    from nextup.ports.engine import Column, Frames
    from nextup.ports.lake import AsOf
    from nextup.settings import Settings

_HELD_AT_ONCE: Final = 8  # frames; the oldest would be computed again


class SparkCore:
    """What every engine can, and what Spark's other abilities are built on."""

    name = "spark"

    def __init__(self, lake: DeltaLake, settings: Settings) -> None:
        """Raises what `open_session` does."""
        self._lake = lake
        self._settings = settings
        self._shared = open_session(settings)
        self._session: SparkSession = self._shared.spark
        self._held: deque[DataFrame] = deque()

    def scan(self, table: Table, as_of: AsOf = None) -> nw.LazyFrame[Any]:
        """The table as it is, or was; what later writes do does not change it."""
        schema = table_schema(table)
        files = self._lake.files(table, as_of)
        with self._explained():
            if not files:
                return nw.from_native(empty_frame(self._session, schema))
            places = [for_hadoop(file) for file in files]
            return nw.from_native(read_files(self._session, places, schema))

    def position(self, table: Table, source: str) -> Position:
        """How far `source` has been written into the table."""
        return self._lake.position(table, source)

    def held(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """The same rows, kept by the executors; what one of them loses is computed again."""
        native = _native(frame)
        with self._explained():
            kept = native.persist()
            kept.count()
            self._held.append(kept)
            if len(self._held) > _HELD_AT_ONCE:
                self._held.popleft().unpersist()
        return nw.from_native(kept)

    def rows(self, table: Table, rows: Sequence[Sequence[Any]]) -> nw.LazyFrame[Any]:
        """A frame of plain rows; integers stand for times and, since the epoch, for days."""
        return self._from_here(frame_of(rows, polars_schema(table_schema(table))))

    def frame(self, columns: Mapping[str, Column]) -> nw.LazyFrame[Any]:
        """A small frame of plain columns."""
        return self._from_here(pl.DataFrame(columns))

    def slices(self, table: Table, by: str, as_of: AsOf = None) -> Sequence[nw.LazyFrame[Any]]:
        """One: Spark cuts by itself."""
        return [self.scan(table, as_of)]

    def append(
        self,
        table: Table,
        frame: Frames,
        *,
        source: str,
        position: Position,
        after: Position | None = None,
    ) -> int:
        """The executors write; nothing is collected here."""
        if not is_ahead(table, self._lake.position(table, source), position, after):
            return 0
        files, rows = self._written(table, frame)
        done = self._lake.adopt(
            table, files, replacing=False, source=source, position=position, after=after
        )
        return rows if done else 0

    def replace(
        self,
        table: Table,
        frame: Frames,
        *,
        source: str = "",
        position: Position | None = None,
    ) -> int:
        """Likewise, all parts in one job."""
        files, rows = self._written(table, frame)
        self._lake.adopt(table, files, replacing=True, source=source, position=position)
        return rows

    def arrays(self, frame: nw.LazyFrame[Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The frame's columns in memory, here."""
        collected = pl.from_arrow(self._collected(frame))
        assert isinstance(collected, pl.DataFrame)
        return {column.name: array_of(column) for column in collected}

    def coded(self, frame: nw.LazyFrame[Any], *columns: str) -> Coded:
        """The plan runs once; the texts are numbered as they come."""
        collected = self._collected(frame)
        codebooks = {name: Codebook(name) for name in columns}
        none = pl.from_arrow(collected.slice(0, 0))
        assert isinstance(none, pl.DataFrame)
        batches = [none.with_columns(pl.col(columns).cast(pl.Int32))]
        for part in collected.to_batches():
            batch = pl.DataFrame(part)
            batches.append(batch.with_columns(book.coded(batch) for book in codebooks.values()))
        arrays = {column.name: array_of(column) for column in pl.concat(batches)}
        values = {}
        for name, book in codebooks.items():
            arrays[name], values[name] = book.ascending(arrays[name])
        return Coded(arrays, values)

    def trial(self) -> Trial:
        """A small job, by executors where the master gives some."""
        with self._explained():
            self._session.range(2).count()
        return Trial(f"Spark {self._shared.version}")

    def close(self) -> None:
        """Let go of Spark, which ends with its last user; the lake is closed by its opener."""
        self._held.clear()
        self._shared.close()

    # ---- inside

    def _place(self, table: Table) -> str:
        return for_hadoop(self._lake.uri(table))

    def _written(self, table: Table, frame: Frames) -> tuple[list[Any], int]:
        schema = table_schema(table)
        with self._explained():
            parts = [conformed(part, schema) for part in _natives(frame)]
            rows = reduce(lambda above, below: above.unionByName(below), parts)
            return write_files(self._session, rows, schema, self._place(table))

    def _from_here(self, frame: pl.DataFrame) -> nw.LazyFrame[Any]:
        with self._explained():
            return nw.from_native(from_polars(self._session, frame))

    def _collected(self, frame: nw.LazyFrame[Any]) -> pa.Table:
        with self._explained():
            return _native(frame).toArrow()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except NextupError:
            raise
        except (PySparkException, Py4JError, OSError) as error:
            place = without_credentials(self._shared.url)
            told = spark_errors.raised_there(error) or spark_errors.in_our_words(error, place)
            raise self._lake.explain(told, "The lake") from error


def for_hadoop(place: str) -> str:
    """As executors name it: a path is one of the local disk, and `s3` is an old driver's."""
    return f"file://{place}" if Path(place).is_absolute() else place.replace("s3://", "s3a://", 1)


def _native(frame: nw.LazyFrame[Any]) -> DataFrame:
    native: DataFrame = frame.to_native()
    if isinstance(native, pl.LazyFrame):
        raise ConfigurationError("A frame of the local engine was given to Spark.")
    return native


def _natives(frames: Frames) -> list[DataFrame]:
    several = [frames] if isinstance(frames, nw.LazyFrame) else frames
    return [_native(frame) for frame in several]

"""Where transformations run: the engine brings the frames, `transforms` says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nextup.domain.events import Position
from nextup.domain.tables import Table
from nextup.ports.lake import AsOf

if TYPE_CHECKING:
    import narwhals as nw
    import numpy as np

    Column = Sequence[Any] | np.ndarray[Any, Any]
    Frames = nw.LazyFrame[Any] | Sequence[nw.LazyFrame[Any]]
    """One frame, or several whose rows follow each other."""


class Coded(NamedTuple):
    """Columns in memory, some of whose values are row numbers in a list of distinct values."""

    arrays: dict[str, np.ndarray[Any, Any]]  # a coded column is int32
    values: dict[str, np.ndarray[Any, Any]]  # of each coded column, ascending


class Engine(Protocol):
    """Reads and writes the lake's tables as lazy frames in one dialect, Narwhals."""

    name: str

    def scan(self, table: Table, as_of: AsOf = None) -> nw.LazyFrame[Any]: ...

    def position(self, table: Table, source: str) -> Position:
        """How far `source` has been written into the table; START if never."""
        ...

    def held(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """The same rows, computed now and once, for several uses; they must fit in memory."""
        ...

    def rows(self, table: Table, rows: Sequence[Sequence[Any]]) -> nw.LazyFrame[Any]:
        """A frame with the table's columns and types from plain rows; integers stand for
        times, in microseconds since the epoch."""
        ...

    def frame(self, columns: Mapping[str, Column]) -> nw.LazyFrame[Any]:
        """A small frame of plain columns that belong to no table; types are inferred."""
        ...

    def slices(self, table: Table, by: str, as_of: AsOf = None) -> Sequence[nw.LazyFrame[Any]]:
        """The table in disjoint parts, by ascending ranges of the text column `by`, each small
        enough to group or sort in memory; all rows of one value are in the same part. One part
        for an engine that spills to disk by itself."""
        ...

    def append(
        self,
        table: Table,
        frame: Frames,
        *,
        source: str,
        position: Position,
        after: Position | None = None,
    ) -> int:
        """Add rows and remember the source's position, in one transaction; returns how many: 0
        where the position was reached before. `after` as in `Lake.append`."""
        ...

    def replace(
        self,
        table: Table,
        frame: Frames,
        *,
        source: str = "",
        position: Position | None = None,
    ) -> int:
        """Put these rows in the place of all others, in one transaction; returns how many."""
        ...

    def arrays(self, frame: nw.LazyFrame[Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The frame's columns in memory; times as int64 microseconds, days as int64 days since
        the epoch, text as objects, a null number as NaN."""
        ...

    def coded(self, frame: nw.LazyFrame[Any], *columns: str) -> Coded:
        """Like `arrays`, with the named text columns as numbers: a fraction of the memory."""
        ...

    def close(self) -> None: ...

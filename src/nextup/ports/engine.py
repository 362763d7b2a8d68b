"""Where transformations run: the engine brings the frames, `transforms` says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from nextup.domain.events import Position
from nextup.domain.tables import Table
from nextup.ports.lake import AsOf

if TYPE_CHECKING:
    import narwhals as nw
    import numpy as np


class Engine(Protocol):
    """Reads and writes the lake's tables as lazy frames in one dialect, Narwhals."""

    name: str

    def scan(self, table: Table, as_of: AsOf = None) -> nw.LazyFrame[Any]: ...

    def rows(self, table: Table, rows: Sequence[Sequence[Any]]) -> nw.LazyFrame[Any]:
        """A frame with the table's columns and types from plain rows; integers stand for
        times, in microseconds since the epoch."""
        ...

    def append(
        self, table: Table, frame: nw.LazyFrame[Any], *, source: str, position: Position
    ) -> int:
        """Add rows and remember the source's position, in one transaction; returns how many."""
        ...

    def replace(
        self,
        table: Table,
        frame: nw.LazyFrame[Any],
        *,
        source: str = "",
        position: Position | None = None,
    ) -> int:
        """Put these rows in the place of all others, in one transaction; returns how many."""
        ...

    def arrays(self, frame: nw.LazyFrame[Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The frame's columns in memory; times as int64 microseconds."""
        ...

    def close(self) -> None: ...

"""Tables with versions: every write is one transaction, every version can be read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from nextup.domain.events import Position
from nextup.domain.tables import Table

if TYPE_CHECKING:
    import polars as pl

AsOf = int | datetime | None
"""A table's version, the moment to look back to, or None for now."""


@dataclass(frozen=True, slots=True)
class TableStatus:
    """How one table stands."""

    table: Table
    version: int
    rows: int
    files: int
    bytes: int
    changed_at: datetime


class Lake(Protocol):
    """Tables appear when first written; an unwritten one reads as empty, with its columns.

    Every write is checked against the table's schema and raises InvalidInput, unwritten, where
    columns or types differ. A full disk raises StorageFull and changes nothing.
    """

    def scan(self, table: Table, as_of: AsOf = None) -> pl.LazyFrame:
        """The table as it is, or was. Raises NotFound for a version that never was or that
        maintenance has removed."""
        ...

    def version(self, table: Table) -> int | None:
        """The latest version; None if the table was never written."""
        ...

    def position(self, table: Table, source: str) -> Position:
        """How far `source` has been written into the table; START if never."""
        ...

    def append(
        self,
        table: Table,
        frame: pl.DataFrame,
        *,
        source: str = "",
        position: Position | None = None,
        after: Position | None = None,
    ) -> int:
        """Add rows and, in the same transaction, remember the source's position. Returns the new
        version.

        A position that is already reached means that the rows are there: nothing is written.
        `after` is where the source stood when its rows were read; raises Conflict if somebody
        else has moved it since.
        """
        ...

    def replace(
        self,
        table: Table,
        frame: pl.DataFrame | pl.LazyFrame | Sequence[pl.LazyFrame],
        *,
        source: str = "",
        position: Position | None = None,
    ) -> int:
        """Put these rows in the place of all others, in one transaction; returns the new
        version. Equal content still makes a version. Several lazy frames are worked through one
        after the other, so that only one needs memory at a time."""
        ...

    def update(self, table: Table, values: Mapping[str, str], where: str) -> int:
        """Set columns to SQL expressions in the rows that match; returns how many."""
        ...

    def delete(self, table: Table, where: str) -> int:
        """Remove the rows that match the SQL predicate; returns how many."""
        ...

    def content_hash(self, table: Table, as_of: AsOf = None) -> str:
        """A fingerprint of the rows, whatever their order or files."""
        ...

    def status(self) -> Sequence[TableStatus]:
        """Of every table that was written, by name."""
        ...

    def maintain(self, *, keep: timedelta) -> Sequence[TableStatus]:
        """Compact small files and remove what no version younger than `keep` needs."""
        ...

    def close(self) -> None: ...

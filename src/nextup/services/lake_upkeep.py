"""The lake's state and its housekeeping, for `nextup lake`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.ports.lake import Lake, TableStatus


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The lake before and after."""

    before: Sequence[TableStatus]
    after: Sequence[TableStatus]

    @property
    def files_merged(self) -> int:
        """How many files fewer the latest versions have."""
        return sum(table.files for table in self.before) - sum(table.files for table in self.after)


def lake_status(lake: Lake) -> Sequence[TableStatus]:
    """Every table that was written, by name."""
    return lake.status()


def maintain_lake(lake: Lake, *, keep_days: float) -> Upkeep:
    """Compact, and remove what no version of the last `keep_days` needs.

    0 keeps only the latest versions; a reader at work on an older one would lose its files.
    """
    if keep_days < 0:
        raise InvalidInput(f"Versions cannot be kept for {keep_days} days.", cure="Give 0 or more.")
    before = lake.status()
    return Upkeep(before, lake.maintain(keep=timedelta(days=keep_days)))

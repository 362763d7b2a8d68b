"""Optional abilities of any backend: to copy itself into files and take them back in, and to
copy itself into another backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable


@runtime_checkable
class SupportsBackup(Protocol):
    """Whatever runs meanwhile, a copy is one consistent moment of the backend."""

    def backup(self, folder: Path) -> None:
        """Write a copy of everything into an empty folder."""
        ...

    def restore(self, folder: Path) -> None:
        """Replace everything by what `backup` wrote into the folder."""
        ...


class CopiedTable(NamedTuple):
    """A table, as it is in both places now."""

    table: str
    rows: int
    written: int  # that were missing or different
    removed: int  # that the source does not have


@runtime_checkable
class SupportsCopying(Protocol):
    """Can make another backend hold exactly what it holds, at one moment."""

    def copy_to(
        self, other: Any, report: Callable[[str, int, int], None] | None = None
    ) -> Sequence[CopiedTable]:
        """Write what is missing or different there, remove what is too much, and compare all of
        it afterwards. Broken off, it goes on where it was when it is called again.

        Raises ConfigurationError for a backend that cannot hold it, and CorruptData where both
        are not equal in the end.
        """
        ...

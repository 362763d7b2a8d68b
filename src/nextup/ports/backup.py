"""An optional ability of any backend on this machine: copy itself, and take a copy back in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class SupportsBackup(Protocol):
    """Whatever runs meanwhile, a copy is one consistent moment of the backend."""

    def backup(self, folder: Path) -> None:
        """Write a copy of everything into an empty folder."""
        ...

    def restore(self, folder: Path) -> None:
        """Replace everything by what `backup` wrote into the folder."""
        ...

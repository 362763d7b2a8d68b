"""No tracker: the registry alone remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextup.ports.tracker import Training


class NullTracker:
    """Records nothing."""

    def record(self, training: Training) -> None:
        """Do nothing."""

    def point(self, alias: str, model_id: str | None) -> None:
        """Do nothing."""

    def pointed(self, alias: str) -> str | None:
        """No alias means anything here."""
        return None

    def close(self) -> None:
        """Do nothing."""

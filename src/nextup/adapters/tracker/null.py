"""No tracker: the registry alone remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class NullTracker:
    """Records nothing."""

    def record(
        self, run_name: str, settings: Mapping[str, Any], metrics: Mapping[str, float], folder: Path
    ) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

"""Where experiments are recorded for people who compare them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Tracker(Protocol):
    """Keeps a training run's settings, metrics and files. Losing it never fails a training."""

    def record(
        self, run_name: str, settings: Mapping[str, Any], metrics: Mapping[str, float], folder: Path
    ) -> None: ...

    def close(self) -> None: ...

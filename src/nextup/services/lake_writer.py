"""The log into bronze while the server runs, so that the lake is never far behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextup.services.collect import collect
from nextup.services.stream import repeat

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from nextup.ports.engine import Engine
    from nextup.ports.event_log import EventLog


class LakeWriter:
    """Collects again and again. Any number may run, and the pipeline beside them."""

    def __init__(
        self,
        event_log: EventLog,
        engine: Callable[[], Engine],
        *,
        batch_rows: int,
        every_seconds: float,
    ) -> None:
        """The engine is opened by the first collection: a server starts without its libraries."""
        self._log = event_log
        self._engine = engine
        self._batch_rows = batch_rows
        self._every_seconds = every_seconds

    def collect(self) -> dict[str, int]:
        """Move what is new into bronze; returns the rows by stream."""
        return collect(self._log, self._engine(), batch_rows=self._batch_rows)

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop` is set, for the first time after one pause."""
        if not stop.wait(self._every_seconds):
            repeat(self.collect, stop, self._every_seconds, "The lake could not be written")

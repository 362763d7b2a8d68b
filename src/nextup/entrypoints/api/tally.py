"""Counting what is answered before the framework, as the framework's layers count the rest."""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING

from nextup.entrypoints.api.metrics import observe_many

if TYPE_CHECKING:
    from nextup.entrypoints.api.metrics import Metrics

TALLIED = 256  # answers that are counted together
TALLY_SECONDS = 0.25  # for which they wait at most, while others come


class Tally:
    """Counts as the route would, many at a time: a counter of Prometheus costs a microsecond."""

    def __init__(self, metrics: Metrics, route: str, method: str, status: int) -> None:
        self._metrics = metrics
        self._answered = metrics.requests.labels(route, method, str(status))
        self._latency = metrics.latency.labels(route, method)
        self._waiting: list[tuple[str, float]] = []
        self._due_at = 0.0  # monotonic seconds
        metrics.before_reading.append(self.settle)

    def add(self, level: str, seconds: float) -> None:
        """One answer; the level is that of a list, or empty."""
        waiting = self._waiting
        waiting.append((level, seconds))
        if len(waiting) >= TALLIED or monotonic() > self._due_at:
            self.settle()

    def settle(self) -> None:
        """Tell Prometheus; any thread may."""
        waiting, self._waiting = self._waiting, []
        self._due_at = monotonic() + TALLY_SECONDS
        if not waiting:
            return
        for level, times in Counter(level for level, _ in waiting if level).items():
            self._metrics.served.labels(level).inc(times)
        self._answered.inc(len(waiting))
        observe_many(self._latency, [seconds for _, seconds in waiting])

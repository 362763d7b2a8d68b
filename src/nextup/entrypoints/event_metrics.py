"""What is told to Prometheus of events, by whoever takes them in or lets them count."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram, ProcessCollector

from nextup.services.intake import Fate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry

    from nextup.domain.events import LogRow
    from nextup.services.intake import Outcome

MICROSECONDS = 1e6  # in a second
FRESHNESS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30, 300)  # seconds


class EventMetrics:
    """The server's and the stream's: the same names, so that sums are of all processes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)
        self.events = Counter(
            "nextup_events_total", "Records taken in.", ("type", "outcome"), registry=registry
        )
        self.quarantined = Counter(
            "nextup_quarantined_total",
            "Records that broke a contract.",
            ("rule",),
            registry=registry,
        )
        self.freshness = Histogram(
            "nextup_freshness_seconds",
            "From an event's arrival in the log until it counts in answers.",
            buckets=FRESHNESS,
            registry=registry,
        )
        self.clicks = Counter(
            "nextup_clicks_total",
            "Clicks on places of served lists, by the source that put them there.",
            ("source",),
            registry=registry,
        )

    def count_outcome(self, event_type: str, outcome: Outcome) -> None:
        """A record was taken in."""
        self.events.labels(event_type, outcome.fate.value).inc()
        if outcome.fate is Fate.REJECTED:
            self.quarantined.labels(outcome.rule).inc()

    def count_click(self, source: str) -> None:
        """Somebody chose a place of a served list."""
        self.clicks.labels(source).inc()

    def observe_applied(self, rows: Sequence[LogRow]) -> None:
        """Events have begun to count."""
        now = time()
        for row in rows:
            self.freshness.observe(max(0.0, now - row.received_at / MICROSECONDS))

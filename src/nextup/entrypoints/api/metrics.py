"""What Prometheus reads. The names are relied upon by dashboards and alerts: they stay."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as CountOf
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from nextup.services.intake import Fate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextup.domain.events import LogRow
    from nextup.services.intake import Outcome

MEDIA_TYPE = CONTENT_TYPE_LATEST
MICROSECONDS = 1e6  # in a second
LATENCIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # seconds
FRESHNESS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30, 300)  # seconds


class Metrics:
    """One app's own registry, so that two apps in a process do not meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.together: Any = None  # the sums of all workers, where there are several
        self.before_reading: list[Callable[[], object]] = []  # what is counted elsewhere first
        self.requests = Counter(
            "http_requests_total",
            "Requests answered.",
            ("handler", "method", "status"),
            registry=registry,
        )
        self.latency = Histogram(
            "http_request_duration_seconds",
            "From the request's head to the end of the answer.",
            ("handler", "method"),
            buckets=LATENCIES,
            registry=registry,
        )
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
        self.served = Counter("nextup_served_total", "Lists served.", ("level",), registry=registry)
        self.clicks = Counter(
            "nextup_clicks_total",
            "Clicks on places of served lists, by the source that put them there.",
            ("source",),
            registry=registry,
        )
        self.backend_up = Gauge(
            "nextup_backend_up",
            "Whether the backend answered last time.",
            ("port",),
            registry=registry,
        )
        self.model_age = Gauge(
            "nextup_model_age_seconds", "Since the model in service was trained.", registry=registry
        )
        self.generation_age = Gauge(
            "nextup_generation_age_seconds",
            "Since the lists in service were published.",
            registry=registry,
        )
        self.coverage = Gauge(
            "nextup_list_coverage_ratio",
            "Of the people with touches, the share that has a published list.",
            registry=registry,
        )
        self.quality = Gauge(
            "nextup_model_quality",
            "What the gate measured of the model in service, and of what it was compared with.",
            ("metric", "model"),
            registry=registry,
        )
        self.run_seconds = Gauge(
            "nextup_pipeline_run_seconds",
            "How long each step of the last run took.",
            ("step", "outcome"),
            registry=registry,
        )
        self.consumer_lag = Gauge(
            "nextup_consumer_lag",
            "Events in the log that a reader has still before it.",
            ("group",),
            registry=registry,
        )
        self.lake_bytes = Gauge(
            "nextup_lake_bytes",
            "Bytes of a table's latest version.",
            ("table",),
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

    def follow_model(self, created_at: Callable[[], datetime | None]) -> None:
        """Ask for the model's age whenever Prometheus does; NaN without a model."""

        def age() -> float:
            created = created_at()
            return (
                float("nan") if created is None else (datetime.now(UTC) - created).total_seconds()
            )

        self.model_age.set_function(age)

    def text(self) -> bytes:
        """Everything, in Prometheus' own format."""
        self.settle()
        return generate_latest(self.together or self.registry)

    def settle(self) -> None:
        """Add what was counted elsewhere first."""
        for settle in self.before_reading:
            settle()


def observe_many(histogram: Histogram, values: Sequence[float]) -> None:
    """Observe all at once, for which the library has no words: one addition for each bucket."""
    bounds = histogram._upper_bounds
    histogram._sum.inc(sum(values))
    for place, times in CountOf(bisect_left(bounds, value) for value in values).items():
        histogram._buckets[place].inc(times)

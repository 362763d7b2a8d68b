"""What Prometheus reads. The names are relied upon by dashboards and alerts: they stay."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as CountOf
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from nextup.entrypoints.event_metrics import EventMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MEDIA_TYPE = CONTENT_TYPE_LATEST
LATENCIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # seconds


class Metrics(EventMetrics):
    """One app's own registry, so that two apps in a process do not meet."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        super().__init__(registry)
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
        self.served = Counter("nextup_served_total", "Lists served.", ("level",), registry=registry)
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
        self.step_failed = Gauge(
            "nextup_pipeline_step_failed",
            "Whether a step's last try that has ended did so badly.",
            ("pipeline", "step"),
            registry=registry,
        )
        self.step_age = Gauge(
            "nextup_pipeline_step_age_seconds",
            "Since the step last ended well.",
            ("pipeline", "step"),
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

        self.lake_free = Gauge(
            "nextup_lake_free_ratio",
            "Of the disk on which the lake lies, what is free; NaN where it is elsewhere.",
            registry=registry,
        )
        self.vitals_age = Gauge(
            "nextup_vitals_age_seconds",
            "Since backends, lags, ages and sizes were last asked for.",
            registry=registry,
        )
        for unknown in (self.generation_age, self.coverage, self.lake_free, self.vitals_age):
            unknown.set(float("nan"))  # until somebody has looked

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

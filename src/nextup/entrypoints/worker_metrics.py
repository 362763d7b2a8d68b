"""What `nextup stream` and `nextup schedule` tell Prometheus, each at a port of its own."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    start_http_server,
)

from nextup.domain.errors import ConfigurationError
from nextup.entrypoints.event_metrics import EventMetrics
from nextup.services.operating.clicks import Clicks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from nextup.domain.events import LogRow
    from nextup.ports.online_state import OnlineState
    from nextup.services.schedule import Outcome
    from nextup.services.shares import Share


class StreamMetrics(EventMetrics):
    """Of a process that moves events."""

    def __init__(self, state: Callable[[], OnlineState]) -> None:
        """`state` is asked which source earned a click."""
        super().__init__(CollectorRegistry())
        self._clicks = Clicks(state, self.count_click)
        self.failures = Counter(
            "nextup_stream_failures_total",
            "Steps that failed and are tried again.",
            ("share",),
            registry=self.registry,
        )
        self.worked_at = Gauge(
            "nextup_stream_worked_timestamp_seconds",
            "When a step last ended well, or the process began, in Unix time.",
            ("share",),
            registry=self.registry,
        )

    def applied(self, rows: Sequence[LogRow]) -> None:
        """Events have begun to count."""
        self.observe_applied(rows)
        self._clicks.note(rows)
        self._clicks.settle()

    def watched(self, shares: Mapping[str, Share]) -> dict[str, Share]:
        """The same shares, whose steps are told of."""
        return {name: _Watched(name, share, self) for name, share in shares.items()}


class _Watched:
    """A share whose steps are told of."""

    def __init__(self, name: str, share: Share, metrics: StreamMetrics) -> None:
        self.name = name
        self._share = share
        self._failures = metrics.failures.labels(name)
        self._worked_at = metrics.worked_at.labels(name)
        self._worked_at.set_to_current_time()

    def step(self) -> bool:
        with self._failures.count_exceptions():
            busy = self._share.step()
        self._worked_at.set_to_current_time()
        return busy

    def close(self) -> None:
        self._share.close()


class ScheduleMetrics:
    """Of a process that does work at its times."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.jobs = Counter(
            "nextup_schedule_jobs_total",
            "Jobs that were done, well or not.",
            ("task", "outcome"),
            registry=self.registry,
        )
        self.failed = Gauge(
            "nextup_schedule_job_failed",
            "Whether the job's last try ended badly.",
            ("task",),
            registry=self.registry,
        )
        self.next_at = Gauge(
            "nextup_schedule_next_timestamp_seconds",
            "When the job's time comes next, in Unix time.",
            ("task",),
            registry=self.registry,
        )

    def note(self, outcome: Outcome) -> None:
        """A job was done."""
        self.jobs.labels(outcome.job, "succeeded" if outcome.done else "failed").inc()
        self.failed.labels(outcome.job).set(not outcome.done)

    def follow(self, next_times: Callable[[], Sequence[tuple[datetime, str]]]) -> None:
        """Ask for the next times whenever Prometheus does."""
        for _, job in next_times():
            self.failed.labels(job).set(0)
            self.next_at.labels(job).set_function(partial(_moment, next_times, job))


def _moment(next_times: Callable[[], Sequence[tuple[datetime, str]]], wanted: str) -> float:
    return next(moment.timestamp() for moment, job in next_times() if job == wanted)


@contextmanager
def scraped(registry: CollectorRegistry, host: str, port: int) -> Iterator[None]:
    """Answer Prometheus at the port until the block ends; port 0 is nowhere.

    Raises ConfigurationError for a port that is taken.
    """
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise ConfigurationError(
            f"Metrics cannot be told at {host}:{port}: {error.strerror or error}.",
            cure="Give each process of this machine a port of its own: --metrics-port.",
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

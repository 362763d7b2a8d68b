"""What the process did in the last minutes, sampled from its counters once a second."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from itertools import pairwise
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import Counter

    from nextup.entrypoints.api.metrics import Metrics

EVERY_SECONDS = 1.0
KEPT = 900  # samples: a quarter of an hour
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Sample(NamedTuple):
    """The counters at one moment."""

    at: float  # unix seconds
    taken_at: float  # monotonic seconds
    events: Mapping[str, float]  # by outcome
    requests: Mapping[str, float]  # by class of status
    served: Mapping[str, float]  # by level
    clicks: Mapping[str, float]  # by source
    quarantined: Mapping[str, float]  # by rule
    latency: Mapping[str, float]  # requests up to each bound, by bound


class Second(NamedTuple):
    """What happened between two samples."""

    at: datetime
    events: int
    requests: int
    errors: int


class Window(NamedTuple):
    """What happened in the last while."""

    seconds: float
    events: Mapping[str, int]
    requests: Mapping[str, int]
    served: Mapping[str, int]
    clicks: Mapping[str, int]
    quarantined: Mapping[str, int]
    latency: Mapping[str, float | None]
    series: list[Second]


class Pulse:
    """Costs a request nothing: a thread of its own reads the counters."""

    def __init__(self, metrics: Metrics, beat: Callable[[], object] = lambda: None) -> None:
        """`beat` is called with each sample: other work that is due once a second."""
        self._metrics = metrics
        self._beat = beat
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._stop.clear()
        self._samples.append(self._sample())
        self._thread = threading.Thread(target=self._run, name="nextup-pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it. Stopping twice does nothing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def window(self, seconds: float) -> Window:
        """What happened in the last `seconds`, as far back as samples are kept."""
        newest = self._sample()
        kept = [one for one in self._samples if one.taken_at >= newest.taken_at - seconds]
        if not kept:
            kept = [newest]
        samples = [*kept, newest]
        oldest = kept[0]
        return Window(
            seconds=round(newest.taken_at - oldest.taken_at, 3),
            events=_difference(newest.events, oldest.events),
            requests=_difference(newest.requests, oldest.requests),
            served=_difference(newest.served, oldest.served),
            clicks=_difference(newest.clicks, oldest.clicks),
            quarantined=_difference(newest.quarantined, oldest.quarantined),
            latency=_quantiles(newest.latency, oldest.latency),
            series=[_second(before, after) for before, after in pairwise(samples)],
        )

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            self._samples.append(self._sample())
            self._beat()

    def _sample(self) -> Sample:
        metrics = self._metrics
        return Sample(
            time(),
            monotonic(),
            _totals(metrics.events, "outcome"),
            _by_class(_totals(metrics.requests, "status")),
            _totals(metrics.served, "level"),
            _totals(metrics.clicks, "source"),
            _totals(metrics.quarantined, "rule"),
            _totals(metrics.latency, "le", "_bucket"),
        )


def _totals(metric: Counter | Any, label: str, suffix: str = "_total") -> dict[str, float]:
    totals: dict[str, float] = {}
    for family in metric.collect():
        for sample in family.samples:
            if sample.name.endswith(suffix):
                value = sample.labels[label]
                totals[value] = totals.get(value, 0.0) + sample.value
    return totals


def _by_class(by_status: Mapping[str, float]) -> dict[str, float]:
    classes: dict[str, float] = {}
    for status, count in by_status.items():
        name = f"{status[:1]}xx"
        classes[name] = classes.get(name, 0.0) + count
    return classes


def _difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, int]:
    grown = {name: int(value - before.get(name, 0.0)) for name, value in after.items()}
    return {name: count for name, count in grown.items() if count}


def _second(before: Sample, after: Sample) -> Second:
    requests = _difference(after.requests, before.requests)
    return Second(
        datetime.fromtimestamp(after.at, UTC),
        sum(_difference(after.events, before.events).values()),
        sum(requests.values()),
        requests.get("5xx", 0),
    )


def _quantiles(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float | None]:
    """Upper bounds from the histogram's buckets, which are cumulative."""
    bounds = sorted((float(bound), bound) for bound in after)
    counts = [after[name] - before.get(name, 0.0) for _, name in bounds]
    total = counts[-1] if counts else 0.0
    found: dict[str, float | None] = {}
    for name, share in QUANTILES.items():
        enough = (
            bound
            for (bound, _), count in zip(bounds, counts, strict=True)
            if count >= share * total
        )
        upper = next(enough, float("inf")) if total else None
        found[name] = None if upper is None or upper == float("inf") else upper
    return found

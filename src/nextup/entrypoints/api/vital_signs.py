"""The platform's vitals as metrics, taken in the background: a scrape never waits for a backend."""

from __future__ import annotations

import logging
import threading
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from nextup.services.operating.vitals import Physician, age

if TYPE_CHECKING:
    from nextup.entrypoints.api.metrics import Metrics
    from nextup.services.operating.vitals import Vitals
    from nextup.services.serving import ServingPorts

log = logging.getLogger(__name__)

NOTHING = float("nan")


class VitalSigns:
    """Between `start` and `stop` a thread keeps the gauges up to date."""

    def __init__(self, ports: ServingPorts, metrics: Metrics) -> None:
        self._physician = Physician(ports)
        self._apart_seconds = ports.settings.metrics.vitals_seconds
        self._metrics = metrics
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._taken_at = monotonic()
        metrics.vitals_age.set_function(lambda: monotonic() - self._taken_at)

    def start(self) -> None:
        """Begin, with the first look at once."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="nextup-vitals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it. Stopping twice does nothing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def refresh(self) -> None:
        """Look now."""
        show(self._physician.take(), self._metrics)
        self._taken_at = monotonic()

    def _run(self) -> None:
        while True:
            try:
                self.refresh()
            except Exception:  # a thread that died unseen would show old figures for ever
                log.exception("The vitals could not be taken")
            if self._stop.wait(self._apart_seconds):
                return


def show(vitals: Vitals, metrics: Metrics) -> None:
    """Set the gauges; what is gone disappears from them."""
    for port, backend in vitals.backends.items():
        metrics.backend_up.labels(port).set(backend.ok)
    for lag in vitals.fresh.lags:
        metrics.consumer_lag.labels(lag.group).set(NOTHING if lag.events is None else lag.events)
    published_at = vitals.fresh.generation_published_at
    metrics.generation_age.set_function(lambda: age(published_at))
    metrics.coverage.set(NOTHING if vitals.coverage is None else vitals.coverage)
    metrics.quality.clear()
    for model, figures in vitals.quality.items():
        for metric, value in figures.items():
            metrics.quality.labels(metric, model).set(value)
    metrics.run_seconds.clear()
    for step in vitals.last_steps:
        metrics.run_seconds.labels(step.step, step.outcome.value).set(step.seconds)
    for name, history in vitals.step_histories.items():
        metrics.step_failed.labels(*name).set(history.failed)
        metrics.step_age.labels(*name).set_function(partial(age, history.succeeded_at))
    metrics.lake_free.set(NOTHING if vitals.lake_free is None else vitals.lake_free)
    for table, size in vitals.lake_bytes.items():
        metrics.lake_bytes.labels(table).set(size)

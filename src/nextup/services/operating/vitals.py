"""The platform's pulse for those who watch it: backends, lags, ages, sizes, quality."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from shutil import disk_usage
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from nextup.domain import tables as t
from nextup.domain.errors import NextupError
from nextup.domain.operations import Outcome
from nextup.domain.tables import Table
from nextup.services.artifacts import FOLDER as MODELS
from nextup.services.operating.freshness import freshness, model_quality

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextup.domain.operations import Run, StepRecord
    from nextup.services.operating.freshness import Freshness
    from nextup.services.serving import ServingPorts

QUESTIONS: dict[str, Callable[[ServingPorts], object]] = {
    "event_log": lambda ports: ports.event_log.head(),
    "catalog": lambda ports: ports.catalog.item(""),
    "online_state": lambda ports: ports.online_state.position(),
    "recommendation_store": lambda ports: ports.recommendation_store.current(),
    "control": lambda ports: ports.control.current_model(),
    "files": lambda ports: ports.files.exists(MODELS),
    "lake": lambda ports: ports.lake.version(Table.EVENTS),
}
"""For each backend the cheapest question that it can only answer when it works."""


REMEMBERED_RUNS = 200  # in which a step's last good end is looked for
ENDED = {Outcome.SUCCEEDED, Outcome.FAILED}
LOCAL = "file://"


@dataclass(frozen=True, slots=True)
class BackendState:
    """How a backend answered."""

    ok: bool
    seconds: float
    detail: str = ""


class PipelineStep(NamedTuple):
    """Which step of which pipeline."""

    pipeline: str
    step: str


@dataclass(frozen=True, slots=True)
class StepHistory:
    """How a step of the pipeline has fared, as far as its recent runs tell."""

    failed: bool  # its last try that has ended
    succeeded_at: datetime | None  # when it last ended well


@dataclass(frozen=True, slots=True)
class Vitals:
    """Everything at one moment; what cannot be asked is absent."""

    backends: Mapping[str, BackendState]
    fresh: Freshness
    coverage: float | None  # of the people with touches, the share that has a list
    quality: Mapping[str, Mapping[str, float]]  # per model or contender each metric
    last_steps: Sequence[StepRecord]  # of the last run
    step_histories: Mapping[PipelineStep, StepHistory] = field(default_factory=dict)
    lake_bytes: Mapping[str, int] = field(default_factory=dict)  # by table
    lake_free: float | None = None  # of its disk, the share that is free; None: it is elsewhere


def ask(port: str, ports: ServingPorts) -> BackendState:
    """One backend, by name."""
    started = perf_counter()
    detail = ""
    try:
        QUESTIONS[port](ports)
    except NextupError as error:
        detail = str(error)
    return BackendState(not detail, round(perf_counter() - started, 6), detail)


class Physician:
    """Takes the vitals again and again; remembers what is costly to count."""

    def __init__(self, ports: ServingPorts) -> None:
        self._ports = ports
        self._people: tuple[int | None, int] = (None, 0)  # the table's version, people in it

    def take(self) -> Vitals:
        """Asks everything. Nothing here raises because a backend is down."""
        ports = self._ports
        fresh = freshness(ports)
        last = fresh.last_run
        return Vitals(
            backends={port: ask(port, ports) for port in QUESTIONS},
            fresh=fresh,
            coverage=self._coverage(fresh.lists),
            quality=self._quality(fresh.model_id),
            last_steps=last.steps if last else (),
            step_histories=self._step_histories(),
            lake_bytes=self._lake_bytes(),
            lake_free=self._lake_free(),
        )

    def _quality(self, model_id: str | None) -> Mapping[str, Mapping[str, float]]:
        try:
            model = self._ports.control.model(model_id) if model_id else None
        except NextupError:
            return {}
        contenders = dict(model_quality(model))
        own = contenders.pop("candidate", None)
        if model_id and own:
            contenders[model_id] = own
        return contenders

    def _coverage(self, lists: int | None) -> float | None:
        if lists is None:
            return None
        try:
            version = self._ports.lake.version(Table.USER_ITEM)
            if version != self._people[0]:
                frame = self._ports.lake.scan(Table.USER_ITEM).select(t.USER_ID).unique()
                self._people = (version, frame.collect().height)
        except NextupError:
            return None
        people = self._people[1]
        return min(1.0, lists / people) if people else None

    def _step_histories(self) -> Mapping[PipelineStep, StepHistory]:
        try:
            return step_histories(self._ports.control.runs(REMEMBERED_RUNS))
        except NextupError:
            return {}

    def _lake_free(self) -> float | None:
        url = self._ports.settings.lake_url
        if not url.startswith(LOCAL):
            return None  # whoever keeps the disk watches it
        try:
            usage = disk_usage(self._ports.settings.home / url.removeprefix(LOCAL))
        except OSError:  # nothing was written yet
            return None
        return usage.free / usage.total

    def _lake_bytes(self) -> Mapping[str, int]:
        try:
            return {status.table.value: status.bytes for status in self._ports.lake.status()}
        except NextupError:
            return {}


def step_histories(runs: Sequence[Run]) -> Mapping[PipelineStep, StepHistory]:
    """Of each step in the runs, which are given the latest first."""
    failed: dict[PipelineStep, bool] = {}
    succeeded_at: dict[PipelineStep, datetime] = {}
    for run in runs:
        for step in reversed(run.steps):
            name = PipelineStep(run.pipeline, step.step)
            if step.outcome in ENDED:
                failed.setdefault(name, step.outcome is Outcome.FAILED)
            if step.outcome is Outcome.SUCCEEDED:
                ended_at = step.started_at + timedelta(seconds=step.seconds)
                succeeded_at.setdefault(name, ended_at)
    return {name: StepHistory(how, succeeded_at.get(name)) for name, how in failed.items()}


def age(since: datetime | None) -> float:
    """Seconds until now; not a number for what never was."""
    return float("nan") if since is None else (datetime.now(UTC) - since).total_seconds()

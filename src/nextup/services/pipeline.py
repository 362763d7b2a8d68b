"""The nightly work as data: ordered lists of steps that the command line, the scheduler and
Airflow all read.

Every step is idempotent for a date, so a killed run is resumed by running it again: what is done
already is found done. One lock keeps two runs from colliding.
"""

from __future__ import annotations

import gc
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nextup.domain.errors import ConfigurationError, InvalidInput, NextupError
from nextup.domain.operations import Outcome, Run, StepRecord
from nextup.domain.pipelines import DAILY, MAINTENANCE
from nextup.services import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nextup.ports.control import Control
    from nextup.services.steps import Context
    from nextup.settings import Settings

    Watch = Callable[[StepRecord], None]

LOCK = "pipeline"  # one for all: two pipelines may write the same tables
HOUR = 3600  # seconds
MANY_OBJECTS = 100_000  # that a step may make before Python looks for cycles among them
DATA, MODEL = "data", "model"  # assets: gold as of a day, a model in service


@dataclass(frozen=True, slots=True)
class Step:
    """One station of a pipeline."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[Context], steps.Done]
    makes: str = ""  # the asset that is there afterwards
    timeout_seconds: int = 2 * HOUR  # where a scheduler can end it


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Steps one after the other, for one day. In Airflow it is the DAG of this name."""

    name: str
    about: str
    steps: tuple[Step, ...]
    at: str = ""  # local time of each day; empty: when `after` is made, or when somebody says so
    after: str = ""  # the asset that starts it
    catch_up: bool = True  # whether days that were missed are made up for
    within_minutes: int = 360  # of its time, or its start: a run that is not done then is late

    @property
    def step_names(self) -> list[str]:
        """In their order."""
        return [step.name for step in self.steps]


STEPS: tuple[Step, ...] = (
    Step("collect", ("event_log",), ("bronze.events", "bronze.quarantine"), steps.collect),
    Step(
        "refine",
        ("bronze.events", "catalog"),
        ("silver.interactions", "silver.items"),
        steps.refine,
    ),
    Step(
        "features",
        ("silver.interactions",),
        ("gold.user_item", "gold.item_stats", "gold.trending"),
        steps.features,
        makes=DATA,
    ),
    Step(
        "train",
        ("gold.user_item", "silver.interactions", "silver.items"),
        ("models",),
        steps.train,
    ),
    Step("evaluate", ("silver.interactions", "models"), ("models",), steps.evaluate),
    Step(
        "publish",
        ("models", "gold.user_item", "silver.interactions"),
        ("gold.recommendations", "recommendation_store", "online_state"),
        steps.publish,
        makes=MODEL,
    ),
)
"""From the log to the lists of everybody."""

UPKEEP = Step("maintain_lake", ("lake",), ("lake",), steps.maintain)

PIPELINES: tuple[Pipeline, ...] = (
    Pipeline(
        name=DAILY,
        about="From the log to the lists of everybody, for the day that has just ended.",
        steps=STEPS,
        at="02:00",
    ),
    Pipeline(
        name=MAINTENANCE,
        about="The lake's upkeep.",
        steps=(UPKEEP,),
        at="04:00",
        catch_up=False,
    ),
)
"""Of a deployment without a recipe. The first one is meant where none is named."""


def pipeline_with(step: str, pipelines: Sequence[Pipeline]) -> Pipeline:
    """The first one that has the step; the first of all where none has, or no step is named."""
    return next((one for one in pipelines if step in one.step_names), pipelines[0])


def pipeline_named(name: str, pipelines: Sequence[Pipeline]) -> Pipeline:
    """The first one where the name is empty. Raises InvalidInput for a name that is none."""
    for pipeline in pipelines:
        if name in {"", pipeline.name}:
            return pipeline
    names = ", ".join(one.name for one in pipelines)
    raise InvalidInput(f"There is no pipeline '{name}'.", cure=f"Pipelines: {names}.")


def run_pipeline(
    context: Context,
    control: Control,
    *,
    pipeline: Pipeline = PIPELINES[0],
    first: str | None = None,
    last: str | None = None,
    watch: Watch | None = None,
    begun: Callable[[Run], None] | None = None,
) -> Run:
    """Run its steps for the context's date; raises what a step raises, after recording it.

    `begun` is told of the run when it holds the lock and is recorded, `watch` of each step.
    """
    chosen = choose_steps(first, last, pipeline)
    started_at = datetime.now(UTC)
    run = Run(
        f"{context.day.isoformat()}-{started_at:%Y%m%dT%H%M%S%f}",
        context.day.isoformat(),
        Outcome.RUNNING,
        started_at,
        pipeline=pipeline.name,
    )
    context = replace(context, run_id=run.run_id)
    with control.lock(LOCK):
        _mark_interrupted(control)
        control.save_run(run)
        if begun is not None:
            begun(run)
        try:
            for step in chosen:
                run = replace(
                    run, steps=(*run.steps, _run_step(step, context, control, run, watch))
                )
        except BaseException:
            failed = replace(run, outcome=Outcome.FAILED, finished_at=datetime.now(UTC))
            with suppress(NextupError):  # what went wrong matters more than that it is not noted
                control.save_run(failed)
            raise
        run = replace(run, outcome=Outcome.SUCCEEDED, finished_at=datetime.now(UTC))
        control.save_run(run)
    return run


def choose_steps(
    first: str | None, last: str | None, pipeline: Pipeline = PIPELINES[0]
) -> Sequence[Step]:
    """The steps from `first` to `last`; raises InvalidInput for a name that is none."""
    names = pipeline.step_names
    for name in (first, last):
        if name is not None and name not in names:
            raise InvalidInput(f"There is no step '{name}'.", cure=f"Steps: {', '.join(names)}.")
    start = names.index(first) if first else 0
    stop = names.index(last) + 1 if last else len(names)
    if start >= stop:
        order = ", ".join(names)
        raise InvalidInput(f"Step '{first}' comes after '{last}'.", cure=f"The order is {order}.")
    return pipeline.steps[start:stop]


def end_of_day(day: date, settings: Settings) -> datetime:
    """The first moment after the day, where the settings' people live."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone_of(settings))
    return (midnight + timedelta(days=1)).astimezone(UTC)


def today(settings: Settings) -> date:
    """The date it is, where the settings' people live."""
    return datetime.now(zone_of(settings)).date()


def days(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last, both included."""
    if last < first:
        raise InvalidInput(
            f"The period ends ({last}) before it begins ({first}).",
            cure="Give the first day first.",
        )
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def zone_of(settings: Settings) -> ZoneInfo:
    """Where the settings' people live. Raises ConfigurationError for a zone that is none."""
    try:
        return ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"Setting 'timezone': there is no '{settings.timezone}'.", cure="Try 'Europe/Paris'."
        ) from error


def _run_step(
    step: Step, context: Context, control: Control, run: Run, watch: Watch | None
) -> StepRecord:
    record = StepRecord(step.name, Outcome.RUNNING, datetime.now(UTC), 0.0)
    clock = time.monotonic()
    control.save_step(run.run_id, record)
    try:
        with _few_collections:
            done = step.run(context)
    except BaseException as error:
        message = str(error) if isinstance(error, NextupError) else type(error).__name__
        record = _finish(record, Outcome.FAILED, clock, {}, message)
        with suppress(NextupError):  # as above
            control.save_step(run.run_id, record)
        if watch:
            watch(record)
        raise
    record = _finish(record, Outcome.SUCCEEDED, clock, done.counts, done.remark)
    control.save_step(run.run_id, record)
    if watch:
        watch(record)
    return record


class _FewCollections:
    """A step makes millions of rows that are in no cycle. Looking for some after every few hundred,
    as Python does, took half of the time that lists for everybody take.

    Several steps may be at work at once; with the last it is as it was before the first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work = 0
        self._usual = gc.get_threshold()

    def __enter__(self) -> None:
        with self._lock:
            if not self._at_work:
                self._usual = gc.get_threshold()
                gc.set_threshold(MANY_OBJECTS, *self._usual[1:])
            self._at_work += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._at_work -= 1
            if not self._at_work:
                gc.set_threshold(*self._usual)


_few_collections = _FewCollections()


def _finish(
    record: StepRecord, outcome: Outcome, clock: float, counts: Mapping[str, int], message: str
) -> StepRecord:
    seconds = round(time.monotonic() - clock, 3)
    return replace(record, outcome=outcome, seconds=seconds, counts=counts, message=message)


def _mark_interrupted(control: Control) -> None:
    """Whoever holds the lock knows that a run still marked as running died."""
    for run in control.runs(limit=100):
        if run.outcome is Outcome.RUNNING:
            control.save_run(replace(run, outcome=Outcome.INTERRUPTED))

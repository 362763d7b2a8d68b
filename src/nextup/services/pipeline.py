"""The nightly work as data: an ordered list of steps that the command line, the scheduler and
Airflow all read.

Every step is idempotent for a date, so a killed run is resumed by running it again: what is done
already is found done. One lock keeps two runs from colliding.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nextup.domain.errors import ConfigurationError, InvalidInput, NextupError
from nextup.domain.operations import Outcome, Run, StepRecord
from nextup.services import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nextup.ports.control import Control
    from nextup.services.steps import Context
    from nextup.settings import Settings

    Watch = Callable[[StepRecord], None]

LOCK = "pipeline"


@dataclass(frozen=True, slots=True)
class Step:
    """One station of the pipeline."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[Context], steps.Done]


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
    ),
)


def run_pipeline(
    context: Context,
    control: Control,
    *,
    first: str | None = None,
    last: str | None = None,
    watch: Watch | None = None,
    begun: Callable[[Run], None] | None = None,
) -> Run:
    """Run the steps for the context's date; raises what a step raises, after recording it.

    `begun` is told of the run when it holds the lock and is recorded, `watch` of each step.
    """
    chosen = choose_steps(first, last)
    started_at = datetime.now(UTC)
    run = Run(
        f"{context.day.isoformat()}-{started_at:%Y%m%dT%H%M%S%f}",
        context.day.isoformat(),
        Outcome.RUNNING,
        started_at,
    )
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


def choose_steps(first: str | None, last: str | None) -> Sequence[Step]:
    """The steps from `first` to `last`; raises InvalidInput for a name that is none."""
    names = [step.name for step in STEPS]
    for name in (first, last):
        if name is not None and name not in names:
            raise InvalidInput(f"There is no step '{name}'.", cure=f"Steps: {', '.join(names)}.")
    start = names.index(first) if first else 0
    stop = names.index(last) + 1 if last else len(names)
    if start >= stop:
        order = ", ".join(names)
        raise InvalidInput(f"Step '{first}' comes after '{last}'.", cure=f"The order is {order}.")
    return STEPS[start:stop]


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

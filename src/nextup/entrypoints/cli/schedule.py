"""`nextup schedule`: the pipeline, backups and housekeeping at their times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextup.entrypoints.cli.context import context_of, platform_at
from nextup.entrypoints.cli.interruption import until_interrupted
from nextup.entrypoints.cli.output import HERE, Home, Json, MetricsPort, Output

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import date

    from nextup.services.schedule import Outcome, Scheduler
    from nextup.services.steps import Context
    from nextup.settings import Settings

LOCK = "schedule"


def register(root: typer.Typer) -> None:
    """Add this command to the root."""
    root.command()(schedule)


def schedule(
    once: Annotated[
        bool, typer.Option("--once", help="Do what is due now, and end; exits with 1 if it failed.")
    ] = False,
    metrics_port: MetricsPort = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Run the pipelines and backups at their times, which `[schedule]` can change.

    Until interrupted: a pipeline under way ends at its next report, and what it had done stays
    done. What was missed is made up for.
    """
    from nextup.entrypoints.heap import settle_heap
    from nextup.entrypoints.logs import configure_logs
    from nextup.entrypoints.worker_metrics import ScheduleMetrics, scraped

    settle_heap()
    out = Output(as_json=as_json)
    done: list[Outcome] = []
    metrics = ScheduleMetrics()

    def told(outcome: Outcome) -> None:
        done.append(outcome)
        metrics.note(outcome)
        ending = "" if outcome.done else "FAILED: "
        out.say(f"{outcome.due}  {outcome.job:<18} {ending}{outcome.says}")

    with platform_at(home) as platform, platform.control.lock(LOCK), until_interrupted() as stop:
        settings = platform.settings
        configure_logs(settings.logs)
        scheduler = _scheduler(settings, stop, told)
        metrics.follow(scheduler.next_times)
        port = settings.metrics.schedule_port if metrics_port is None else metrics_port
        with scraped(metrics.registry, settings.metrics.host, port):
            if once:
                scheduler.do_what_is_due(stop)
            else:
                for moment, job in scheduler.next_times():
                    out.say(f"{job:<18} next at {moment:%Y-%m-%d %H:%M} UTC")
                scheduler.run(stop)
    out.result(done, "Stopped." if stop.is_set() else None)
    if once and not all(outcome.done for outcome in done):
        raise typer.Exit(1)


def _scheduler(
    settings: Settings, stop: threading.Event, told: Callable[[Outcome], None]
) -> Scheduler:
    from datetime import UTC, datetime
    from functools import partial

    from nextup.bootstrap import open_platform
    from nextup.domain.errors import ConfigurationError
    from nextup.recipes.pipelines import pipelines_of
    from nextup.services.daily_jobs import daily_jobs
    from nextup.services.pipeline import zone_of
    from nextup.services.schedule import Patience, Scheduler

    # Each job opens the backends anew: a server that was restarted meanwhile is no concern.
    jobs = daily_jobs(
        settings,
        pipelines_of(settings),
        partial(open_platform, settings),
        partial(_context, stop),
    )
    if not jobs:
        raise ConfigurationError(
            "There is nothing to do at any time.",
            cure='Set a time, such as schedule.backup = "02:00".',
        )
    given = settings.schedule
    patience = Patience(given.retries, given.retry_seconds)
    return Scheduler(
        jobs,
        zone_of(settings),
        patience=patience,
        clock=lambda: datetime.now(UTC),
        told=told,
    )


def _context(stop: threading.Event, platform: Any, day: date) -> Context:
    """A run that ends when it next reports after an interruption; run again, it goes on."""
    from nextup.domain.errors import Conflict

    def report(what: str, done: int, total: int) -> None:
        if stop.is_set():
            raise Conflict("The scheduler was told to end.", cure="Its next start goes on.")

    return context_of(platform, day, report)

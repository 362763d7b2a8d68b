"""What is done every day by itself: the pipeline, a backup, the lake's housekeeping."""

from __future__ import annotations

import re
from datetime import date, time
from typing import TYPE_CHECKING, Any, Protocol

from nextup.domain.operations import Outcome
from nextup.services.backup import ORDER, backup
from nextup.services.lake_upkeep import maintain_lake
from nextup.services.pipeline import LOCK, STEPS, run_pipeline
from nextup.services.schedule import DAY, Job, days_up_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from nextup.domain.operations import Run
    from nextup.ports.control import Control
    from nextup.services.steps import Context
    from nextup.settings import Settings

    Opened = Callable[[], AbstractContextManager[Any]]
    """Opens a platform for one job, and closes it."""
    ContextOf = Callable[[Any, date], Context]

RECENT = 400  # runs that are looked through for the last day that is done
_BACKUP = re.compile(r"nextup-(\d{4}-\d\d-\d\d)\.tar")


def daily_jobs(settings: Settings, opened: Opened, context_of: ContextOf) -> list[Job]:
    """Those that the settings give a time."""
    given = settings.schedule
    work: list[tuple[str, str, _Work]] = [
        ("pipeline", given.pipeline, _Pipeline(settings, opened, context_of)),
        ("backup", given.backup, _Backup(settings, opened)),
        ("lake", given.lake, _Lake(settings, opened)),
    ]
    return [Job(name, time.fromisoformat(at), one.missed, one.run) for name, at, one in work if at]


class _Work(Protocol):
    """What a job asks and does; see `Job`."""

    def missed(self, due: date) -> Sequence[date]: ...

    def run(self, due: date) -> str: ...


class _Pipeline:
    """For the day that has just ended when the time comes."""

    def __init__(self, settings: Settings, opened: Opened, context_of: ContextOf) -> None:
        self._catch_up = settings.schedule.catch_up_days
        self._opened = opened
        self._context_of = context_of

    def missed(self, due: date) -> Sequence[date]:
        with self._opened() as platform:
            done = last_whole_day(platform.control)
        return days_up_to(due, done + DAY if done else None, catch_up=self._catch_up)

    def run(self, due: date) -> str:
        with self._opened() as platform:
            run = run_pipeline(self._context_of(platform, due - DAY), platform.control)
        return f"{run.date}: {run.steps[-1].message}"


class _Backup:
    """One archive a day; the oldest go."""

    def __init__(self, settings: Settings, opened: Opened) -> None:
        self._folder = settings.home / settings.schedule.backup_folder
        self._keep = settings.schedule.backup_keep
        self._opened = opened

    def missed(self, due: date) -> Sequence[date]:
        """Yesterday's state cannot be copied today: only the last one is made up for."""
        done = max(self._archives(), default=None)
        return [due] if done is None or done < due else []

    def run(self, due: date) -> str:
        archive = self._folder / f"nextup-{due.isoformat()}.tar"
        with self._opened() as platform, platform.control.lock(LOCK):
            report = backup({name: getattr(platform, name) for name in ORDER}, archive)
        for day in sorted(self._archives())[: -self._keep]:
            (self._folder / f"nextup-{day.isoformat()}.tar").unlink(missing_ok=True)
        return f"{archive.name}: {report.files} files, {report.bytes / 1e6:,.1f} MB"

    def _archives(self) -> Iterator[date]:
        for file in self._folder.glob("nextup-*.tar"):
            if found := _BACKUP.fullmatch(file.name):
                yield date.fromisoformat(found[1])


class _Lake:
    """Small files are merged, old versions go. What was missed needs no making up for."""

    def __init__(self, settings: Settings, opened: Opened) -> None:
        self._opened = opened
        self._keep_days = settings.lake.keep_days
        self._done: date | None = None

    def missed(self, due: date) -> Sequence[date]:
        self._done = self._done or due  # the first time comes after the start
        return [due] if self._done < due else []

    def run(self, due: date) -> str:
        with self._opened() as platform, platform.control.lock(LOCK):
            upkeep = maintain_lake(platform.lake, keep_days=self._keep_days)
        self._done = due
        return f"{upkeep.files_merged:,} files fewer"


def last_whole_day(control: Control) -> date | None:
    """The latest day that was put in service, by whomever."""
    days = [run.date for run in control.runs(RECENT) if _is_whole(run)]
    return date.fromisoformat(max(days)) if days else None


def _is_whole(run: Run) -> bool:
    """Whether its last step, which builds on all others, was done."""
    return any(
        step.step == STEPS[-1].name and step.outcome is Outcome.SUCCEEDED for step in run.steps
    )

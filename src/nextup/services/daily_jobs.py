"""What is done every day by itself: the pipelines, and a backup."""

from __future__ import annotations

import re
from datetime import date, time
from typing import TYPE_CHECKING, Any, Protocol

from nextup.domain.operations import Outcome
from nextup.services.backup import ORDER, backup
from nextup.services.pipeline import LOCK, PIPELINES, run_pipeline
from nextup.services.schedule import DAY, Job, days_up_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from nextup.domain.operations import Run, StepRecord
    from nextup.ports.control import Control
    from nextup.services.pipeline import Pipeline
    from nextup.services.steps import Context
    from nextup.settings import Settings

    Opened = Callable[[], AbstractContextManager[Any]]
    """Opens a platform for one job, and closes it."""
    ContextOf = Callable[[Any, date], Context]

BACKUP = "backup"
RECENT = 1_000  # runs that are looked through for the last day that is done
_BACKUP = re.compile(r"nextup-(\d{4}-\d\d-\d\d)\.tar")


def daily_jobs(
    settings: Settings, pipelines: Sequence[Pipeline], opened: Opened, context_of: ContextOf
) -> list[Job]:
    """Those that have a time. A pipeline that waits for another's asset follows it at once."""
    work: list[tuple[str, str, _Work]] = [
        (
            one.name,
            one.at,
            _Pipelines(chain_from(one, pipelines), settings, opened, context_of),
        )
        for one in pipelines
    ]
    work.append((BACKUP, settings.schedule.backup, _Backup(settings, opened)))
    return [Job(name, time.fromisoformat(at), one.missed, one.run) for name, at, one in work if at]


class _Work(Protocol):
    """What a job asks and does; see `Job`."""

    def missed(self, due: date) -> Sequence[date]: ...

    def run(self, due: date) -> str: ...


class _Pipelines:
    """One, and those that its assets start: for the day that has just ended when the time comes."""

    def __init__(
        self, chain: Sequence[Pipeline], settings: Settings, opened: Opened, context_of: ContextOf
    ) -> None:
        self._chain = chain
        self._catch_up = settings.schedule.catch_up_days if chain[0].catch_up else 0
        self._opened = opened
        self._context_of = context_of

    def missed(self, due: date) -> Sequence[date]:
        with self._opened() as platform:
            done = last_whole_day(platform.control, self._chain[-1])
        return days_up_to(due, done + DAY if done else None, catch_up=self._catch_up)

    def run(self, due: date) -> str:
        with self._opened() as platform:
            context = self._context_of(platform, due - DAY)
            for pipeline in self._chain:
                run = run_pipeline(context, platform.control, pipeline=pipeline)
        return f"{run.date}: {said(run.steps[-1])}"


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


def chain_from(first: Pipeline, pipelines: Sequence[Pipeline]) -> list[Pipeline]:
    """It, then those that what it makes starts, and so on."""
    chain = [first]
    for pipeline in chain:
        made = {step.makes for step in pipeline.steps} - {""}
        chain += [one for one in pipelines if one.after in made and one not in chain]
    return chain


def said(step: StepRecord) -> str:
    """The step's remark; without one, its counts."""
    return step.message or ", ".join(f"{name} {count:,}" for name, count in step.counts.items())


def last_whole_day(control: Control, pipeline: Pipeline = PIPELINES[0]) -> date | None:
    """The latest day that the pipeline was done for, by whomever."""
    days = [run.date for run in control.runs(RECENT) if _is_whole(run, pipeline)]
    return date.fromisoformat(max(days)) if days else None


def _is_whole(run: Run, pipeline: Pipeline) -> bool:
    """Whether its last step, which builds on all others, was done."""
    last = pipeline.step_names[-1]
    return run.pipeline == pipeline.name and any(
        step.step == last and step.outcome is Outcome.SUCCEEDED for step in run.steps
    )

"""Daily work at its times, one thing after the other, for those who have no other scheduler.

What is due is asked of what was done (the runs on record, the backups in their folder), never
remembered: a scheduler that was off, or killed, finds out by itself what it has missed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nextup.domain.errors import NextupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0  # at the clock, at the latest: it may be set, or the machine may sleep
DAY = timedelta(days=1)


class Stop(Protocol):
    """A `threading.Event`, or what a test has instead of time."""

    def is_set(self) -> bool:
        """Whether to end."""
        ...

    def wait(self, timeout: float) -> bool:
        """Return when it is set, or after so many seconds; whether it is set."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done once for every day, at a local time."""

    name: str
    at: time
    missed: Callable[[date], Sequence[date]]  # up to the day that is due: which are not done
    run: Callable[[date], str]  # does it for the day whose time has come; says what it did


class Outcome(NamedTuple):
    """What came of doing a job."""

    job: str
    due: date  # the local date of its time
    done: bool
    says: str


class Patience(NamedTuple):
    """What is done about failures."""

    retries: int
    seconds: float  # until the next try


class Scheduler:
    """Does each job when its time has come. Not safe to share between threads."""

    def __init__(
        self,
        jobs: Sequence[Job],
        zone: ZoneInfo,
        *,
        patience: Patience,
        clock: Callable[[], datetime],
        told: Callable[[Outcome], None],
    ) -> None:
        self._jobs = jobs
        self._zone = zone
        self._patience = patience
        self._clock = clock
        self._told = told
        self._failures: dict[tuple[str, date], int] = {}
        self._not_before: dict[str, datetime] = {}  # by job: its days are done in order

    def run(self, stop: Stop) -> None:
        """Until told to stop: between two jobs at once, in a job when that next looks."""
        while not stop.is_set():
            self.do_what_is_due(stop)
            stop.wait(min(LOOK_SECONDS, self.seconds_to_next()))

    def do_what_is_due(self, stop: Stop) -> None:
        """Every job whose time has come and that is not done, the earliest first; one that
        failed is tried again later."""
        for moment, job, day in sorted(self._due(), key=lambda one: one[0]):
            if stop.is_set():
                return
            if self._waits(job):  # an earlier day failed just now
                continue
            log.info("%s of %s, due since %s", job.name, day, moment.isoformat())
            self._do(job, day)

    def seconds_to_next(self) -> float:
        """Until a job's time, or its next try; 0 where one waits."""
        now = self._clock()
        return max(0.0, min((moment - now).total_seconds() for moment in self._moments(now)))

    def next_times(self) -> list[tuple[datetime, str]]:
        """When each job's time comes next, the earliest first."""
        now = self._clock()
        return sorted((self._next_time(job, now), job.name) for job in self._jobs)

    def _moments(self, now: datetime) -> Iterator[datetime]:
        yield now + timedelta(seconds=LOOK_SECONDS)
        for job in self._jobs:
            yield self._next_time(job, now)
        yield from (moment for moment in self._not_before.values() if moment > now)

    def _due(self) -> Iterator[tuple[datetime, Job, date]]:
        now = self._clock()
        for job in self._jobs:
            if self._waits(job):
                continue
            for day in self._days_due(job, now):
                if self._failures.get((job.name, day), 0) <= self._patience.retries:
                    yield self._moment(job, day), job, day  # others are given up

    def _waits(self, job: Job) -> bool:
        now = self._clock()
        return now < self._not_before.get(job.name, now)

    def _days_due(self, job: Job, now: datetime) -> Sequence[date]:
        try:
            return job.missed(self._latest(job, now))
        except NextupError as error:  # nobody knows what is done: ask again when we next look
            log.warning("%s: %s", job.name, error)
            return ()

    def _do(self, job: Job, day: date) -> None:
        key = (job.name, day)
        try:
            says = job.run(day)
        except NextupError as error:
            self._failures[key] = self._failures.get(key, 0) + 1
            self._not_before[job.name] = self._clock() + timedelta(seconds=self._patience.seconds)
            self._told(Outcome(job.name, day, False, str(error)))
            return
        self._failures.pop(key, None)
        self._told(Outcome(job.name, day, True, says))

    def _latest(self, job: Job, now: datetime) -> date:
        """The local date on which the job's time came last."""
        today = now.astimezone(self._zone).date()
        return today if self._moment(job, today) <= now else today - DAY

    def _next_time(self, job: Job, now: datetime) -> datetime:
        return self._moment(job, self._latest(job, now) + DAY)

    def _moment(self, job: Job, day: date) -> datetime:
        """A time that the clocks skip in spring is that much later; the first of two in autumn."""
        return datetime.combine(day, job.at, tzinfo=self._zone).astimezone(UTC)


def days_up_to(due: date, done: date | None, *, catch_up: int) -> list[date]:
    """The days after the last that was done, up to the one that is due: it and at most `catch_up`
    before it. With none done yet there is nothing to make up for."""
    if done is None:
        return [due]
    first = max(done + DAY, due - catch_up * DAY)
    return [first + number * DAY for number in range((due - first).days + 1)]

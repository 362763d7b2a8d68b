"""When the scheduler does what: on a clock that the tests move."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.domain.errors import BackendUnavailable
from nextup.services.schedule import Job, Outcome, Patience, Scheduler, days_up_to

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
UTC_ZONE = ZoneInfo("UTC")


@dataclass
class World:
    """A clock that moves when it is waited on, and what was done by it."""

    now: datetime
    until: datetime
    runs: list[tuple[str, date, datetime]] = field(default_factory=list)
    told: list[Outcome] = field(default_factory=list)
    failing: int = 0  # the next so many runs fail
    takes: timedelta = timedelta()

    def is_set(self) -> bool:
        return self.now >= self.until

    def wait(self, timeout: float) -> bool:
        self.now += timedelta(seconds=max(timeout, 1))
        return self.is_set()

    def job(self, name: str, at: str, *, done: date | None = None, catch_up: int = 7) -> Job:
        state = {"done": done}

        def run(due: date) -> str:
            self.runs.append((name, due, self.now))
            self.now += self.takes
            if self.failing:
                self.failing -= 1
                raise BackendUnavailable("The store is away.")
            state["done"] = due
            return "done"

        def missed(due: date) -> list[date]:
            return days_up_to(due, state["done"], catch_up=catch_up)

        return Job(name, time.fromisoformat(at), missed, run)

    def scheduler(self, *jobs: Job, zone: ZoneInfo = UTC_ZONE, retries: int = 3) -> Scheduler:
        patience = Patience(retries, 300.0)
        return Scheduler(
            jobs, zone, patience=patience, clock=lambda: self.now, told=self.told.append
        )


def world(start: str, *, hours: float) -> World:
    now = datetime.fromisoformat(start).replace(tzinfo=UTC)
    return World(now, now + timedelta(hours=hours))


def test_once_a_day_at_its_time() -> None:
    """Not before, and not twice."""
    clock = world("2026-03-01T12:00", hours=60)
    clock.scheduler(clock.job("pipeline", "02:00", done=date(2026, 3, 1))).run(clock)
    assert [(due, at.isoformat()) for _, due, at in clock.runs] == [
        (date(2026, 3, 2), "2026-03-02T02:00:00+00:00"),
        (date(2026, 3, 3), "2026-03-03T02:00:00+00:00"),
    ]


def test_what_was_missed_is_made_up_for() -> None:
    """At once, the earliest first, and no more days than the settings allow."""
    clock = world("2026-03-20T12:00", hours=1)
    clock.scheduler(clock.job("pipeline", "02:00", done=date(2026, 3, 1), catch_up=3)).run(clock)
    assert [due.day for _, due, _ in clock.runs] == [17, 18, 19, 20]


def test_one_thing_at_a_time() -> None:
    """What comes due while something else is done waits for its end, and is done then."""
    clock = world("2026-03-01T23:00", hours=12)
    clock.takes = timedelta(hours=2)
    pipeline = clock.job("pipeline", "02:00", done=date(2026, 3, 1))
    backup = clock.job("backup", "03:00", done=date(2026, 3, 1))
    clock.scheduler(backup, pipeline).run(clock)
    assert [(name, at.hour) for name, _, at in clock.runs] == [("pipeline", 2), ("backup", 4)]


def test_a_failure_is_tried_again() -> None:
    """After the pause, until it is done; each try is told."""
    clock = world("2026-03-01T12:00", hours=24)
    clock.failing = 2
    clock.scheduler(clock.job("pipeline", "02:00", done=date(2026, 3, 1))).run(clock)
    assert [at.strftime("%H:%M") for _, _, at in clock.runs] == ["02:00", "02:05", "02:10"]
    assert [outcome.done for outcome in clock.told] == [False, False, True]
    assert clock.told[0].says == "The store is away."


def test_what_never_works_is_given_up_until_its_next_time() -> None:
    """The day after is done although the one before was not."""
    clock = world("2026-03-01T12:00", hours=48)
    clock.failing = 3
    job = clock.job("pipeline", "02:00", done=date(2026, 3, 1))
    clock.scheduler(job, retries=2).run(clock)
    done = zip(clock.runs, clock.told, strict=True)
    assert [(due.day, outcome.done) for (_, due, _), outcome in done] == [
        (2, False),
        (2, False),
        (2, False),
        (3, True),
    ]


def test_days_are_done_in_order() -> None:
    """A day that fails holds up those after it."""
    clock = world("2026-03-04T12:00", hours=1)
    clock.failing = 1
    clock.scheduler(clock.job("pipeline", "02:00", done=date(2026, 3, 2))).run(clock)
    assert [due.day for _, due, _ in clock.runs] == [3, 3, 4]


def test_told_to_stop_between_two_jobs() -> None:
    """Nothing is begun after that."""
    clock = world("2026-03-04T12:00", hours=1)
    clock.takes = timedelta(hours=2)
    clock.scheduler(clock.job("pipeline", "02:00", done=date(2026, 3, 1))).run(clock)
    assert len(clock.runs) == 1


def test_the_clocks_change() -> None:
    """A time that spring skips is an hour later, one that autumn has twice comes once."""
    spring = world("2026-03-28T12:00", hours=24)
    spring.scheduler(spring.job("a", "02:30", done=date(2026, 3, 28)), zone=PARIS).run(spring)
    assert [at.strftime("%H:%M") for _, _, at in spring.runs] == ["01:30"]  # 03:30 in Paris
    autumn = world("2026-10-24T12:00", hours=24)
    autumn.scheduler(autumn.job("a", "02:30", done=date(2026, 10, 24)), zone=PARIS).run(autumn)
    assert [at.strftime("%H:%M") for _, _, at in autumn.runs] == ["00:30"]


def test_a_clock_that_is_set_back() -> None:
    """What is done stays done."""
    clock = world("2026-03-02T02:00", hours=24)
    scheduler = clock.scheduler(clock.job("pipeline", "02:00", done=date(2026, 3, 1)))
    scheduler.do_what_is_due(clock)
    clock.now -= timedelta(hours=3)
    scheduler.do_what_is_due(clock)
    clock.now += timedelta(hours=3)
    scheduler.do_what_is_due(clock)
    assert len(clock.runs) == 1


def test_a_state_that_cannot_be_asked() -> None:
    """Is asked again later; other jobs go on."""
    clock = world("2026-03-01T12:00", hours=24)
    working = clock.job("backup", "03:00", done=date(2026, 3, 1))

    def nobody_knows(due: date) -> list[date]:
        raise BackendUnavailable("The control data is away.")

    lost = Job("pipeline", time(2), nobody_knows, working.run)
    clock.scheduler(lost, working).run(clock)
    assert [name for name, _, _ in clock.runs] == ["backup"]


@given(
    start=st.integers(0, 366 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes)),
    at=st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    zone=st.sampled_from(["UTC", "Europe/Paris", "America/Sao_Paulo", "Pacific/Apia"]),
)
def test_the_next_time_is_within_a_day_and_an_hour(start: datetime, at: time, zone: str) -> None:
    """Wherever and whenever: in the future, and no day is left out."""
    clock = World(start, start + DAY)
    job = clock.job("pipeline", at.isoformat(), done=None)
    ((moment, _),) = clock.scheduler(job, zone=ZoneInfo(zone)).next_times()
    assert clock.now < moment <= clock.now + timedelta(hours=25)


@pytest.mark.parametrize(
    ("done", "expected"),
    [(None, [9]), (date(2026, 3, 9), []), (date(2026, 3, 10), []), (date(2026, 3, 7), [8, 9])],
)
def test_days_up_to(done: date | None, expected: list[int]) -> None:
    """From the last that was done to the one that is due; nothing where it is done, or more."""
    assert [day.day for day in days_up_to(date(2026, 3, 9), done, catch_up=7)] == expected

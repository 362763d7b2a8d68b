"""A clock that goes backwards or leaps ahead: order, exactly once, expiry and locks do not care."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.conftest import DAY
from tests.faults.looking import events_in, log_rows, opened
from tests.faults.processes import SEED, Command, succeed
from tests.faults.test_kill import PIPELINE

from nextup.adapters.control.sql import SqlControl
from nextup.adapters.event_log.sql import SqlEventLog
from nextup.adapters.online_state import sql as online_state_sql
from nextup.adapters.sql import open_database
from nextup.domain.errors import Conflict
from nextup.domain.events import Event, to_microseconds
from nextup.domain.operations import Outcome
from nextup.domain.tables import Table
from nextup.services.pipeline import LOCK
from nextup.services.recommending.request import Request
from nextup.services.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nextup.bootstrap import Platform

pytestmark = pytest.mark.faults

LEAPS = [timedelta(days=-1), timedelta(days=-4000), timedelta(hours=1), timedelta(seconds=-30)]


def wrong_by(leap: timedelta) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + leap


def with_clock(platform: Platform, clock: Callable[[], datetime]) -> SqlEventLog:
    """The platform's log, opened anew by a process whose clock is this one."""
    settings = platform.settings
    return SqlEventLog(open_database(settings.event_log_url, settings.home), clock=clock)


def test_times_of_arrival_never_go_back(halfway: Path) -> None:
    """Whatever the clock does, in one process and over restarts, events keep the order in which
    they came, no time of arrival is before an earlier one, and a run brings all to silver once."""
    dice = random.Random(SEED)
    with opened(halfway) as platform:
        before = log_rows(platform)
        item_id = before[0].item_id
        sent = []
        for leap in LEAPS:
            log = with_clock(platform, wrong_by(leap))
            for _ in range(3):
                now = datetime.now(UTC) + leap
                ids = [f"e{len(sent) + n}" for n in range(dice.randrange(1, 30))]
                log.append([Event(name, "view", "ada", item_id, now) for name in ids])
                log.append([Event(ids[0], "view", "ada", item_id, now)])  # a retry
                sent += ids
            log.close()
        rows = log_rows(platform)  # which looks at the times
        assert [row.event_id for row in rows[len(before) :]] == sent
        assert rows[-1].received_at > to_microseconds(datetime.now(UTC) + timedelta(minutes=30))
    succeed(halfway, *PIPELINE)
    with opened(halfway) as platform:
        for table in (Table.EVENTS, Table.INTERACTIONS):
            assert events_in(platform, table, rows) == len(rows)


def test_a_day_that_is_run_before_the_last_one(halfway: Path) -> None:
    """A pipeline whose clock was ahead last time has nothing in its way: the earlier day is run,
    recorded and in service, and running it again changes nothing."""
    succeed(halfway, "pipeline", "run", "--date", "2031-01-01")
    succeed(halfway, *PIPELINE)
    with opened(halfway) as platform:
        current = platform.control.current_model()
        lists = platform.recommendation_store.current()
    assert str(current).startswith(DAY.isoformat())
    assert str(lists).startswith(str(current))
    succeed(halfway, *PIPELINE)
    with opened(halfway) as platform:
        assert platform.control.current_model() == current
        assert {run.outcome for run in platform.control.runs(100)} == {Outcome.SUCCEEDED}


@pytest.mark.parametrize("leap", LEAPS, ids=str)
def test_served_lists_outlive_a_clock_that_goes_back(
    halfway: Path, monkeypatch: pytest.MonkeyPatch, leap: timedelta
) -> None:
    """A list that was served a moment ago can be continued after the clock was set, and the next
    one that is served does not sweep it away; an hour more or less does not end it."""
    with opened(halfway) as platform:
        person = log_rows(platform)[0].user_id
        serving = Serving(platform)
        first = serving.recommender.recommend(Request(person, limit=5))
        wrong = wrong_by(leap)
        monkeypatch.setattr(online_state_sql, "_now", lambda: to_microseconds(wrong()))
        later = Serving(platform, clock=wrong)
        later.recommender.recommend(Request(person, limit=5))
        kept = platform.online_state.served(first.served.token)
    assert kept is not None
    assert kept.items == first.served.items


@pytest.mark.parametrize("leap", [*LEAPS, timedelta(days=1)], ids=str)
def test_locks_are_not_fooled(halfway: Path, leap: timedelta) -> None:
    """The lock of a living process is held however old its heartbeat seems, and that of a dead
    one is free at once however new."""
    with opened(halfway) as platform:
        url, home = platform.settings.control_url, platform.settings.home
    control = SqlControl(open_database(url, home), clock=wrong_by(leap))
    try:
        with Command(halfway, *PIPELINE) as holder:
            assert holder.wait_until(lambda out: "collect" in out)
            try:
                with control.lock(LOCK):
                    taken = True
            except Conflict:
                taken = False
            if holder.kill():  # it was alive throughout
                assert not taken
        with control.lock(LOCK):
            pass
    finally:
        control.close()

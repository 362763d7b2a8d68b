"""How often, how many, and how it is counted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.adapters.control.clients import SqlClients
from nextup.adapters.sql import open_database
from nextup.domain.clients import REFUSED
from nextup.domain.errors import BackendUnavailable
from nextup.services.access.rates import MOST_KEYS, SHARED_BYTES, Rates, SharedTimes
from nextup.services.access.usage import UsageMeter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def clients(tmp_path: Path) -> Iterator[SqlClients]:
    made = SqlClients(open_database("sqlite:///:memory:", tmp_path))
    yield made
    made.close()


@given(
    per_second=st.sampled_from([0.1, 1.0, 3.0, 50.0]),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 5), min_size=1, max_size=60),
)
def test_no_window_holds_more_than_is_allowed(
    per_second: float, burst: int, pauses: list[float]
) -> None:
    """In any stretch of time at most `burst` and what the rate brings; and whoever waits as long
    as told is let in."""
    now = [0.0]
    rates = Rates(lambda: now[0])
    let_in: list[float] = []
    for pause in pauses:
        now[0] += pause
        wait = rates.take("shop", per_second=per_second, burst=burst)
        if wait:
            now[0] += wait + 1e-6
            assert rates.take("shop", per_second=per_second, burst=burst) == 0
        let_in.append(now[0])
    for start in range(len(let_in)):
        for end in range(start, len(let_in)):
            allowed = burst + (let_in[end] - let_in[start]) * per_second
            assert end - start + 1 <= allowed + 1e-3


def test_each_key_has_its_own() -> None:
    """One that has used up its own takes nothing from another; forgetting one fills it."""
    rates = Rates(lambda: 0.0)
    assert [rates.take(key, per_second=1, burst=1) for key in ("a", "b", "a")] == [0, 0, 1]
    rates.forget("a")
    rates.forget("never")
    assert rates.take("a", per_second=1, burst=1) == 0


def test_memory_has_a_bound() -> None:
    """An attacker who makes up names cannot fill it."""
    rates = Rates(lambda: 0.0)
    for number in range(2 * MOST_KEYS):
        rates.take(number, per_second=1e-6, burst=1)
    assert len(rates._full_at) <= MOST_KEYS


def test_usage_is_counted_once(clients: SqlClients) -> None:
    """However often it is written down, and by two processes."""
    one, other = (UsageMeter(clients, lambda: NOW) for _ in range(2))
    for _ in range(3):
        one.count("shop", "read")
    one.count("shop", REFUSED)
    assert one.used("shop") == 3
    for meter in (one, one, other, one):
        meter.count("shop", "write")
        meter.flush()
    assert one.used("shop") == 7
    other.flush()
    assert other.used("shop") == clients.used(NOW.date())["shop"] == 7
    day = clients.usage("shop", NOW.date(), NOW.date())
    assert {row.what: row.times for row in day} == {"read": 3, "write": 4, REFUSED: 1}


def test_a_new_day_begins_at_nothing(clients: SqlClients) -> None:
    """And what was counted before midnight goes to the day before."""
    now = [NOW]
    meter = UsageMeter(clients, lambda: now[0])
    meter.count("shop", "read")
    assert meter.until_tomorrow() == 12 * 3600
    now[0] += timedelta(hours=13)
    assert meter.used("shop") == 0
    meter.count("shop", "read")
    meter.flush()
    assert clients.used(date(2026, 11, 20)) == clients.used(date(2026, 11, 21)) == {"shop": 1}


def test_nothing_is_forgotten_while_the_database_is_away(clients: SqlClients) -> None:
    """What could not be written is written later, once; meanwhile the quota counts it."""

    class Away:
        """The store, which does not answer at first."""

        away = True

        def __getattr__(self, name: str) -> object:
            if self.away:
                raise BackendUnavailable("away")
            return getattr(clients, name)

    store = Away()
    meter = UsageMeter(store, lambda: NOW)
    meter.count("shop", "read")
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            meter.flush()
        meter.count("shop", "read")
    assert meter.used("shop") == 3
    store.away = False
    meter.flush()
    assert meter.used("shop") == clients.used(NOW.date())["shop"] == 3


def test_processes_share_a_rate() -> None:
    """What one lets in, another counts; each number has its own."""
    memory = memoryview(bytearray(SHARED_BYTES))
    one, other = (Rates(lambda: 5.0, shared=SharedTimes(memory)) for _ in range(2))
    taken = [rates.take(7, per_second=1, burst=2) for rates in (one, other, one, other)]
    assert taken == [0, 0, 1, 1]
    assert other.take(8, per_second=1, burst=2) == 0


def test_a_higher_limit_holds_at_once() -> None:
    """Nobody waits for what a lower one had them wait for."""
    rates = Rates(lambda: 0.0)
    assert [rates.take("shop", per_second=0.001, burst=1) for _ in range(2)] == [0, 1000]
    assert rates.take("shop", per_second=100, burst=1) <= 0.01

"""A server that is killed, paused, or loses its connections under load: nothing is lost, nothing is
counted twice, and when it is back the same open platform goes on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.backends import Place
from tests.contract.cases import event
from tests.contract.log_rows import NOON, after, counters, histories, row
from tests.contract.test_online_state import all_trending
from tests.contract.test_recommendation_store import generation_of, published

from nextup.domain.errors import BackendUnavailable, NextupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stack.server import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

KILLS = 3
PAUSE_SECONDS = 1.5  # longer than the server is waited for
WAITED = {"connect_seconds": 2, "answer_seconds": 0.5, "retries": 0}

LOGS = ["postgresql"]
STORES = ["postgresql", "redis"]


@pytest.fixture
def server(request: pytest.FixtureRequest, private_server: Callable[[str], Server]) -> Server:
    return private_server(request.param)


@pytest.fixture
def place(server: Server, tmp_path: Path) -> Iterator[Place]:
    place = Place(server.url, tmp_path, more={"connections": WAITED})
    yield place
    place.clean()


def until_it_answers(act: Callable[[], Any]) -> Any:
    """Repeat what a server that is away refuses; anything but "unavailable" is a failure."""
    while True:
        try:
            return act()
        except BackendUnavailable:
            time.sleep(0.02)


def killed_under(server: Server, work: Callable[[], None], kills: int = KILLS) -> None:
    """Do the work while the server is killed and started again and again."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=run)
    worker.start()
    for _ in range(kills):
        time.sleep(0.3)
        server.kill()
        server.launch()
    worker.join()
    assert failures == []


@pytest.mark.parametrize("server", LOGS, indirect=True)
def test_acknowledged_events_outlive_a_kill(server: Server, place: Place) -> None:
    """Every event that was acknowledged is there once, at the offset it was given, though its
    sender repeated what was refused."""
    log = place.event_log()
    acknowledged: dict[str, int] = {}

    def send() -> None:
        for number in range(0, 3_000, 10):
            batch = [event(n) for n in range(number, number + 10)]
            for receipt in until_it_answers(lambda batch=batch: log.append(batch)):
                acknowledged[receipt.event_id] = receipt.offset

    killed_under(server, send)
    found = until_it_answers(lambda: log.read({}, 10_000)).rows
    assert len(found) == 3_000
    assert {one.event_id: one.offset for one in found} == acknowledged


@pytest.mark.parametrize("server", STORES, indirect=True)
def test_a_publish_through_a_kill(server: Server, place: Place) -> None:
    """What is in service stays readable between the kills; the publication, repeated until it
    went through, is whole."""
    store = place.recommendation_store()
    store.write("g1", [published("user-1", "old")])
    store.switch("g1")

    def publish() -> None:
        for number in range(2, 6):
            name = f"g{number}"
            until_it_answers(lambda name=name: store.write(name, generation_of(name, 5_000)))
            until_it_answers(lambda name=name: store.switch(name))

    killed_under(server, publish)
    assert until_it_answers(store.current) == "g5"
    assert store.count("g5") == 5_000
    assert store.read("user-4999") == published("user-4999", *(f"g5/{n}" for n in range(5)))


@pytest.mark.parametrize("server", STORES, indirect=True)
def test_an_updater_through_a_kill(server: Server, place: Place) -> None:
    """Histories, counters and position are those of the log, whatever was applied twice."""
    state = place.online_state()
    rows = [row(n, f"user-{n % 7}", f"item-{n % 3}", at=NOON) for n in range(3_000)]

    def follow() -> None:
        for start in range(0, len(rows), 10):
            batch = rows[start : start + 10]
            until_it_answers(lambda batch=batch: state.apply(batch, after(batch)))

    killed_under(server, follow)
    assert until_it_answers(state.position) == {"0": 3_000}
    for user_id, touches in histories(rows).items():
        assert state.history(user_id) == touches
    found = {item_id: dict(hours) for item_id, hours in all_trending(state).items()}
    assert found == counters(rows)


@pytest.mark.parametrize("server", STORES, indirect=True)
def test_a_server_that_is_frozen_is_given_up_and_found_again(server: Server, place: Place) -> None:
    """Nobody waits for ever; when it moves again, so do we."""
    store, state = place.recommendation_store(), place.online_state()
    store.write("g1", [published("ada", "film")])
    store.switch("g1")
    server.pause()
    for ask in (lambda: store.read("ada"), lambda: state.history("ada")):
        with pytest.raises(NextupError, match="in time"):
            ask()
    server.resume()
    assert until_it_answers(lambda: store.read("ada")) == published("ada", "film")
    assert until_it_answers(lambda: state.history("ada")) == []


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_a_connection_that_was_cut_is_replaced(server: Server, place: Place) -> None:
    """An operator who ends all connections disturbs nobody."""
    from psycopg import connect

    log = place.event_log()
    log.append([event(1)])
    with connect(server.url, autocommit=True) as operator:
        operator.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "  # and wait for it
            "WHERE pid <> pg_backend_pid() AND usename = current_user"
        )
    assert log.append([event(2)])[0].event_id == event(2).event_id

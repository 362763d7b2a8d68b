"""Several workers behind one port."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from tests.integration.workers_world import (
    DOWN,
    Served,
    ask,
    is_alive,
    make_platform,
    serving,
    wait_until,
)

from nextup.bootstrap import open_platform
from nextup.domain.events import START
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVED = "nextup_served_total{"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_platform(tmp_path)


@pytest.fixture
def server(home: Path) -> Iterator[Served]:
    with serving(home, "--workers", "2") as server:
        yield server


def test_an_event_shows_in_the_next_answer_of_every_worker(server: Served) -> None:
    """Whichever worker took a like, no other gives an answer from before it; cached or not."""
    connections = [server.connect() for _ in range(8)]
    path = "/v1/users/ada/recommendations?limit=5"
    stale = []
    for turn in range(16):
        before = [ask(each, "GET", path)[1] for each in connections]
        liked = before[0]["items"][0]["item_id"]
        event = {"type": "like", "user_id": "ada", "item_id": liked}
        assert ask(connections[turn % 8], "POST", "/v1/events", event)[0] == 202
        after = [ask(each, "GET", path)[1] for each in connections]
        stale += [page for page in after if liked in [item["item_id"] for item in page["items"]]]
    for each in connections:
        each.close()
    assert not stale


def test_a_list_is_continued_and_replayed_by_any_worker(server: Served) -> None:
    """The token that one worker gave is good at the others, at once."""
    connections = [server.connect() for _ in range(6)]
    for turn in range(6):
        first = ask(connections[turn], "GET", f"/v1/users/p{turn}/recommendations?limit=5")[1]
        seen = [item["item_id"] for item in first["items"]]
        for each in connections:
            status, page = ask(each, "GET", first["next"])
            assert status == 200
            assert not set(seen) & {item["item_id"] for item in page["items"]}
            status, whole = ask(each, "GET", f"/v1/served/{first['token']}")
            assert status == 200
            assert [item["item_id"] for item in whole["items"]][:5] == seen
    for each in connections:
        each.close()


def test_a_killed_worker_is_replaced_and_nothing_acknowledged_is_lost(
    server: Served, home: Path
) -> None:
    """Clients of a killed worker connect again; every acknowledged event is in the log, once."""
    accepted: list[str] = []
    enough = threading.Event()

    def post() -> None:
        number = 0
        connection = server.connect()
        while not (enough.is_set() and number > 60):
            event_id = f"{threading.current_thread().name}-{number}"
            event = {"event_id": event_id, "type": "view", "user_id": "u", "item_id": "film-1"}
            try:
                status, _ = ask(connection, "POST", "/v1/events", event)
            except DOWN:  # sent again, under its id
                connection.close()
                connection = server.connect()
                continue
            if status == 202:
                accepted.append(event_id)
                number += 1
        connection.close()

    posters = [threading.Thread(target=post, name=f"poster{n}") for n in range(3)]
    for poster in posters:
        poster.start()
    for _ in range(2):
        old = server.workers()
        os.kill(old[0], signal.SIGKILL)
        wait_until(lambda gone=old[0]: gone not in server.workers() and len(server.workers()) == 2)
    enough.set()
    for poster in posters:
        poster.join(90)
    assert server.stop() == 0
    with open_platform(load_settings(home)) as platform:
        kept = [row.event_id for row in platform.event_log.read(START, 10**6).rows]
    assert len(kept) == len(set(kept))
    assert set(accepted) <= set(kept)
    assert len(accepted) > 180


def test_workers_are_replaced_one_after_the_other(server: Served) -> None:
    """On SIGHUP there are new processes, and meanwhile somebody always answers."""
    old = server.workers()
    server.process.send_signal(signal.SIGHUP)
    answers = []

    def replaced() -> bool:
        connection = server.connect()
        try:
            answers.append(ask(connection, "GET", "/healthz")[0])
        finally:
            connection.close()
        now = server.workers()
        return len(now) == 2 and not set(now) & set(old)

    wait_until(replaced)
    assert set(answers) == {200}


def test_workers_do_not_outlive_their_parent(server: Served) -> None:
    """When the parent is killed the workers end by themselves."""
    workers = server.workers()
    server.process.kill()
    server.process.wait(30)
    wait_until(lambda: not any(is_alive(pid) for pid in workers))


def test_memory_cannot_be_shared(tmp_path: Path) -> None:
    """Stores in one process' memory and several workers are refused, with the cure."""
    home = make_platform(tmp_path)
    text = 'online_state_url = "memory://"\n' + (home / "nextup.toml").read_text()
    (home / "nextup.toml").write_text(text)
    with pytest.raises(AssertionError, match=r"(?s)cannot share online_state_url.*sqlite:///"):
        Served(home, "--workers", "2")


def test_metrics_are_those_of_all_workers(server: Served) -> None:
    """Whichever worker is asked for the metrics, it has counted what all have answered."""
    connections = [server.connect() for _ in range(8)]
    for each in connections:
        for turn in range(5):
            ask(each, "GET", f"/v1/users/p{turn}/recommendations")

    def served(each: http.client.HTTPConnection) -> float:
        each.request("GET", "/metrics")
        lines = each.getresponse().read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(SERVED))

    for each in connections:
        wait_until(lambda each=each: served(each) == 40)
        each.close()

"""The same answer again while nothing changes, and never after anything has."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.api_world import served, train

from nextup.domain.events import Event, EventType
from nextup.entrypoints.api.hot import Hot
from nextup.services.recommending import answers
from nextup.services.recommending.answers import RENEWED_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform

PATH = "/v1/users/ada/recommendations"
OPEN = {"auth": "none"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[httpx.Client, Platform]]:
    """Answers that would be kept for an hour."""
    with served(tmp_path, recommend={"cache_seconds": 3600.0}, access=OPEN) as (client, platform):
        train(platform, "m1")
        wait_for(lambda: client.get("/readyz").json()["model_id"] == "m1")
        like(client, "film-1")
        yield client, platform


def like(client: httpx.Client, item_id: str, user_id: str = "ada") -> None:
    event = {"type": "like", "user_id": user_id, "item_id": item_id}
    assert client.post("/v1/events", json=event).status_code == 202


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def token(client: httpx.Client, query: str = "") -> str:
    answer = client.get(PATH + query)
    assert answer.status_code == 200
    return str(answer.json()["token"])


def counted(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_the_very_bytes_again(world: tuple[httpx.Client, Platform]) -> None:
    """While nothing changes an answer is repeated to the byte, with its headers and a request id
    of its own, and is counted like any other."""
    client, _ = world
    first = client.get(PATH)
    served_before = counted(client, "nextup_served_total")
    answered = 'http_requests_total{handler="/v1/users/{user_id}/recommendations"'
    before = counted(client, answered)
    again = client.get(PATH, headers={"x-request-id": "mine-1"})
    assert again.content == first.content
    assert again.headers["x-request-id"] == "mine-1"
    ours = {"date", "x-request-id"}
    kept = {name: value for name, value in first.headers.items() if name not in ours}
    assert kept == {name: value for name, value in again.headers.items() if name not in ours}
    assert counted(client, "nextup_served_total") == served_before + 1
    assert counted(client, answered) == before + 1


def test_what_is_repeated_can_be_replayed_and_continued(
    world: tuple[httpx.Client, Platform],
) -> None:
    """The token of a repeated answer names exactly the list that was seen."""
    client, _ = world
    client.get(PATH + "?limit=5")
    page = client.get(PATH + "?limit=5").json()
    whole = client.get(f"/v1/served/{page['token']}").json()
    assert whole["items"][:5] == page["items"]
    following = client.get(page["next"]).json()
    assert following["token"] == page["token"]
    assert [place["rank"] for place in following["items"]] == [6, 7, 8, 9, 10]


def test_another_wish_is_another_answer(world: tuple[httpx.Client, Platform]) -> None:
    """Answers are kept apart by what was asked for, and by how it may be encoded."""
    client, _ = world
    assert len({token(client, query) for query in ("", "?limit=3", "?kind=film", "?limit=4")}) == 4
    plain = client.get(PATH, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers


def by_an_event(client: httpx.Client, platform: Platform) -> None:
    like(client, client.get(PATH).json()["items"][0]["item_id"])


def by_a_batch(client: httpx.Client, platform: Platform) -> None:
    rows = [{"type": "like", "user_id": "ada", "item_id": "film-5"}]
    assert client.post("/v1/events/batch", json=rows).status_code == 202


def by_another_program(client: httpx.Client, platform: Platform) -> None:
    now = datetime.now(UTC)
    event = Event("from elsewhere", EventType.LIKE, "ada", "film-9", now, None, None, None, None)
    platform.event_log.append([event])


def by_a_new_model(client: httpx.Client, platform: Platform) -> None:
    train(platform, "m2", seed=2)


def by_an_item(client: httpx.Client, platform: Platform) -> None:
    first = client.get(PATH).json()["items"][0]["item_id"]
    assert client.delete(f"/v1/items/{first}").status_code == 204


@pytest.mark.parametrize(
    "change", [by_an_event, by_a_batch, by_another_program, by_a_new_model, by_an_item]
)
def test_a_change_makes_a_new_answer(
    world: tuple[httpx.Client, Platform],
    change: Callable[[httpx.Client, Platform], None],
) -> None:
    """Whatever changes for a person, the next answers come from after it."""
    client, platform = world
    before = token(client)
    assert token(client) == before
    change(client, platform)
    at_once = change in {by_an_event, by_a_batch, by_an_item}
    if at_once:
        assert token(client) != before
    wait_for(lambda: token(client) != before)


def test_age_makes_a_new_answer(tmp_path: Path) -> None:
    """Trends move on: an answer is given for so many seconds at most; 0 makes each anew."""
    with served(tmp_path, recommend={"cache_seconds": 0.0}, access=OPEN) as (client, _):
        assert token(client) != token(client)
    with served(tmp_path, recommend={"cache_seconds": 0.2}, access=OPEN) as (client, _):
        before = token(client)
        wait_for(lambda: token(client) != before)


def test_an_ageing_answer_is_renewed_behind_its_caller(
    world: tuple[httpx.Client, Platform], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its time is over somebody gets it once more, and the next a younger one; nobody waits,
    and each answer is counted once."""
    client, _ = world
    before = token(client)
    answered = counted(client, "nextup_served_total")
    later = RENEWED_AT * 3600
    monkeypatch.setattr(answers, "monotonic", lambda: time.monotonic() + later)
    assert token(client) == before
    wait_for(lambda: counted(client, "nextup_served_total") == answered + 1)
    wait_for(lambda: token(client) != before)


def test_a_graceful_stop_keeps_every_list(tmp_path: Path) -> None:
    """Lists that were just served are found after a restart."""
    with served(tmp_path, access=OPEN) as (client, _):
        pages = [client.get(f"/v1/users/p{n}/recommendations").json() for n in range(20)]
    with served(tmp_path, access=OPEN) as (client, _):
        for page in pages:
            assert client.get(f"/v1/served/{page['token']}").json()["items"][:20] == page["items"]


def test_what_another_server_applied_makes_a_new_answer(tmp_path: Path) -> None:
    """An event that another server took in, over the same stores, shows here soon."""
    long = {"cache_seconds": 3600.0}
    with (
        served(tmp_path, recommend=long, access=OPEN) as (here, platform),
        served(tmp_path, recommend=long, access=OPEN) as (there, _),
    ):
        train(platform, "m1")
        wait_for(lambda: here.get("/readyz").json()["model_id"] == "m1")
        like(here, "film-2")
        before = token(here)
        assert token(here) == before
        like(there, "film-1")
        wait_for(lambda: token(here) != before)


def asked(client: httpx.Client, text: bytes, *, said_all: bool = False) -> bytes:
    """Everything that is answered to these bytes, until the connection ends; `said_all` closes our
    direction behind them."""
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(text)
        if said_all:
            connection.shutdown(socket.SHUT_WR)
        answered = b""
        while more := connection.recv(1 << 20):
            answered += more
    return answered


def test_who_has_said_all_is_answered(world: tuple[httpx.Client, Platform]) -> None:
    """A caller may close its own direction behind its questions, and still hear the answers."""
    client, _ = world
    asking = b"GET %b?exclude=film-%d HTTP/1.1\r\nHost: here\r\n\r\n"
    questions = b"".join(asking % (PATH.encode(), n) for n in range(3))
    answered = asked(client, questions, said_all=True)
    assert answered.count(b"HTTP/1.1 200 ") == answered.count(b'"token":') == 3


def test_many_in_one_piece(world: tuple[httpx.Client, Platform]) -> None:
    """Questions that are sent without waiting are answered one after the other, and the connection
    ends where the last one says so."""
    client, _ = world
    expected = client.get(PATH, headers={"accept-encoding": "identity"}).content
    question = b"GET %b HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n" % PATH.encode()
    question += b"Accept-Encoding: identity\r\nX-Request-Id: mine-%d\r\n"
    questions = [question % n + b"\r\n" for n in range(300)]
    last = question % 300 + b"Connection: close\r\n\r\n"
    answers = asked(client, b"".join(questions) + last).split(b"HTTP/1.1 ")[1:]
    for number, answer in enumerate(answers):
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"200 ")
        assert b"x-request-id: mine-%d" % number in head
        assert body == expected
        assert (b"connection: close" in head.lower()) == (number == 300)
    assert len(answers) == 301


def test_a_fault_before_the_framework_is_no_fault(
    world: tuple[httpx.Client, Platform],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where the early answer fails, the framework gives it."""
    client, _ = world
    before = token(client)

    def fails(*_: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(Hot, "find", fails)
    assert token(client) != before
    assert "no such luck" in caplog.text

"""Single events are taken in before the framework, and nobody can tell by the answers."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.api_world import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform

ROUTE = 'http_requests_total{handler="/v1/events",method="POST"'
SLOWLY = {"origin": "https://shop.example"}  # which only the framework answers


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[httpx.Client, Platform]]:
    """A platform without a model: events need none."""
    with served(tmp_path, access={"auth": "none"}) as (client, platform):
        yield client, platform


def event(number: int, **others: object) -> dict[str, object]:
    return {"type": "like", "user_id": "ada", "item_id": f"film-{number}", **others}


def counted(client: httpx.Client, start: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(start))


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"like","user_id":"ada","item_id":"film-1","event_id":"e-\xc3\xa4"}',
        b'{"type":"like","user_id":"ada","item_id":"nowhere"}',
        b'{"type":"like"',
        b"[" * 20_000,
        b"\xff",
        b"",
    ],
    ids=["good", "unknown item", "cut short", "deep", "no text", "empty"],
)
def test_as_the_framework_answers(
    world: tuple[httpx.Client, Platform], body: bytes, encoding: str
) -> None:
    """Status, headers and body are the same with and without the short way."""
    client, _ = world
    send = {"content": body, "headers": {"x-request-id": "mine-1", "accept-encoding": encoding}}
    client.post("/v1/events", **send)  # from now on the event is a duplicate
    short = client.post("/v1/events", **send)
    long = client.post("/v1/events", **(send | {"headers": send["headers"] | SLOWLY}))
    assert short.status_code == long.status_code
    assert short.content == long.content
    assert without_date(short) == without_date(long)


def without_date(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "date"}


def test_many_callers_at_once(world: tuple[httpx.Client, Platform]) -> None:
    """Of many events at the same time each has its own answer, good or bad; the log holds the
    good ones, each once; and all are counted."""
    client, platform = world
    bodies = [
        event(n % 50, event_id=f"e-{n % 80}") if n % 5 else {"type": "stare", "row": n}
        for n in range(200)
    ]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: client.post("/v1/events", json=body), bodies))
    for body, answer in zip(bodies, answers, strict=True):
        assert answer.status_code == (202 if "event_id" in body else 422)
        if "event_id" in body:
            assert answer.json()["event_id"] == body["event_id"]
    new = [one for one in answers if one.status_code == 202 and not one.json()["duplicate"]]
    names = {body["event_id"] for body in bodies if "event_id" in body}
    assert len(new) == len(names)
    assert sorted(row.event_id for row in platform.event_log.read({}, 1000).rows) == sorted(names)
    assert len(platform.event_log.read_rejected({}, 1000).rows) == 40
    assert counted(client, ROUTE + ',status="202"') == 160
    assert counted(client, ROUTE + ',status="422"') == 40
    assert counted(client, "nextup_quarantined_total") == 40


def test_counts_at_once(world: tuple[httpx.Client, Platform]) -> None:
    """When the answer is there the event is in the person's history."""
    client, platform = world
    for number in range(5):
        assert client.post("/v1/events", json=event(number)).status_code == 202
        assert len(platform.online_state.history("ada")) == number + 1


def request(number: int, *more: str) -> bytes:
    """A request as it travels."""
    body = f'{{"type":"like","user_id":"ada","item_id":"film-{number}","event_id":"e{number}"}}'
    head = ["POST /v1/events HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *more]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def test_requests_in_one_piece(world: tuple[httpx.Client, Platform]) -> None:
    """Several on one connection, sent without waiting, are answered one after the other, and the
    connection ends where a request says so."""
    client, _ = world
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(request(1) + request(2) + request(3, "Connection: close"))
        answered = b""
        while more := connection.recv(65_536):
            answered += more
    heads = answered.split(b"HTTP/1.1 ")[1:]
    assert [head[:3] for head in heads] == [b"202"] * 3
    for number, head in enumerate(heads, 1):
        assert head.endswith(b'{"event_id":"e%d","duplicate":false}' % number)
        assert head.lower().count(b"content-length: ") == head.lower().count(b"date: ") == 1
    assert [b"connection: close" in head.lower() for head in heads] == [False, False, True]


def test_a_body_that_comes_later(world: tuple[httpx.Client, Platform]) -> None:
    """A head and a body in pieces are one event; a caller who leaves in the middle leaves none."""
    client, platform = world
    address = (client.base_url.host, client.base_url.port)
    head, _, body = request(1).partition(b"\r\n\r\n")
    with socket.create_connection(address, timeout=60) as left:
        left.sendall(request(2)[:-5])
    with socket.create_connection(address, timeout=60) as connection:
        for piece in (head + b"\r\n\r\n", body[:20], body[20:]):
            time.sleep(0.05)
            connection.sendall(piece)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 202 ")
    assert [row.event_id for row in platform.event_log.read({}, 10).rows] == ["e1"]

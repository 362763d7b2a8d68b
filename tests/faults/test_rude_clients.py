"""Clients that are slow, silent, greedy or broken cost the others nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.workers_world import make_platform, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.workers_world import Served

TOML = """
[server]
head_seconds = 0.6
body_seconds = 0.8
max_connections = 40
max_body_bytes = 100000
"""
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = make_platform(tmp_path_factory.mktemp("rude"), TOML)
    with serving(home) as server:
        yield server


def connected(server: Served) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def rest(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def test_silence_is_ended(server: Served) -> None:
    """Who connects and says nothing is let go, without a word."""
    with connected(server) as connection:
        assert rest(connection) == b""


@pytest.mark.parametrize(
    "beginning",
    [b"GET /v1/us", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: a", GET + b"GET /heal"],
    ids=["line", "header", "second request"],
)
def test_a_head_that_does_not_end(server: Served, beginning: bytes) -> None:
    """Half a request's head is answered 408 when its time is over."""
    with connected(server) as connection:
        connection.sendall(beginning)
        assert b"408 Request Timeout" in rest(connection)


def test_a_head_that_drips(server: Served) -> None:
    """A byte now and then does not prolong the time (slow loris)."""
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        ended = threading.Event()

        def drip() -> None:
            try:
                while not ended.is_set():
                    connection.sendall(b"X-A: b\r\n")
                    time.sleep(0.05)
            except OSError:
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        answer = rest(connection)
        ended.set()
        dripping.join()
    assert b"408 Request Timeout" in answer or answer == b""  # or reset, with our drops unread


def test_a_body_that_does_not_end(server: Served) -> None:
    """A body that was announced and does not come is answered 408."""
    with connected(server) as connection:
        connection.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n{")
        assert b"408 Request Timeout" in rest(connection)


def test_endless_headers(server: Served) -> None:
    """Headers beyond the limit are answered 431."""
    with connected(server) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 12_000)
        assert b"431 Request Header Fields Too Large" in rest(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["TLS", "no path", "two lengths", "length and chunks"],
)
def test_what_is_not_http(server: Served, sent: bytes) -> None:
    """What is no request, or could be read as two, is answered 400 with a problem document."""
    with connected(server) as connection:
        connection.sendall(sent)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["status"] == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 50_000, {400, 422}),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, {400, 413, 422}),
        (b'{"type":"like","user_id":"\xff\xfe","item_id":"film-1"}', {400, 422}),
        (b"x" * 100_001, {413}),
    ],
    ids=["deep", "deep and closed", "encoding", "large"],
)
@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/batch", "/v1/recommendations"])
def test_bad_bodies(server: Served, path: str, body: bytes, status: set[int]) -> None:
    """Depth, encoding and size are refused with a problem document, and the server goes on."""
    answer = httpx.post(
        server.url + path, content=body, headers={"content-type": "application/json"}, timeout=60
    )
    assert answer.status_code in status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_too_many_connections(server: Served) -> None:
    """Beyond the limit of connections a new one is told so at once; when others go, all is well."""
    opened = [connected(server) for _ in range(60)]
    answers = []
    for connection in opened[45:]:
        with contextlib.suppress(OSError):
            connection.sendall(GET)
        answers.append(rest(connection))
    refused = [answer for answer in answers if b"503 Service Unavailable" in answer]
    assert refused
    assert all(b"retry-after" in answer for answer in refused)
    for connection in opened:
        connection.close()
    for _ in range(600):
        try:
            if httpx.get(server.url + "/healthz", timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not recover")


def test_more_than_it_can_answer(tmp_path: Path) -> None:
    """Beyond its capacity a server answers 503 with Retry-After, accepts again by itself, is
    watched meanwhile, and has every event that it acknowledged."""
    home = make_platform(tmp_path, "[server]\nmax_in_flight = 4\n")
    with serving(home) as server:
        accepted: list[str] = []
        refused: list[httpx.Response] = []

        def post(number: int) -> None:
            with httpx.Client(base_url=server.url, timeout=60) as client:
                for turn in range(10):
                    event_id = f"{number}-{turn}"
                    event = {"type": "view", "user_id": f"u{number}", "item_id": "film-1"}
                    answer = client.post("/v1/events", json={**event, "event_id": event_id})
                    if answer.status_code == 202:
                        accepted.append(event_id)
                    else:
                        refused.append(answer)
                    assert client.get("/healthz").status_code == 200

        with ThreadPoolExecutor(24) as pool:
            list(pool.map(post, range(24)))
        assert {answer.status_code for answer in refused} == {503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        calm = httpx.get(f"{server.url}/v1/users/u1/recommendations", timeout=60)
        assert calm.status_code == 200
        known = set()
        for number in range(24):
            path = f"{server.url}/v1/users/u{number}/history"
            known |= {number for _ in httpx.get(path, timeout=60).json()["history"]}
        assert known == {int(event_id.split("-")[0]) for event_id in accepted}
        assert server.stop() == 0
    from nextup.bootstrap import open_platform
    from nextup.domain.events import START
    from nextup.settings import load_settings

    with open_platform(load_settings(home)) as platform:
        kept = {row.event_id for row in platform.event_log.read(START, 10**6).rows}
    assert kept == set(accepted)

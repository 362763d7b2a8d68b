"""A server as a process of its own, stopped in the middle of its work."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.api_world import catalogue

from nextup.bootstrap import open_platform
from nextup.domain.events import START
from nextup.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
from nextup.bootstrap import open_platform
from nextup.entrypoints.api.server import serve
from nextup.settings import load_settings

with open_platform(load_settings(sys.argv[1])) as platform:
    serve(platform, port=0, ready=lambda url: print(url, flush=True))
print("closed", flush=True)
"""


class Poster(threading.Thread):
    """Posts one event after another until the server is gone; remembers what was accepted."""

    def __init__(self, url: str, name: str, enough: threading.Barrier) -> None:
        super().__init__(name=name)
        self.url = url
        self.enough = enough
        self.accepted: list[str] = []
        self.refused: list[int] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            for number in range(100_000):
                event_id = f"{self.name}-{number}"
                event = {"type": "view", "user_id": self.name, "item_id": "film-1"}
                try:
                    answer = client.post("/v1/events", json=event | {"event_id": event_id})
                except httpx.TransportError:
                    return
                if answer.status_code == 202:
                    self.accepted.append(event_id)
                else:
                    self.refused.append(answer.status_code)
                if number == 20:
                    self.enough.wait(60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop(tmp_path: Path, number: int) -> None:
    """On a signal the server finishes what it accepted, closes its platform and exits with 0;
    every acknowledged event is in the log, once."""
    with open_platform(load_settings(tmp_path)) as platform:
        platform.catalog.put_items(catalogue())
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    enough = threading.Barrier(5)
    posters = [Poster(url, f"p{n}", enough) for n in range(4)]
    for poster in posters:
        poster.start()
    enough.wait(60)
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    for poster in posters:
        poster.join()

    assert process.returncode == 0
    assert rest.strip() == "closed"
    accepted = [event_id for poster in posters for event_id in poster.accepted]
    assert len(accepted) >= 4 * 20
    assert not any(poster.refused for poster in posters)
    with open_platform(load_settings(tmp_path)) as platform:
        kept = [row.event_id for row in platform.event_log.read(START, 1_000_000).rows]
    assert len(kept) == len(set(kept))
    assert set(accepted) <= set(kept)


def test_draining(tmp_path: Path) -> None:
    """After SIGTERM a server that drains still answers, on connections old and new, and every
    answer ends its connection; a second signal ends the server."""
    (tmp_path / "nextup.toml").write_text("server = {drain_seconds = 600}\n", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    with httpx.Client(base_url=url, timeout=30) as old, httpx.Client(base_url=url) as new:
        assert "connection" not in old.get("/healthz").headers
        process.send_signal(signal.SIGTERM)
        while "connection" not in (answer := old.get("/healthz")).headers:
            assert answer.status_code == 200
        for said in (answer, new.get("/healthz"), old.get("/v1/popular")):
            assert (said.status_code, said.headers["connection"]) == (200, "close")
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "closed\n")

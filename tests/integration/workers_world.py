"""A platform on disk and a real `nextup serve` over it, with one worker or several."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.integration.api_world import catalogue, train

from nextup.bootstrap import open_platform
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "from nextup.entrypoints.cli.app import main; main()"
PATIENCE = 90  # seconds until something counts as hanging
SERVING = "Serving on "
DOWN = (OSError, http.client.HTTPException, json.JSONDecodeError)


def make_platform(home: Path, toml: str = "") -> Path:
    """A catalogue and a small model in service; everybody may ask."""
    (home / "nextup.toml").write_text(f'[access]\nauth = "none"\n{toml}', encoding="utf-8")
    with open_platform(load_settings(home)) as platform:
        platform.catalog.put_items(catalogue())
        train(platform, "m1")
    return home


class Served:
    """A running server, stopped by whoever started it."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.log = home / "serve.log"
        command = [sys.executable, "-c", PROGRAM, "serve", "--port", "0", "-C", str(home)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: SERVING in self.text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.text()
        self.url = self.text().split(SERVING)[1].split(";")[0]

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def workers(self) -> list[int]:
        """Their process numbers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def connect(self) -> http.client.HTTPConnection:
        """A connection, and so one worker for as long as it is open."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)
        connection.connect()
        return connection

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[Served]:
    """Started and answering; killed at the end if it is still there."""
    server = Served(home, *arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def wait_until(condition: Any) -> None:
    """Until it holds; AssertionError when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    """One request on this connection."""
    content = None if body is None else json.dumps(body).encode()
    connection.request(method, path, content, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or b"null")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

"""Toxiproxy: stands between us and a server, and delays, cuts or chokes what passes."""

from __future__ import annotations

import json
import urllib.request
from typing import Any, ClassVar

from stack.fetching import go_program, versions
from stack.processes import Process, answers, free_port
from stack.server import Server


class Toxiproxy(Server):
    """One proxy process for any number of servers."""

    name: ClassVar[str] = "toxiproxy"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        go_program("toxiproxy")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()

    def launch(self) -> None:
        """See `Server.launch`."""
        process = Process(
            [go_program("toxiproxy"), "-host", "127.0.0.1", "-port", str(self.port)],
            log=self.folder / "log",
        )
        self.processes.append(process)
        process.wait_until(lambda: answers(self.port))

    @property
    def version(self) -> str:
        """See `Server.version`."""
        return f"Toxiproxy {versions()['go']['toxiproxy'].rpartition('@v')[2]}"

    @property
    def url(self) -> str:
        """Where it is told what to do."""
        return f"http://127.0.0.1:{self.port}"

    def before(self, port: int) -> int:
        """The port of a new proxy before a server's port on this machine."""
        listening = free_port()
        self._ask(
            "POST",
            "/proxies",
            name=str(listening),
            listen=f"127.0.0.1:{listening}",
            upstream=f"127.0.0.1:{port}",
        )
        return listening

    def poison(self, proxy: int, kind: str, *, stream: str = "downstream", **how: int) -> None:
        """Such as `latency` with `latency=` and `jitter=` in milliseconds, `bandwidth` with
        `rate=` in kilobytes per second, `limit_data` with `bytes=` before the connection is cut,
        `timeout` with `timeout=0` for silence, `reset_peer`."""
        self._ask("POST", f"/proxies/{proxy}/toxics", type=kind, stream=stream, attributes=how)

    def cut(self, proxy: int) -> None:
        """End all connections and accept none until `heal`."""
        self._ask("POST", f"/proxies/{proxy}", enabled=False)

    def heal(self, proxy: int) -> None:
        """Let everything pass again."""
        for toxic in self._ask("GET", f"/proxies/{proxy}/toxics"):
            self._ask("DELETE", f"/proxies/{proxy}/toxics/{toxic['name']}")
        self._ask("POST", f"/proxies/{proxy}", enabled=True)

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json", "User-Agent": "nextup-stack"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")

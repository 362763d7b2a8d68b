"""Redis, from Debian's package."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from typing import ClassVar

from stack.fetching import debian
from stack.processes import Process, free_port, output_of
from stack.server import Server


class Redis(Server):
    """One server that writes every change to its disk, with a password that is made up."""

    name: ClassVar[str] = "redis"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        debian("redis", program="redis-server")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)

    def launch(self) -> None:
        """See `Server.launch`."""
        options = {
            "port": str(self.port),
            "bind": self.host,
            "dir": str(self.folder),
            "requirepass": self.password,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        process = Process(
            [
                debian("redis", program="redis-server"),
                *(part for key, value in options.items() for part in (f"--{key}", value)),
            ],
            log=self.folder / "log",
        )
        self.processes.append(process)
        process.wait_until(self._ready)

    @property
    def url(self) -> str:
        """Database 0."""
        return f"redis://:{self.password}@{self.host}:{self.port}/0"

    @property
    def version(self) -> str:
        """As the program says it."""
        said = output_of(debian("redis", program="redis-server"), "--version")
        return f"Redis {said.partition('v=')[2].partition(' ')[0]}"

    def _ready(self) -> bool:
        """Answers PING, and has loaded what it held."""
        with (
            suppress(OSError),
            socket.create_connection((self.host, self.port), timeout=1) as connection,
        ):
            connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            answer = connection.recv(64)
            return answer.startswith(b"+OK\r\n") and b"LOADING" not in answer
        return False

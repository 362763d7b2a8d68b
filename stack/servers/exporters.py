"""Exporters of servers that do not speak to Prometheus themselves, from Debian's packages."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from stack.fetching import debian
from stack.processes import Process, answers, free_port
from stack.server import Server


class Exporter(Server):
    """Give it the URL of `watched`, the server, before it starts."""

    package: ClassVar[str]
    program: ClassVar[str]
    watched: str = ""

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        debian(cls.package, program=cls.program)

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()

    def launch(self) -> None:
        """See `Server.launch`."""
        process = Process(
            [
                debian(self.package, program=self.program),
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            log=self.folder / "log",
            environment=self.told(),
        )
        self.processes.append(process)
        process.wait_until(lambda: answers(self.port))

    @abstractmethod
    def told(self) -> dict[str, str]:
        """Where the watched server is, in the exporter's own variables."""

    @property
    def url(self) -> str:
        """Where Prometheus asks."""
        return f"http://127.0.0.1:{self.port}/metrics"

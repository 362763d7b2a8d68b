"""Prometheus, from Debian's package, with whatever configuration it is given."""

from __future__ import annotations

import json
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from stack.fetching import debian
from stack.processes import Process, free_port, output_of
from stack.server import Server

if TYPE_CHECKING:
    from pathlib import Path


class Prometheus(Server):
    """It scrapes itself until somebody writes another `configuration` before it starts. What is
    written beside that later, it reads when it is told to `reload`."""

    name: ClassVar[str] = "prometheus"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        debian("prometheus", program="prometheus")

    @property
    def configuration(self) -> Path:
        """Its prometheus.yml."""
        return self.folder / "prometheus.yml"

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        if not self.configuration.exists():
            self.configuration.write_text(
                "scrape_configs:\n- job_name: prometheus\n  scrape_interval: 1s\n"
                f'  static_configs: [{{targets: ["127.0.0.1:{self.port}"]}}]\n'
            )

    def launch(self) -> None:
        """See `Server.launch`."""
        process = Process(
            [
                debian("prometheus", program="prometheus"),
                f"--config.file={self.configuration}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--web.enable-lifecycle",
            ],
            log=self.folder / "log",
            folder=self.folder,
        )
        self.processes.append(process)
        process.wait_until(self._ready)

    def reload(self) -> None:
        """Read the configuration and the rules again."""
        request = urllib.request.Request(f"{self.url}/-/reload", method="POST")
        urllib.request.urlopen(request, timeout=30).close()

    def ask(self, path: str, **query: object) -> Any:
        """The data of an answer of its API, such as `ask("query", query="up")`."""
        with urllib.request.urlopen(
            f"{self.url}/api/v1/{path}?{urlencode(query)}", timeout=30
        ) as answer:
            return json.load(answer)["data"]

    @property
    def url(self) -> str:
        """Of its pages and its API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def version(self) -> str:
        """As the program says it."""
        said = output_of(debian("prometheus", program="prometheus"), "--version")
        return f"Prometheus {said.partition('version ')[2].partition(' ')[0]}"

    def _ready(self) -> bool:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False

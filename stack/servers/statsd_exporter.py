"""StatsD exporter, built with Go: what Airflow sends by UDP, for Prometheus to scrape."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from stack.fetching import go_program
from stack.processes import Process, answers, free_port
from stack.server import Server

MAPPING = Path(__file__).parents[2] / "deploy" / "prometheus" / "statsd_mapping.yml"


class StatsdExporter(Server):
    """With the mapping that a deployment uses."""

    name: ClassVar[str] = "statsd_exporter"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        go_program("statsd_exporter")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        self.statsd_port = free_port()  # UDP

    def launch(self) -> None:
        """See `Server.launch`."""
        process = Process(
            [
                go_program("statsd_exporter"),
                f"--web.listen-address=127.0.0.1:{self.port}",
                f"--statsd.listen-udp=127.0.0.1:{self.statsd_port}",
                "--statsd.listen-tcp=",
                f"--statsd.mapping-config={MAPPING}",
            ],
            log=self.folder / "log",
        )
        self.processes.append(process)
        process.wait_until(lambda: answers(self.port))

    @property
    def url(self) -> str:
        """Where Prometheus asks."""
        return f"http://127.0.0.1:{self.port}/metrics"

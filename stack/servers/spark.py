"""A standalone cluster of Spark, from the jars that PySpark brings along: a master and two
workers, whose executors are processes of their own."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stack.errors import Unavailable
from stack.fetching import java
from stack.processes import Process, free_port
from stack.server import Server

if TYPE_CHECKING:
    from typing import Any

MASTER = "org.apache.spark.deploy.master.Master"
WORKER = "org.apache.spark.deploy.worker.Worker"
METRICS = "-Dspark.metrics.conf.master.sink.prometheusServlet"  # what Prometheus can ask for
CORES = 2  # of each worker, whatever the machine has, so that two programs can run side by side
MEMORY = "2g"  # that each worker gives to executors; they take what their programs ask for


class Spark(Server):
    """A cluster on the loopback interface. `web` is the address of the master's HTTP server."""

    name: ClassVar[str] = "spark"
    workers: ClassVar[int] = 2

    @classmethod
    def install(cls) -> None:
        """See `Server.install`. Programs that run on the cluster need the same PySpark."""
        java()
        if find_spec("pyspark") is None:
            raise Unavailable("PySpark is not installed; pip install 'nextup[spark]'")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        self._web_port = free_port()

    def launch(self) -> None:
        """See `Server.launch`."""
        master = self._start(
            "master",
            [MASTER, "--host", "127.0.0.1", "--port", self.port, "--webui-port", self._web_port],
        )
        master.wait_until(lambda: self._state() is not None)
        for number in range(self.workers):
            self.start_worker(number)
        master.wait_until(lambda: self.live_workers() == self.workers)

    def start_worker(self, number: int) -> Process:
        """Start one of them, from 0 on; it reports to the master somewhat later."""
        folder = self.folder / f"worker-{number}"
        place = ["--host", "127.0.0.1", "--webui-port", 0, "-d", folder]
        size = ["-c", CORES, "-m", MEMORY]
        return self._start(f"worker-{number}", [WORKER, *place, *size, self.url])

    def live_workers(self) -> int:
        """How many workers the master counts on."""
        return int((self._state() or {}).get("aliveworkers", 0))

    def worker(self, number: int) -> Process:
        """One of them, from 0 on, in the order of their start, to be killed or paused with the
        executors that it runs."""
        return self.processes[1 + number]

    @property
    def version(self) -> str:
        """See `Server.version`."""
        return spark_version()

    @property
    def url(self) -> str:
        """The master."""
        return f"spark://127.0.0.1:{self.port}"

    @property
    def web(self) -> str:
        """The master's HTTP server; `/json/` tells of workers and applications."""
        return f"http://127.0.0.1:{self._web_port}"

    def _state(self) -> dict[str, Any] | None:
        """What the master tells of itself; for a moment at its start it answers with a page."""
        not_yet = (OSError, json.JSONDecodeError)
        with suppress(*not_yet), urllib.request.urlopen(f"{self.web}/json/", timeout=2) as answer:
            state: dict[str, Any] = json.load(answer)
            return state
        return None

    def _start(self, log: str, arguments: list[object]) -> Process:
        home = spark_home()
        process = Process(
            [home / "bin" / "spark-class", *(str(one) for one in arguments)],
            log=self.folder / f"{log}.log",
            folder=self.folder,
            environment={
                "SPARK_HOME": str(home),
                "SPARK_DAEMON_MEMORY": "256m",
                "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 "
                f"{METRICS}.class=org.apache.spark.metrics.sink.PrometheusServlet "
                f"{METRICS}.path=/metrics/master/prometheus",
                "SPARK_NO_DAEMONIZE": "1",
                "PYSPARK_PYTHON": sys.executable,
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            },
        )
        self.processes.append(process)
        return process


def spark_home() -> Path:
    """Where PySpark keeps programs and jars."""
    spec = find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def spark_version() -> str:
    """For people."""
    with suppress(PackageNotFoundError):
        return f"Spark {version('pyspark')}"
    return "Spark"

"""Spark behind a Spark Connect server, from the jars that PySpark brings along: programs have no
JVM, and send plans to this one."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, ClassVar

from stack.processes import Process, answers, free_port
from stack.server import Server
from stack.servers.spark import Spark, spark_home, spark_version

if TYPE_CHECKING:
    from collections.abc import Mapping

MAIN = "org.apache.spark.sql.connect.service.SparkConnectServer"
MEMORY = "1g"


class SparkConnect(Server):
    """One JVM with two cores that is server, driver and executor at once; with a `master`, the
    driver of its cluster. `more` are properties of Spark."""

    name: ClassVar[str] = "spark_connect"

    def __init__(self, master: str = "local[2]", more: Mapping[str, str] = {}) -> None:
        super().__init__()
        self._master = master
        self._more = more

    @classmethod
    def install(cls) -> None:
        """See `Server.install`. Programs that ask it need the same PySpark and Python."""
        Spark.install()

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()

    def launch(self) -> None:
        """See `Server.launch`."""
        home = spark_home()
        process = Process(
            [home / "bin" / "spark-submit", "--class", MAIN, "--master", self._master,
             "--driver-memory", MEMORY, *self._options(), "spark-internal"],
            log=self.folder / "log",
            folder=self.folder,
            environment={
                "SPARK_HOME": str(home),
                "SPARK_NO_DAEMONIZE": "1",
                "PYSPARK_PYTHON": sys.executable,
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            },
        )  # fmt: skip
        self.processes.append(process)
        process.wait_until(lambda: answers(self.port))

    @property
    def version(self) -> str:
        """See `Server.version`."""
        return spark_version()

    @property
    def url(self) -> str:
        """What a setting names it by."""
        return f"sc://127.0.0.1:{self.port}"

    def _options(self) -> list[str]:
        chosen = {
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(self.port),
            "spark.checkpoint.dir": (self.folder / "checkpoints").as_uri(),
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.warehouse.dir": (self.folder / "warehouse").as_uri(),
            "spark.ui.enabled": "false",
            **self._more,
        }
        return [word for name, value in chosen.items() for word in ("--conf", f"{name}={value}")]

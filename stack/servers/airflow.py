"""Airflow 3, all in one (`airflow standalone`) on SQLite, from an environment of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.error import URLError
from urllib.request import urlopen

from stack.fetching import python_environment
from stack.processes import Process, free_port, output_of
from stack.server import Server

if TYPE_CHECKING:
    from pathlib import Path


class Airflow(Server):
    """Whoever reaches it is its administrator. DAGs are read from `dags`, new ones in seconds.
    Its metrics go to `statsd_port` of this machine, where that is set before it starts."""

    name: ClassVar[str] = "airflow"
    statsd_port: int = 0

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        python_environment("airflow")

    @property
    def dags(self) -> Path:
        """The folder of DAGs."""
        return self.folder / "dags"

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        self.dags.mkdir()

    def launch(self) -> None:
        """See `Server.launch`."""
        process = Process(
            [python_environment("airflow") / "airflow", "standalone"],
            log=self.folder / "log",
            folder=self.folder,
            environment=self.environment,
        )
        self.processes.append(process)
        process.wait_until(self._answers, seconds=300.0)

    @property
    def version(self) -> str:
        """See `Server.version`."""
        version = "from importlib.metadata import version as v; print(v('apache-airflow'))"
        return f"Airflow {output_of(python_environment('airflow') / 'python', '-c', version)}"

    @property
    def url(self) -> str:
        """Of its pages and its API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What its own programs need to find it."""
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__PARALLELISM": "2",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        }
        if self.statsd_port:
            settings |= {
                "METRICS__STATSD_ON": "True",
                "METRICS__STATSD_HOST": "127.0.0.1",
                "METRICS__STATSD_PORT": str(self.statsd_port),
                "METRICS__STATSD_PREFIX": "airflow",
            }
        path = python_environment("airflow")  # it starts its own programs by their names
        return {
            "AIRFLOW_HOME": str(self.folder),
            "PATH": f"{path}:/usr/local/bin:/usr/bin:/bin",
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        }

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/api/v2/monitor/health", timeout=10) as answer:
                said = str(answer.read())
        except (URLError, OSError):
            return False
        # the database, the scheduler, the triggerer and who reads the DAGs
        return said.count("healthy") - said.count("unhealthy") >= 4

"""MLflow's tracking server, on SQLite and a folder, from an environment of its own."""

from __future__ import annotations

from typing import ClassVar
from urllib.error import URLError
from urllib.request import urlopen

from stack.fetching import python_environment
from stack.processes import Process, free_port
from stack.server import Server


class Mlflow(Server):
    """One worker. It leaves children alive when it is asked to end, so all are ended."""

    name: ClassVar[str] = "mlflow"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        python_environment("mlflow")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()

    def launch(self) -> None:
        """See `Server.launch`."""
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        process = Process(
            [
                python_environment("mlflow") / "mlflow",
                "server",
                *address,
                "--backend-store-uri",
                f"sqlite:///{self.folder / 'mlflow.db'}",
                "--artifacts-destination",
                self.folder / "artifacts",
                "--expose-prometheus",
                self.folder / "metrics",
            ],
            log=self.folder / "log",
            folder=self.folder,
            environment={
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # would start more processes
            },
        )
        self.processes.append(process)
        process.wait_until(self._answers)

    @property
    def version(self) -> str:
        """See `Server.version`."""
        with urlopen(f"http://127.0.0.1:{self.port}/version", timeout=10) as answer:
            return f"MLflow {answer.read().decode()}"

    @property
    def url(self) -> str:
        """As `tracker_url` has it."""
        return f"mlflow+http://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

"""Alertmanager, from Debian's package: groups alerts, and holds back what follows from others."""

from __future__ import annotations

import json
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from stack.fetching import debian
from stack.processes import Process, free_port
from stack.server import Server

if TYPE_CHECKING:
    from pathlib import Path


class Alertmanager(Server):
    """It tells nobody until somebody writes another `configuration` before it starts."""

    name: ClassVar[str] = "alertmanager"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        debian("alertmanager", program="prometheus-alertmanager")

    @property
    def configuration(self) -> Path:
        """Its alertmanager.yml."""
        return self.folder / "alertmanager.yml"

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.port = free_port()
        if not self.configuration.exists():
            self.configuration.write_text(
                "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
            )

    def launch(self) -> None:
        """See `Server.launch`."""
        process = Process(
            [
                debian("alertmanager", program="prometheus-alertmanager"),
                f"--config.file={self.configuration}",
                f"--storage.path={self.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",  # alone
            ],
            log=self.folder / "log",
            folder=self.folder,
        )
        self.processes.append(process)
        process.wait_until(self._ready)

    def told(self) -> list[dict[str, Any]]:
        """The labels of the alerts that people are told of now: what is held back is not there."""
        asked = f"{self.url}/api/v2/alerts?active=true&silenced=false&inhibited=false"
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return [one["labels"] for one in json.load(answer)]

    @property
    def url(self) -> str:
        """Of its pages and its API."""
        return f"http://127.0.0.1:{self.port}"

    def _ready(self) -> bool:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False

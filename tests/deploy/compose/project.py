"""A project of deploy/compose.yaml under podman-compose, started in the order of its needs.

Where there is no systemd nobody runs health checks by the clock, and podman 4.3 cannot wait for
them: what Docker does by `depends_on` is done here, service by service.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from stack.processes import free_port
from tests.deploy.compose import engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DEPLOY = engine.ROOT / "deploy"
FILES = (DEPLOY / "compose.yaml", DEPLOY / "compose.tests.yaml")
HEALTHY_SECONDS = 600.0  # a busy machine starts a dozen servers
PORTS = (
    *("API_PORT", "KAFKA_PORT", "KAFKA_UI_PORT", "SPARK_MASTER_PORT", "SPARK_DRIVER_PORT"),
    *("SPARK_HISTORY_PORT", "AIRFLOW_PORT", "MLFLOW_PORT", "GRAFANA_PORT", "PROMETHEUS_PORT"),
    *("JUPYTER_PORT",),
)


class Project:
    """The services of one profile, in a folder that `nextup init --recipe` wrote."""

    def __init__(self, profile: str, folder: Path, *, without: Sequence[str] = ()) -> None:
        self.profile, self.folder = profile, folder
        self.name = f"nextup-test-{profile}-{secrets.token_hex(3)}"
        self.ports = {name: free_port() for name in PORTS}
        document = yaml.safe_load(FILES[0].read_text())
        self.services: dict[str, Any] = {
            name: service
            for name, service in document["services"].items()
            if profile in service["profiles"] and name not in without
        }

    def up(self, *services: str) -> None:
        """Start these and what they need, or all; return when all are healthy."""
        asked = set(services or self.services)
        wanted = asked.union(*(self._needs(one) for one in asked))
        # one call for all: podman-compose needs seconds to read the file each time
        self.compose("up", "--no-start", "--no-build", "--no-deps", *sorted(wanted))
        for name in self._in_order():
            if name in wanted:
                engine.podman("start", self.container(name))
                self.wait(name)

    def wait(self, name: str) -> None:
        """Until it is healthy, or has ended well where it is there to end."""
        deadline = time.monotonic() + HEALTHY_SECONDS
        container = self.container(name)
        while True:
            state = engine.inspect(container, kind="container")["State"]
            if self.services[name].get("restart") == "no":
                done = state["Status"] == "exited"
                assert not (done and state["ExitCode"]), self.log(name)
            elif self.services[name].get("healthcheck", {}).get("disable"):
                done = state["Status"] == "running"
            else:
                done = state["Status"] == "running" and engine.healthy(container)
            if done:
                return
            assert time.monotonic() < deadline, f"{name} is not healthy: {self.log(name)}"
            time.sleep(1.0)

    def compose(self, *arguments: str) -> str:
        """One command of podman-compose."""
        files = [part for file in FILES for part in ("--file", str(file))]
        return engine.run(
            engine.compose_program(),
            *("--env-file", ".env", *files, "--profile", self.profile, *arguments),
            cwd=self.folder,
            env=self.environment,
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """What `.env` would say: free ports, and a name of its own."""
        ports = {name: str(port) for name, port in self.ports.items()}
        return {"COMPOSE_PROJECT_NAME": self.name, "PWD": str(self.folder), **ports}

    def container(self, service: str) -> str:
        """Its container's name."""
        return f"{self.name}_{service}_1"

    def log(self, service: str) -> str:
        """The end of what it said."""
        return engine.podman("logs", "--tail", "40", self.container(service))

    def execute(self, service: str, *command: str) -> str:
        """Run something in it."""
        return engine.podman("exec", self.container(service), *command)

    def down(self) -> None:
        """As a person ends it: containers, networks and volumes."""
        self.compose("down", "--volumes", "--timeout", "30")

    def restart(self) -> None:
        """Stop everything, and start it again in order."""
        self.compose("stop", "--timeout", "30")
        for name in self._in_order():
            if self.services[name].get("restart") != "no":
                engine.podman("start", self.container(name))
                self.wait(name)

    def remove(self) -> None:
        """Whatever a failed test left."""
        for kind in ("container", "volume", "network"):
            listed = engine.podman(kind, "ls", *(["-a"] if kind == "container" else []), "--quiet")
            for one in listed.split():
                known = str(engine.inspect(one, kind=kind))
                if self.name in known:
                    engine.podman(kind, "rm", "--force", one)

    def in_redis(self, *command: str) -> str:
        """What redis-cli says, with the password that its container knows."""
        return self.execute("redis", "redis-cli", "--raw", *command).strip()

    def left(self) -> list[str]:
        """What is there of it: containers, volumes, networks."""
        found = []
        for kind in ("container", "volume", "network"):
            listed = engine.podman(
                kind, "ls", *(["-a"] if kind == "container" else []), "--format=json"
            )
            found += [
                str(one) for one in yaml.safe_load(listed or "[]") or [] if self.name in str(one)
            ]
        return found

    def _needs(self, name: str) -> set[str]:
        found: set[str] = set()
        for need in self.services[name].get("depends_on", {}):
            if need in self.services:
                found |= {need} | self._needs(need)
        return found

    def _in_order(self) -> Iterator[str]:
        yield from sorted(self.services, key=lambda name: len(self._needs(name)))

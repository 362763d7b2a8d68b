"""A project of deploy/compose.yaml under podman-compose, started in the order of its needs.

Where there is no systemd nobody runs health checks by the clock, and podman 4.3 cannot wait for
them: what Docker does by `depends_on` is done here, service by service.
"""

from __future__ import annotations

import re
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
FALLS = 10  # more are no coincidence
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
        self._start(wanted)

    def wait(self, name: str) -> None:
        """Until it is healthy, or has ended well where it is there to end."""
        deadline = time.monotonic() + HEALTHY_SECONDS
        container = self.container(name)
        while True:
            found = engine.inspect(container, kind="container")
            state = found["State"]
            if self.services[name].get("restart") == "no":
                done = state["Status"] == "exited"
                assert not (done and state["ExitCode"]), self.log(name)
            else:
                checked = found["Config"].get("Healthcheck", {}).get("Test", ["NONE"]) != ["NONE"]
                done = state["Status"] == "running" and (not checked or engine.healthy(container))
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

    def fallen(self) -> dict[str, int]:
        """How often services ended by themselves and were started again, those that kept on at it:
        one whose stop was cut short ends a few times, until its old lock is let go."""
        counts = {
            name: engine.inspect(self.container(name), kind="container")["RestartCount"]
            for name in self.services
        }
        return {name: count for name, count in counts.items() if count > FALLS}

    def down(self) -> None:
        """As a person ends it: containers, networks and volumes."""
        self.compose("down", "--volumes", "--timeout", "30")

    def restart(self) -> None:
        """Stop everything, and start it again in order."""
        self.compose("stop", "--timeout", "30")
        self._start({name for name, one in self.services.items() if one.get("restart") != "no"})

    def remove(self) -> None:
        """Whatever a failed test left."""
        for kind, listed in self._all():
            for one in listed:
                if self.name in str(one):
                    engine.podman(
                        kind, "rm", "--force", one.get("Id") or one.get("Name") or one["name"]
                    )

    def nextup(self, service: str, *command: str) -> str:
        """One of Nextup's commands beside the servers, in the deployment's folder."""
        there = ("--workdir=/folder", "--env=NEXTUP_HOME=/platform")
        return engine.podman("exec", *there, self.container(service), "nextup", *command)

    def secret(self, name: str) -> str:
        """What `nextup init` made up for this deployment."""
        lines = (self.folder / ".env").read_text().splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))

    def published(self, *without: str) -> dict[str, int]:
        """Ports on this machine, by the variables that choose them; not those of programs of Spark,
        which are there while one runs."""
        others = [one for name, one in self.services.items() if name not in without]
        text = " ".join(port for one in others for port in one.get("ports", ()))
        names = set(re.findall(r"\$\{([A-Z_]+_PORT):", text)) - {"SPARK_DRIVER_PORT"}
        return {name: self.ports[name] for name in sorted(names)}

    def in_redis(self, *command: str) -> str:
        """What redis-cli says, with the password that its container knows."""
        return self.execute("redis", "redis-cli", "--raw", *command).strip()

    def left(self) -> list[str]:
        """What is there of it: containers, pods, volumes, networks."""
        return [str(one) for _, listed in self._all() for one in listed if self.name in str(one)]

    @staticmethod
    def _all() -> Iterator[tuple[str, list[dict[str, Any]]]]:
        for kind in ("container", "pod", "volume", "network"):
            options = ["--all"] if kind == "container" else []
            listed = engine.podman(kind, "ls", *options, "--format=json")
            yield kind, yaml.safe_load(listed or "[]") or []

    def _needs(self, name: str) -> set[str]:
        found: set[str] = set()
        for need in self.services[name].get("depends_on", {}):
            if need in self.services:
                found |= {need} | self._needs(need)
        return found

    def _start(self, wanted: set[str]) -> None:
        """Each when all that it needs is healthy; none needs another that has as many needs."""
        depths: dict[int, list[str]] = {}
        for name in sorted(wanted):
            depths.setdefault(len(self._needs(name)), []).append(name)
        for _, together in sorted(depths.items()):
            engine.podman("start", *map(self.container, together))
            for name in together:
                self.wait(name)

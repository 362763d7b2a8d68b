"""A Redis cluster of three nodes without replicas: every key has its place, and multi-key commands
find out whether they may."""

from __future__ import annotations

import secrets
import subprocess
from typing import TYPE_CHECKING, ClassVar

from stack.errors import NotReady
from stack.fetching import debian
from stack.processes import Process, answers, free_port, output_of
from stack.server import Server

if TYPE_CHECKING:
    from pathlib import Path

NODES = 3


class RedisCluster(Server):
    """Three servers that share the slots, with one password that is made up."""

    name: ClassVar[str] = "redis_cluster"

    @classmethod
    def install(cls) -> None:
        """See `Server.install`."""
        debian("redis", program="redis-server")

    def prepare(self) -> None:
        """See `Server.prepare`."""
        self.password = secrets.token_urlsafe(12)
        self._ports = [free_port() for _ in range(NODES)]
        self._bus_ports = [free_port() for _ in range(NODES)]
        self._joined = False

    def launch(self) -> None:
        """See `Server.launch`."""
        for port, bus_port in zip(self._ports, self._bus_ports, strict=True):
            folder = self.folder / str(port)
            folder.mkdir(exist_ok=True)
            self.processes.append(self._node(port, bus_port, folder))
        for process, port in zip(self.processes, self._ports, strict=True):
            process.wait_until(lambda port=port: answers(port))  # type: ignore[misc]
        if not self._joined:
            nodes = [f"127.0.0.1:{port}" for port in self._ports]
            self._cli("--cluster", "create", *nodes, "--cluster-yes")
            self._joined = True
        self.processes[0].wait_until(self._whole)

    @property
    def url(self) -> str:
        """One node; it tells of the others."""
        return f"redis+cluster://:{self.password}@127.0.0.1:{self._ports[0]}"

    @property
    def version(self) -> str:
        """As the program says it."""
        said = output_of(debian("redis", program="redis-server"), "--version")
        return f"Redis {said.partition('v=')[2].partition(' ')[0]}, {NODES} nodes"

    def _node(self, port: int, bus_port: int, folder: Path) -> Process:
        options = {
            "port": str(port),
            "cluster-port": str(bus_port),
            "cluster-enabled": "yes",
            "bind": "127.0.0.1",
            "dir": str(folder),
            "requirepass": self.password,
            "masterauth": self.password,
            "appendonly": "yes",
            "save": "",
        }
        return Process(
            [
                debian("redis", program="redis-server"),
                *(part for key, value in options.items() for part in (f"--{key}", value)),
            ],
            log=self.folder / f"log-{port}",
        )

    def _whole(self) -> bool:
        """Every node knows that all slots are served."""
        return all(
            "cluster_state:ok" in self._cli("-p", str(p), "cluster", "info") for p in self._ports
        )

    def _cli(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(debian("redis", program="redis-cli")), "--no-auth-warning", *arguments],
            env={"REDISCLI_AUTH": self.password},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotReady(f"redis-cli failed: {done.stdout}{done.stderr}")
        return done.stdout

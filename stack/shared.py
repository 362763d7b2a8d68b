"""One server of each kind for all processes of a test run, started when first asked for.

The first process that needs a server starts it and writes down where it is; the others read that.
Whoever owns the folder ends all of them. What an owner that was killed left running is ended by
the next owner.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stack.errors import NotReady, Unavailable
from stack.processes import descendants
from stack.registry import server_class

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.server import Server

PREFIX = "nextup-shared-"


class Running(NamedTuple):
    """A server that somebody started."""

    url: str
    environment: dict[str, str]
    pids: list[int]
    folder: str
    version: str = ""


class SharedServers:
    """Servers that outlive the process that started them, until `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Server] = []  # by this process

    @classmethod
    def owned(cls) -> SharedServers:
        """A new folder of this process; first ends what dead owners left."""
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            owner = left.name.removeprefix(PREFIX).partition("-")[0]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                cls(left).stop()
        return cls(Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")))

    def get(self, name: str) -> Running:
        """The running server, started now if nobody has. Raises Unavailable or NotReady, the
        same for everybody: what failed once is not tried again."""
        with self._alone(name):
            file = self.folder / f"{name}.json"
            if not file.exists():
                file.write_text(json.dumps(self._start(name)))
            noted = json.loads(file.read_text())
        if "reason" in noted:
            raise Unavailable(noted["reason"])
        return Running(**noted)

    def states(self) -> dict[str, str]:
        """By server that was asked for: empty, or why it is not there."""
        return {
            file.stem: json.loads(file.read_text()).get("reason", "")
            for file in sorted(self.folder.glob("*.json"))
        }

    def stop(self) -> None:
        """End all of them and remove their folders."""
        for file in self.folder.glob("*.json"):
            noted = json.loads(file.read_text() or "{}")
            for pid in reversed(noted.get("pids", [])):
                for process in (*descendants(pid), pid):
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(process, signal.SIGKILL)  # the folder goes, too: nothing to save
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
            if noted.get("folder"):
                shutil.rmtree(noted["folder"], ignore_errors=True)
        for server in self._started:
            server.kill()  # waits for what was killed above
        self._started.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, name: str) -> dict[str, object]:
        try:
            server = server_class(name)().start()
        except (Unavailable, NotReady) as error:
            return {"reason": str(error)}
        self._started.append(server)
        pids = [process.pid for process in server.processes]
        folder = str(server.folder)
        running = Running(server.url, server.environment, pids, folder, server.version)
        return running._asdict()

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

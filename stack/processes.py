"""One server process: started in a group of its own, watched, killed, paused and stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stack.errors import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

POLL_SECONDS = 0.05
READY_SECONDS = 120.0  # a busy machine of two cores starts three Java servers at once
STOP_SECONDS = 20.0
LOG_TAIL = 4_000  # characters of the log in an error


class Process:
    """A command that runs until it is stopped. Its output goes to `log`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        folder: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._log = log
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(environment or {}),
                user=user,
                cwd=folder,
                start_new_session=True,  # so that a signal reaches all that it starts
            )

    @property
    def pid(self) -> int:
        """Also the number of its process group."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process itself has not ended."""
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float = READY_SECONDS) -> None:
        """Return once `ready` says so. Raises NotReady when the process ends or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise NotReady(f"It ended with {self._popen.returncode}. {self.last_words()}")
            if time.monotonic() > deadline:
                raise NotReady(f"Not ready after {seconds:.0f} s. {self.last_words()}")
            time.sleep(POLL_SECONDS)

    def last_words(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-LOG_TAIL:]

    def stop(self) -> None:
        """Ask it to end, and make it end if it does not. Stopping twice does nothing."""
        self._signal(signal.SIGCONT)
        if self.running:
            self._popen.send_signal(self._stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it and all that it started, at once: a crash. Killing twice does nothing."""
        self._signal(signal.SIGKILL)
        self._popen.wait()

    def pause(self) -> None:
        """Freeze it: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        while not all(map(_stands_still, [self.pid, *descendants(self.pid)])):
            if time.monotonic() > deadline:
                raise NotReady(f"Process {self.pid} goes on after SIGSTOP.")
            time.sleep(0.001)

    def resume(self) -> None:
        """Let it go on after a pause."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in descendants(self.pid):  # some, as PostgreSQL's, leave the group
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def descendants(pid: int) -> list[int]:
    """The processes that it started, and those that they started."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


def _stands_still(pid: int) -> bool:
    """Whether each of its threads is stopped, or has ended: one that works on another core goes on
    for a moment after the signal, and may still answer somebody."""
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            if thread.read_text().rpartition(")")[2].split()[0] not in {"T", "t", "Z", "X"}:
                return False
    return True


def output_of(*command: str | Path) -> str:
    """What a short command prints."""
    return subprocess.check_output([str(part) for part in command], text=True).strip()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False

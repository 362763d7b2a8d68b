"""Who holds a lock, and whether that process is still alive."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Holder(NamedTuple):
    """A process, so precisely that neither a restart nor a reused number can be mistaken for it."""

    host: str  # for people
    place: str  # where its process number counts: a boot of a kernel and a process namespace
    pid: int
    started: str  # when, as the kernel tells it; tells apart processes with the same number

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        return cls(socket.gethostname(), _place(), os.getpid(), _started(os.getpid()) or "")

    def is_visible_from(self, other: Holder) -> bool:
        """Whether `other`'s process could see this one if it lived: the same name alone is not
        enough, since containers may share the host's name and each have a process 1."""
        return (self.host, self.place) == (other.host, other.place)

    def is_alive(self) -> bool:
        """Ask the kernel; only right for a holder that is visible from here."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's process: it exists
        started = _started(self.pid)
        return started is None or not self.started or started == self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _place() -> str:
    """Empty on systems without /proc: there the host's name has to do."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """In clock ticks since the boot. None where the system does not tell it; empty for a zombie,
    which holds nothing any more."""
    try:
        line = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The program's name, in parentheses, may hold anything; the 22nd field is the time, and the
    # third is the first one behind the name.
    state, *fields = line.rpartition(")")[2].split()
    return "" if state in {"Z", "X"} else fields[18]

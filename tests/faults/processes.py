"""Real `nextup` processes that a test may kill at any moment.

They are forked from a server that has imported everything beforehand, so that a start costs a
tenth of a second and not three. What they print goes to files, line by line.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = int(os.environ.get("NEXTUP_FAULT_ROUNDS", "0"))  # 0: each test's own small share
SEED = int(os.environ.get("NEXTUP_FAULT_SEED", "20261120"))
PATIENCE = 180  # seconds until a process counts as hanging

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "nextup.entrypoints.cli.app",
        "nextup.entrypoints.api.server",
        "nextup.adapters.control.sql",
        "nextup.adapters.engine.local",
        "nextup.adapters.lake.delta",
        "nextup.services.backup",
        "nextup.services.ingest",
        "nextup.services.pipeline",
        "rich.progress",
        "rich.table",
    ]
)
_numbers = count()


@cache
def _output() -> Path:
    """Where processes print to: never on a disk that a test fills."""
    folder = Path(tempfile.mkdtemp(prefix="nextup-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def rounds(share: int) -> int:
    """How many kills a test inflicts: its share of `make test`, or as many as are asked for."""
    return ROUNDS or share


class Done(NamedTuple):
    """How a command ended."""

    code: int | None
    out: str
    err: str


class Command:
    """`nextup <arguments> --home <home>` as a process of its own. Use it in a `with` block, which
    leaves no process behind."""

    def __init__(self, home: Path, *arguments: str) -> None:
        base = _output() / f"{os.getpid()}-{next(_numbers)}"
        self._out, self._err = base.with_suffix(".out"), base.with_suffix(".err")
        argv = ["nextup", *arguments, "--home", str(home)]
        self._process = _FORKS.Process(target=_main, args=(argv, str(self._out), str(self._err)))
        self._process.start()

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.close()

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text(encoding="utf-8") if self._out.exists() else ""

    def alive(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> bool:
        """SIGKILL; returns whether there was something to kill."""
        alive = self._process.is_alive()
        self._process.kill()
        self._process.join()
        return alive and self._process.exitcode == -9

    def pause(self, seconds: float) -> None:
        """SIGSTOP for so long: it is alive and does nothing."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self._process.pid, signal.SIGCONT)

    def terminate(self) -> Done:
        """SIGTERM, and the end that the process chooses."""
        self._process.terminate()
        return self.finish()

    def finish(self) -> Done:
        self._process.join(PATIENCE)
        assert not self._process.is_alive(), f"still at work after {PATIENCE} s: {self.out}"
        err = self._err.read_text(encoding="utf-8") if self._err.exists() else ""
        return Done(self._process.exitcode, self.out, err)

    def wait_until(self, condition: Callable[[str], bool]) -> bool:
        """Until its output satisfies the condition; False when it ended before that."""
        deadline = time.monotonic() + PATIENCE
        while not condition(self.out):
            if not self._process.is_alive():
                return condition(self.out)
            assert time.monotonic() < deadline, f"nothing came of {self.out}"
            time.sleep(0.005)
        return True

    def sleep(self, seconds: float) -> None:
        """At most so long; less when it ends before."""
        self._process.join(seconds)


def warm_up() -> None:
    """Wait until the server has imported everything, so that times measured are the commands'."""
    process = _FORKS.Process(target=int)
    process.start()
    process.join()
    process.close()


def run(home: Path, *arguments: str) -> Done:
    """The command from start to end."""
    with Command(home, *arguments) as command:
        return command.finish()


def succeed(home: Path, *arguments: str) -> Done:
    """The command from start to end, which has to be a good one."""
    done = run(home, *arguments)
    assert done.code == 0, done
    return done


def refused(done: Done) -> str:
    """The one line with which a command said no; anything else fails the test.

    A thread of delta-rs that panics on a full disk says so itself before, which is not ours.
    """
    assert done.code in {1, 2}, done
    assert "Traceback" not in done.err + done.out, done
    rust, error, line = done.err.strip().rpartition("Error: ")
    assert error, done
    assert "\n" not in line, done
    assert not rust or rust.startswith("thread '"), done
    return line


def _main(argv: list[str], out: str, err: str) -> None:
    for number, path in ((1, out), (2, err)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
    os.environ["COLUMNS"] = "400"
    sys.argv = argv

    from nextup.entrypoints.cli.app import main

    main()

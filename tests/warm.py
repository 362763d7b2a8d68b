"""A `nextup` that starts in a tenth of a second: a fork of a process that has imported everything.

Nextup's imports take seconds, and tests start it hundreds of times. `program()` is an executable
that behaves as the installed one: arguments, folder, environment, the three streams, signals and
the exit status are its caller's. What a test says about starting itself runs the installed one.
`python()` is the same for `-c` and a program, which finds the tests' modules, too.

    program    hands its streams and its arguments to ...
    Orders     ... which forks; the fork becomes `nextup`, and its end is told to the program
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
PROGRAMS = {"nextup": Path(sys.executable).with_name("nextup"), "python": Path(sys.executable)}
READ_AT_IMPORT = ("LANG", "LC_ALL", "NEXTUP_NATIVE", "OMP_NUM_THREADS", "POLARS_MAX_THREADS")
IMPORTED = (
    "nextup.adapters.catalog.sql",
    "nextup.adapters.control.sql",
    "nextup.adapters.engine.local",
    "nextup.adapters.lake.delta",
    "nextup.adapters.opening",
    "nextup.entrypoints.api.server",
    "nextup.entrypoints.cli.app",
    "nextup.services.backup",
    "nextup.services.ingest",
    "nextup.services.pipeline",
    "rich.progress",
    "rich.table",
    "tests.contract.backends",
)
CLIENT = """#!{python} -IS
import json, os, signal, socket, struct, sys
forwarded = {{signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}}
real = {name!r} == "nextup" and os.environ.get("PYTHONPATH", "") != {path!r} or any(
    os.environ.get(name) != value for name, value in {read_at_import!r}.items()
)
with socket.socket(socket.AF_UNIX) as server:
    try:
        server.connect({address!r})
    except OSError:
        real = True
    if real:
        os.execv({real!r}, [{real!r}, *sys.argv[1:]])
    signal.pthread_sigmask(signal.SIG_BLOCK, forwarded)
    order = json.dumps([{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [struct.pack("!I", len(order))], [0, 1, 2])
    server.sendall(order)
    answers = server.makefile("r")
    pid = int(answers.readline())
    for number in forwarded:
        signal.signal(number, lambda number, _: os.kill(pid, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
    status = os.waitstatus_to_exitcode(int(answers.readline() or 9))
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if status not in (-9, -19) else None
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def program() -> Path:
    """`nextup`; everything behind it ends with this process."""
    return _programs() / "nextup"


def python() -> Path:
    """For `python -c PROGRAM ARGUMENTS`."""
    return _programs() / "python"


@cache
def _programs() -> Path:
    """The folder of the executables; it can be put before others in PATH."""
    folder = Path(tempfile.mkdtemp(prefix="nextup-warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = folder / "socket"
    command = [sys.executable, "-m", "tests.warm", address]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)
    atexit.register(_end, server)
    for name, real in PROGRAMS.items():
        text = CLIENT.format(
            name=name,
            python=sys.executable,
            address=str(address),
            real=str(real),
            path=os.environ.get("PYTHONPATH", ""),
            read_at_import={name: os.environ.get(name) for name in READ_AT_IMPORT},
        )
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    while not address.exists():
        assert server.poll() is None, "it did not start"
        time.sleep(0.02)
    return folder


def _end(server: subprocess.Popen[bytes]) -> None:
    """It ends when nobody holds the other end of its standard input."""
    assert server.stdin is not None
    server.stdin.close()
    server.wait(30)


class Orders:
    """Those under way: each is a fork, and a caller who waits for its end."""

    def __init__(self, address: str) -> None:
        self._sources = selectors.DefaultSelector()
        self._callers: dict[int, socket.socket] = {}  # by the fork's number
        self._awake, self._wake = socket.socketpair()  # a fork has ended
        for end in (self._awake, self._wake):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno())
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{address}.new")
        self._listener.listen(64)
        Path(f"{address}.new").rename(address)
        self._sources.register(self._listener, selectors.EVENT_READ, self._accept)
        self._sources.register(self._awake, selectors.EVENT_READ, self._tell_ends)
        self._sources.register(sys.stdin, selectors.EVENT_READ, self._end)

    def take(self) -> None:
        """Until whoever started this process has gone."""
        while True:
            for key, _ in self._sources.select():
                key.data()

    def _accept(self) -> None:
        caller, _ = self._listener.accept()
        head, streams, _, _ = socket.recv_fds(caller, 4, 3)
        with caller.makefile("rb") as rest:
            order = json.loads(rest.read(struct.unpack("!I", head)[0]))
        pid = os.fork()
        if not pid:
            self._sources.close()
            for one in (self._listener, self._wake, self._awake, caller, *self._callers.values()):
                one.close()
            _become(streams, *order)
        for stream in streams:
            os.close(stream)
        self._callers[pid] = caller
        caller.sendall(f"{pid}\n".encode())
        self._sources.register(caller, selectors.EVENT_READ, partial(self._kill, pid))

    def _kill(self, pid: int) -> None:
        """Its caller was killed."""
        self._sources.unregister(self._callers[pid])
        os.kill(pid, signal.SIGKILL)

    def _tell_ends(self) -> None:
        self._awake.recv(4096)
        while self._callers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            caller = self._callers.pop(pid)
            with suppress(KeyError):  # that of one who was killed
                self._sources.unregister(caller)
            with suppress(OSError):
                caller.sendall(f"{status}\n".encode())
            caller.close()

    def _end(self) -> None:
        for pid in self._callers:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _become(
    streams: list[int], name: str, arguments: list[str], folder: str, environment: dict[str, str]
) -> NoReturn:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    time.tzset()
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", 1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False)
    if name == "nextup":
        sys.argv = [str(PROGRAMS[name]), *arguments]
        main = importlib.import_module("nextup.entrypoints.cli.app").main
    else:
        _, text, *rest = arguments
        sys.argv = ["-c", *rest]
        main = partial(exec, compile(text, "<string>", "exec"), {"__name__": "__main__"})
    os._exit(_end_of(main))


def _end_of(main: Callable[[], object]) -> int:
    """The status that the interpreter would end with. Its own end would cost a second: it takes
    all modules apart."""
    status: object = 0
    try:
        main()
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    if not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    return status


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # what is shared with the forks stays so
    Orders(sys.argv[1]).take()

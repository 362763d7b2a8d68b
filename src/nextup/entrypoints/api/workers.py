"""Several processes behind one port: started, watched, replaced, and stopped together.

The parent binds the port, forks the workers and does nothing else; it opens no backend and runs
no threads, so that a fork is safe. Each worker opens the platform for itself. They share the
memory of libraries, models (mapped from their files) and the board on which they tell each other
whose answers are out of date. SIGTERM and SIGINT stop all gracefully, SIGHUP replaces one after
the other.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import mmap
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nextup.domain.errors import ConfigurationError, NextupError
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.connections import Limits
from nextup.entrypoints.api.server import ApiServer, bind, in_url
from nextup.entrypoints.api.together import Together
from nextup.services.access.rates import SHARED_BYTES, Rates, SharedTimes
from nextup.services.recommending.changes import Changes, size

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from nextup.entrypoints.api.metrics import Metrics
    from nextup.services.access.tenants import DeploymentPorts
    from nextup.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2  # between looks at the workers, where no signal comes first
DUTY_SECONDS = 0.5  # between tries to take the duty over
LONGEST_PAUSE_SECONDS = 5.0  # before a worker that keeps dying is started again
STEADY_SECONDS = 10.0  # a worker that lived so long was well
READY = b"+"
LOCK = "serve-{tenant}.lock"


class Seat(NamedTuple):
    """What one worker is given."""

    number: int
    listening: socket.socket
    changes: Changes
    duties: Duties
    ready: Callable[[], object]  # to be called once requests are answered
    parent_gone: int  # a descriptor that can be read from once there is no parent any more
    rates: Rates  # of clients, which hold for all workers together
    counted: Path  # a folder for the metrics of all


class Duties:
    """The duties of one process: one for each tenant, asked for by its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: list[Duty] = []

    def __call__(self, tenant: str) -> Duty:
        """The tenant's, not held yet."""
        duty = Duty(self._folder / LOCK.format(tenant=tenant))
        self._taken.append(duty)
        return duty

    def release(self) -> None:
        """Let other processes have all of them."""
        for duty in self._taken:
            duty.release()


class Duty:
    """At most one process that works on this folder has it; it ends with the process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: int | None = None
        self._taking = threading.Lock()

    def __call__(self, stop: threading.Event) -> bool:
        """Wait until it is this process'; False when `stop` came first."""
        while not self._take():
            if stop.wait(DUTY_SECONDS):
                return False
        return not stop.is_set()

    def release(self) -> None:
        """Let another process have it. Without having it, nothing happens."""
        with self._taking:
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def _take(self) -> bool:
        with self._taking:
            if self._held is not None:
                return True
            self._file.parent.mkdir(parents=True, exist_ok=True)
            opened = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(opened)
                return False
            self._held = opened
            return True


class _Worker:
    """A process as its parent sees it."""

    def __init__(self, number: int, pid: int, ready_end: int) -> None:
        self.number = number
        self.pid = pid
        self.ready = False
        self.started_at = time.monotonic()
        self._ready_end = ready_end

    def is_alive(self) -> bool:
        """Also takes leave of it when it has ended."""
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] == 0
        except ChildProcessError:
            return False

    def look(self) -> None:
        """Note whether it has said that it is ready."""
        if not self.ready and select.select([self._ready_end], [], [], 0)[0]:
            self.ready = os.read(self._ready_end, 1) == READY

    def signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        """Forget it."""
        os.close(self._ready_end)


class Workers:
    """`run` blocks until a signal, or until the workers cannot even start."""

    def __init__(
        self,
        work: Callable[[Seat], object],
        listening: socket.socket,
        home: Path,
        number: int,
    ) -> None:
        """`work` is called in each worker and ends when it is to end."""
        self._work = work
        self._listening = listening
        self._home = home
        self._number = number
        seats = number + 1  # one more, for a replacement beside the one it replaces
        self._board = mmap.mmap(-1, size(seats))
        self._counted = Path(tempfile.mkdtemp(prefix="nextup-metrics-"))
        self._rates = mmap.mmap(-1, SHARED_BYTES)
        self._seats = seats
        self._parent_gone, self._parent_lives = os.pipe()
        self._workers: list[_Worker] = []
        self._stopping = False
        self._replacing = False
        self._pause = 0.0
        self._start_at = 0.0

    def run(self, ready: Callable[[], object]) -> None:
        """Until SIGTERM or SIGINT. `ready` is called once all answer. Raises ConfigurationError
        when the first workers end before they were ready."""
        before = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGHUP, self._replace),
            )
        }
        try:
            gc.collect()
            gc.freeze()  # shared pages are not written to by the collector
            for _ in range(self._number):
                self._start()
            self._await_first(ready)
            while not self._stopping:
                self._look_after()
                if self._replacing:
                    self._replacing = False
                    self._replace_all()
                time.sleep(LOOK_SECONDS)
        finally:
            self._end_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _await_first(self, ready: Callable[[], object]) -> None:
        while not self._stopping:
            for worker in self._workers:
                worker.look()
            if all(worker.ready for worker in self._workers):
                ready()
                return
            if any(not worker.ready and not worker.is_alive() for worker in self._workers):
                raise ConfigurationError(
                    "A worker ended before it answered.",
                    cure="The lines above say why; `nextup doctor` checks the backends.",
                )
            time.sleep(LOOK_SECONDS / 10)

    def _look_after(self) -> None:
        for worker in list(self._workers):
            worker.look()
            if worker.is_alive():
                continue
            log.error("Worker %d (process %d) died", worker.number, worker.pid)
            self._remove(worker)
            lived = time.monotonic() - worker.started_at
            steady = lived > STEADY_SECONDS
            self._pause = 0.0 if steady else min(max(0.1, 2 * self._pause), LONGEST_PAUSE_SECONDS)
            self._start_at = time.monotonic() + self._pause
        while len(self._workers) < self._number and time.monotonic() >= self._start_at:
            self._start()

    def _replace_all(self) -> None:
        """One after the other: the next goes when its replacement answers."""
        for old in list(self._workers):
            new = self._start()
            while not new.ready and not self._stopping and new.is_alive():
                new.look()
                time.sleep(LOOK_SECONDS / 10)
            if not new.ready:
                log.error("A replacement did not start; the workers stay as they are")
                return
            old.signal(signal.SIGTERM)
            while old.is_alive():
                time.sleep(LOOK_SECONDS / 10)
            self._remove(old)

    def _start(self) -> _Worker:
        taken = {worker.number for worker in self._workers}
        number = next(each for each in range(self._seats) if each not in taken)
        mine, theirs = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(mine)
            os.close(self._parent_lives)
            self._be_worker(number, theirs)
        os.close(theirs)
        worker = _Worker(number, pid, mine)
        self._workers.append(worker)
        return worker

    def _be_worker(self, number: int, ready_end: int) -> None:
        """Never returns."""
        code = 1
        try:
            for caught in (signal.SIGTERM, signal.SIGINT):
                signal.signal(caught, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            board = memoryview(self._board)
            self._work(
                Seat(
                    number,
                    self._listening,
                    Changes(board, workers=self._seats, worker=number),
                    Duties(self._home / "data"),
                    lambda: os.write(ready_end, READY),
                    self._parent_gone,
                    Rates(shared=SharedTimes(memoryview(self._rates))),
                    self._counted,
                )
            )
            code = 0
        except BaseException as error:
            known = isinstance(error, NextupError)
            log.critical("Worker %d: %s", number, error, exc_info=not known)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # what the parent would do at its end is not the worker's

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.close()

    def _end_all(self) -> None:
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        for worker in list(self._workers):
            while worker.is_alive():
                time.sleep(LOOK_SECONDS / 10)
            self._remove(worker)
        for end in (self._parent_gone, self._parent_lives):
            os.close(end)
        self._listening.close()
        shutil.rmtree(self._counted, ignore_errors=True)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _replace(self, *_: object) -> None:
        self._replacing = True


def stop_with_parent(parent_gone: int, stop: Callable[[], object]) -> None:
    """Call `stop` when the parent has died: its end of a pipe is then closed."""

    def wait() -> None:
        select.select([parent_gone], [], [])
        stop()

    threading.Thread(target=wait, name="nextup-parent", daemon=True).start()


def serve_from(ports: DeploymentPorts, seat: Seat) -> None:
    """What a worker does with a platform of its own, until it is told to stop."""
    app = create_app(ports, changes=seat.changes, duties=seat.duties, rates=seat.rates)
    metrics: Metrics = app.state.metrics
    metrics.together = together = Together(metrics.registry, seat.counted)
    server = ApiServer(
        app,
        host="",
        port=0,
        limits=Limits.of(ports.settings.server),
        listening=seat.listening,
        drain_seconds=ports.settings.server.drain_seconds,
    )
    stop_with_parent(seat.parent_gone, server.stop)
    together.start(metrics.settle)
    try:
        server.serve_until_stopped(lambda url: seat.ready())
    finally:
        together.stop()
        seat.duties.release()


def require_shareable(settings: Settings) -> None:
    """Raises ConfigurationError for stores that live in one process' memory."""
    for port in ("online_state", "recommendation_store"):
        if str(getattr(settings, f"{port}_url")).startswith("memory:"):
            raise ConfigurationError(
                f"Workers cannot share {port}_url = memory://.",
                cure="Use sqlite:/// or a server, or workers = 1.",
            )


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A socket for all workers, and its URL."""
    listening = bind(host, port)
    return listening, f"http://{in_url(host)}:{listening.getsockname()[1]}"

"""Serve the API over HTTP until a signal, or until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import uvicorn

from nextup.domain.errors import ConfigurationError
from nextup.entrypoints.api.app import App, create_app
from nextup.entrypoints.api.arrived import CLOSE
from nextup.entrypoints.api.connections import Limits, bounded, end_overdue
from nextup.services.access.exposure import require_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

    from fastapi import FastAPI

    from nextup.services.access.tenants import DeploymentPorts

SIGNALS = (signal.SIGINT, signal.SIGTERM)
IN_USE = {errno.EADDRINUSE}
BACKLOG = 2048  # connections that wait to be accepted
TRIED_PORTS = 20  # after the wanted one; then any free one
SWITCH_SECONDS = 0.0005  # a thread that computes lets the loop go on; Python's own is 0.005
GRACE_SECONDS = 10  # for accepted requests, when stopping


class ApiServer(uvicorn.Server):
    """A server on a port that is bound already. `run` blocks and obeys SIGINT and SIGTERM;
    as a context manager it runs in a thread, and stops when the block ends."""

    def __init__(
        self,
        app: FastAPI,
        *,
        host: str,
        port: int,
        limits: Limits | None = None,
        listening: socket.socket | None = None,
        drain_seconds: float = 0.0,
    ) -> None:
        """`listening` is a socket of `bind` that other processes listen at, too."""
        early = app.early.meet if isinstance(app, App) and app.early is not None else None
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=bounded(limits or Limits(), early),
                log_config=None,  # whoever starts the process decides about logging
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._socket = bind(host, port) if listening is None else listening
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{in_url(host)}:{self.port}"
        self._thread: threading.Thread | None = None
        self._running = threading.Event()
        self._ready: Callable[[str], object] | None = None
        self._drain_seconds = drain_seconds
        self._drained_at: float | None = None

    def serve_until_stopped(self, ready: Callable[[str], object] | None = None) -> None:
        """Serve in this thread. `ready` is called with the URL once requests are answered."""
        self._ready = ready
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self._running.set()  # nobody waits for a server that failed to start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn: start, then tell."""
        await super().startup(sockets=sockets)
        if self.started:
            self._running.set()
            if self._ready is not None:
                self._ready(self.url)

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second: end connections whose time is over."""
        end_overdue(list(self.server_state.connections), asyncio.get_running_loop().time())
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on a signal. The first SIGTERM begins the draining, if there is one: everything
        is answered, and each answer says that its connection ends; any other signal ends it."""
        if sig != signal.SIGTERM or not self._drain_seconds or self._drained_at is not None:
            super().handle_exit(sig, frame)
            return
        self._drained_at = time.monotonic() + self._drain_seconds
        self.config.encoded_headers.append(CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Called by uvicorn: stop gracefully on a signal, and then go on to the end of the
        program, which has a platform to close. (uvicorn's own way sends the signal again.)"""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Accept nothing more, finish what was accepted, return at once."""
        self.should_exit = True

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_until_stopped, name="nextup-api")
        self._thread.start()
        self._running.wait()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()


def serve(
    ports: DeploymentPorts,
    *,
    host: str | None = None,
    port: int | None = None,
    ready: Callable[[str], object] | None = None,
) -> None:
    """Serve an open platform until SIGINT or SIGTERM. Another port is taken when the wanted one
    is not free; the URL that `ready` gets says which. Raises ConfigurationError where everybody
    could use it, or guess its secrets."""
    wanted = ports.settings.server
    host = wanted.host if host is None else host
    require_safe(ports.settings, host)
    server = ApiServer(
        create_app(ports),
        host=host,
        port=wanted.port if port is None else port,
        limits=Limits.of(wanted),
        drain_seconds=wanted.drain_seconds,
    )
    server.serve_until_stopped(ready)


def bind(host: str, port: int) -> socket.socket:
    """A socket on the port, or on the next free one; port 0 means any.

    Raises ConfigurationError for a host that is not this machine's, or a port that is forbidden.
    """
    following = range(port, min(port + TRIED_PORTS, 65_535) + 1) if port else ()
    for candidate in (*following, 0):
        try:
            return _bound(host, candidate)
        except OSError as error:
            if error.errno not in IN_USE:
                raise ConfigurationError(
                    f"Cannot listen on {host}:{candidate}: {error.strerror or error}.",
                    cure="Set server.host and server.port to an address of this machine.",
                ) from error
    raise ConfigurationError(f"No port of {host} is free.")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def in_url(host: str) -> str:
    """The host as it is written in a URL that can be opened here."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 (only compared) every address of this machine; this one can be opened
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host

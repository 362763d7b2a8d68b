"""A request whose head has been read, and the ways to answer it without the app."""

from __future__ import annotations

import logging
from asyncio import get_running_loop
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Iterable

    from starlette.types import Receive, Scope, Send
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

Step = Callable[["Arrived"], bool]
"""Answers a request, now or later; or says that it does not."""

log = logging.getLogger(__name__)

CLOSE = (b"connection", b"close")  # among the headers of all answers of a server that stops soon


class Connection(Protocol):
    """What a request needs of the connection that it came on."""

    loop: asyncio.AbstractEventLoop
    tasks: set[asyncio.Task[None]]
    when_whole: Callable[[], object] | None

    def start(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Let an app answer, in a task of its own."""
        ...


class Arrived:
    """To be answered once: here, or by the app."""

    __slots__ = ("_app", "_connection", "_cycle", "scope")

    def __init__(
        self, cycle: RequestResponseCycle, app: ASGI3Application, connection: Connection
    ) -> None:
        self._cycle = cycle
        self._app = app
        self._connection = connection
        self.scope = cast("Scope", cycle.scope)

    @property
    def body(self) -> bytes:
        """As much as is there."""
        return bytes(self._cycle.body)

    @property
    def receive(self) -> Receive:
        """What an app would receive by."""
        return cast("Receive", self._cycle.receive)

    def go(self, step: Step) -> None:
        """Take the step; if it does not answer, or fails, the app does."""
        try:
            if step(self):
                return
        except Exception:
            log.exception("A request could not be answered early, and goes to the app")
        self.leave()

    def when_whole(self, step: Step) -> None:
        """Go on with the step as soon as the body is there."""
        if self._cycle.more_body:
            self._connection.when_whole = lambda: self.go(step)
        else:
            self.go(step)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """The whole answer; the headers as `header_lines` makes them. It goes out in one piece:
        head and body by themselves are two calls of the system, which cost more than all else
        that is done for a small one."""
        if not _written(self._cycle, status, headers, body):
            self._connection.start(self._cycle, _saying(status, headers, body))

    def leave(self) -> None:
        """Let the app answer it, if nobody has."""
        if not self._cycle.response_started:
            self._connection.start(self._cycle, self._app)

    def afterwards(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this behind the answer; a server that stops waits for it."""
        task = self._connection.loop.create_task(work)
        self._connection.tasks.add(task)
        task.add_done_callback(self._connection.tasks.discard)


class Reception:
    """Asks what answers requests early about all that a turn of the event loop has read, together
    and behind all of its reading. Answers that go out one by one in between would wake a busy
    caller for each of them, which costs both sides more than the answer itself."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._met: list[Arrived] = []

    def meet(self, request: Arrived) -> None:
        """It is answered, or goes to the app, when the reading is done."""
        if not self._met:
            get_running_loop().call_soon(self._go)
        self._met.append(request)

    def _go(self) -> None:
        met, self._met = self._met, []
        for request in met:
            request.go(self._step)


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """As they travel."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def _written(cycle: RequestResponseCycle, status: int, headers: bytes, body: bytes) -> bool:
    """Whether it was sent: where the connection ends or is slow to read, uvicorn knows what to do.
    What is told to `cycle` is what it notes itself when it sends a body."""
    own = cycle.default_headers
    if CLOSE in own or not cycle.keep_alive or cycle.disconnected or cycle.flow.write_paused:
        return False
    lines = (STATUS_LINE[status], header_lines(own), headers, b"\r\n", body)
    cycle.transport.write(b"".join(lines))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    cycle.on_response()
    return True


def _saying(status: int, headers: bytes, body: bytes) -> Any:
    """An app that says this to whoever asks."""
    lines = headers.removesuffix(b"\r\n").split(b"\r\n")
    pairs = [tuple(line.split(b": ", 1)) for line in lines]

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    return app

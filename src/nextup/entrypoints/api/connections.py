"""Connections that cost little however they behave: bounded in number, in what they send before
a request is whole, and in the time that they take for it or for reading an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nextup.entrypoints.api.arrived import Arrived, Reception, Step

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from nextup.settings import Server

MOST_HEAD_BYTES = 64 << 10  # of a request's first line and headers
PROBLEM = (
    '{{"type":"urn:nextup:problem:{slug}","title":"{title}","status":{status},"detail":"{detail}",'
    '"cure":"{cure}","request_id":""}}'
)


class Limits(NamedTuple):
    """What one process bears."""

    connections: int = 4_096
    head_seconds: float = 10.0  # for a whole first line and headers
    body_seconds: float = 30.0  # for a whole body, and for an answer to be read

    @classmethod
    def of(cls, settings: Server) -> Limits:
        """As configured."""
        return cls(settings.max_connections, settings.head_seconds, settings.body_seconds)


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol, with deadlines that `overdue` looks for once in a while: cheaper than
    a timer for each request. What the `reception` answers costs no task, and no way through the
    app."""

    limits = Limits()
    reception: Reception | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse what is beyond the limit of connections; the others have time for a head."""
        super().connection_made(transport)
        self.when_whole: Callable[[], object] | None = None  # what is to be done about a body
        self.ends = False  # the other side has said all that it will say
        self.head_bytes = 0
        self.in_head = True
        self.deadline: float | None = self.loop.time() + self.limits.head_seconds
        if len(self.connections) > self.limits.connections:
            self.refuse(
                503,
                "Service Unavailable",
                "Too many connections are open.",
                "Try again in a moment.",
                b"retry-after: 1\r\n",
            )

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head is too long already."""
        if self.transport.is_closing():
            return
        if self.in_head:
            self.head_bytes += len(data)
        super().data_received(data)
        if self.in_head and self.head_bytes > MOST_HEAD_BYTES:
            self.refuse(
                431,
                "Request Header Fields Too Large",
                f"The headers are longer than {MOST_HEAD_BYTES} bytes.",
                "Send fewer or shorter headers.",
            )

    def eof_received(self) -> bool:  # type: ignore[override]
        """The other side says nothing more; whether the connection stays open for the answer that
        it may be waiting for. (TLS cannot.)"""
        self.ends = True
        asked = self.cycle is not None and not self.cycle.more_body
        return asked and not self.cycle.response_complete and self.scheme == "http"

    def on_response_complete(self) -> None:
        """An answer has been sent."""
        super().on_response_complete()
        if self.ends and self.cycle.response_complete:  # the last one
            self.transport.close()

    def on_message_begin(self) -> None:
        """The first byte of a request, perhaps in one piece with the end of the one before."""
        self.head_bytes = max(self.head_bytes, 1)
        self.deadline = self.loop.time() + self.limits.head_seconds
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """From here on the time is the body's."""
        self.in_head = False
        self.head_bytes = 0
        self.deadline = self.loop.time() + self.limits.body_seconds
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole: what follows is our own time."""
        self.in_head = True
        self.deadline = None
        super().on_message_complete()
        if self.when_whole is not None:
            go_on, self.when_whole = self.when_whole, None
            go_on()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Called by uvicorn when a request's turn on the connection has come."""
        if self.reception is None:
            self.start(cycle, app)
        else:
            self.reception.meet(Arrived(cycle, app, self))

    def start(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Let an app answer, in a task of its own."""
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what is not HTTP."""
        self.refuse(400, "Bad Request", msg, "Send HTTP/1.1.")

    def is_overdue(self, now: float) -> bool:
        """Whether its time is over: for a request that it began, or for reading an answer."""
        if self.transport.is_closing():
            return False
        if self.deadline is not None:
            return now > self.deadline
        if self.flow.write_paused:  # the other side does not read
            self.deadline = now + self.limits.body_seconds
        return False

    def end(self) -> None:
        """Close it: with a word, where one can still be said."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.flow.write_paused or (answering and self.cycle.response_started):
            self.transport.abort()
        elif answering or self.head_bytes:  # in the middle of a body, or of a head
            self.refuse(
                408,
                "Request Timeout",
                "The request took too long to arrive.",
                "Send it at once; a large one in parts.",
            )
        else:  # connected, and nothing said
            self.transport.close()

    def resume_writing(self) -> None:
        """The other side reads again."""
        super().resume_writing()
        self.deadline = None

    def refuse(self, status: int, title: str, detail: str, cure: str, headers: bytes = b"") -> None:
        """A problem document, and the end."""
        if self.transport.is_closing():
            return
        slug = title.lower().replace(" ", "-")
        body = PROBLEM.format(slug=slug, title=title, status=status, detail=detail, cure=cure)
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nconnection: close\r\n%s\r\n%s"
            % (status, title.encode(), len(body), headers, body.encode())
        )
        self.transport.close()


def bounded(limits: Limits, early: Step | None = None) -> type[BoundedConnection]:
    """The protocol with these limits; `early` is asked before the app."""
    own = {"limits": limits, "reception": None if early is None else Reception(early)}
    return type("BoundedConnection", (BoundedConnection,), own)


def end_overdue(connections: Iterable[Any], now: float) -> int:
    """Close those whose time is over; returns how many."""
    overdue = [
        each for each in connections if isinstance(each, BoundedConnection) and each.is_overdue(now)
    ]
    for each in overdue:
        each.end()
    return len(overdue)

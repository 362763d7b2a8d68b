"""Connections that cost little however they behave: bounded in number, in what they send before
a request is whole, and in the time that they take for it or for reading an answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from starlette.types import Scope, Send
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from nextup.settings import Server

MOST_HEAD_BYTES = 64 << 10  # of a request's first line and headers
AT_ONCE = "nextup.at_once"  # in the scope of a request: what sends an answer in one piece
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
    a timer for each request."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse what is beyond the limit of connections; the others have time for a head."""
        super().connection_made(transport)
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
        asked = self.scope
        super().on_headers_complete()
        if self.cycle is not None and self.cycle.scope is asked:  # else it became something else
            scope = cast("dict[str, Any]", asked)
            scope[AT_ONCE] = partial(_answered, self.cycle)

    def on_message_complete(self) -> None:
        """The request is whole: what follows is our own time."""
        self.in_head = True
        self.deadline = None
        super().on_message_complete()

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


def bounded(limits: Limits) -> type[BoundedConnection]:
    """The protocol with these limits."""
    return type("BoundedConnection", (BoundedConnection,), {"limits": limits})


def end_overdue(connections: Iterable[Any], now: float) -> int:
    """Close those whose time is over; returns how many."""
    overdue = [
        each for each in connections if isinstance(each, BoundedConnection) and each.is_overdue(now)
    ]
    for each in overdue:
        each.end()
    return len(overdue)


async def answer(
    scope: Scope, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """A whole answer, in one piece where the server can: head and body by themselves are two calls
    of the system, which cost more than all else that is done for a small one."""
    at_once = scope.get(AT_ONCE)
    if at_once is not None and at_once(status, headers, body):
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _answered(
    cycle: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> bool:
    """Whether it was sent: where the connection ends or is slow to read, uvicorn knows what to do.
    What is told to `cycle` is what it notes itself when it sends a body."""
    ending = any(name == b"connection" for name, _ in cycle.default_headers)
    if ending or not cycle.keep_alive or cycle.disconnected or cycle.flow.write_paused:
        return False
    lines = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        lines += (name, b": ", value, b"\r\n")
    lines += (b"\r\n", body)
    cycle.transport.write(b"".join(lines))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    cycle.on_response()
    return True

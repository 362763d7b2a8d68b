"""The outermost layer: request ids, limits for bodies and for load, latencies, the last resort."""

from __future__ import annotations

import logging
import re
import secrets
from functools import cache
from itertools import count
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from nextup.entrypoints.api.problems import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nextup.entrypoints.api.metrics import Metrics
    from nextup.entrypoints.api.overload import Overload

log = logging.getLogger(__name__)

HEADER = b"x-request-id"
ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
UNMATCHED = "unmatched"  # the handler of paths that do not exist: their number has no bound
WATCHED = {"/healthz", "/readyz", "/metrics"}  # are asked most when there is too much to do
CLOSE = {"Connection": "close"}  # the rest of a refused body is not read
_numbers = count()
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}


class Edge:
    """Wraps the app. Nothing that happens inside it leaves as anything but an answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        max_body_bytes: int,
        overload: Overload | None = None,
    ) -> None:
        """`overload` bounds how many requests the app gets."""
        self._app = app
        self._overload = overload
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._refusal = f"The body is larger than {max_body_bytes} bytes."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event; what is not HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        answer = _Answer(send, scope)
        try:
            await self._accepted(scope, receive, answer)
        except ClientDisconnect:
            log.info("request %s was given up by its client", scope["request_id"])
        except Exception:
            log.exception("request %s failed", scope["request_id"])
            await _answer_failure(scope, receive, answer)
        finally:
            self._measure(scope, answer.status, perf_counter() - started)

    async def _accepted(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if _declared_length(scope) > self._max_body_bytes:
            await self._refuse_body(scope, receive, answer)
            return
        if self._overload is None or scope["path"] in WATCHED:
            await self._app(scope, self._limited(receive), answer.send)
            return
        if not self._overload.enter():
            await self._shed(scope, receive, answer, self._overload.wait())
            return
        try:
            await self._app(scope, self._limited(receive), answer.send)
        finally:
            self._overload.leave()

    async def _shed(self, scope: Scope, receive: Receive, answer: _Answer, wait: float) -> None:
        refusal = problem(
            503,
            "More is asked than this server can answer in time.",
            cure="Try again as late as Retry-After says; ask less at once.",
            request_id=scope["request_id"],
            headers={"Retry-After": str(max(1, ceil(wait)))},
        )
        await refusal(scope, receive, answer.send)

    def _limited(self, receive: Receive) -> Receive:
        left = self._max_body_bytes

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, self._refusal, CLOSE)
            return message

        return limited

    async def _refuse_body(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        refusal = problem(413, self._refusal, request_id=scope["request_id"], headers=CLOSE)
        await refusal(scope, receive, answer.send)

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        handler = getattr(route, "path", None) or UNMATCHED
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(handler, method, str(status)).inc()
        self._metrics.latency.labels(handler, method).observe(seconds)


class _Answer:
    """Passes the answer on with the request's id, and remembers its status."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._id = request_id_of(scope)
        scope["request_id"] = self._id.decode()
        self.status = 0

    async def send(self, message: Message) -> None:
        """Send on, with the request's id among the headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (HEADER, self._id)]}
        await self._send(message)


async def _answer_failure(scope: Scope, receive: Receive, answer: _Answer) -> None:
    if answer.status:  # the answer had begun; all that is left is to end the connection
        return
    failure = problem(
        500,
        "Something went wrong on our side.",
        cure="The server's log has the reason under this request id.",
        request_id=scope["request_id"],
    )
    await failure(scope, receive, answer.send)


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def request_id_of(scope: Scope) -> bytes:
    """The caller's id, where it is harmless in a log; otherwise a new one."""
    for name, value in scope["headers"]:
        if name == HEADER and ACCEPTABLE_ID.fullmatch(value):
            return bytes(value)
    return b"%s%08x" % (_process(), next(_numbers) & 0xFFFFFFFF)


@cache
def _process() -> bytes:
    """What tells this process' ids from all others'; cheaper than chance for each of them."""
    return secrets.token_hex(4).encode()

"""What is known about the request at work: for logs, and for traces where they are wanted."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any

from nextup.entrypoints.api.access import CALLER
from nextup.entrypoints.logs import Asked, asked

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nextup.entrypoints.api.tracing import Tracing

log = logging.getLogger("nextup.requests")

UNMATCHED = "unmatched"


class Requests:
    """Gives what is logged beneath it the request's id; logs and traces requests if asked to."""

    def __init__(self, app: ASGIApp, *, logged: bool, tracing: Tracing | None = None) -> None:
        self._app = app
        self._logged = logged
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reset = asked.set(Asked(str(scope.get("request_id", ""))))
        try:
            if self._tracing is not None:
                await self._tracing.traced(self._logging, scope, receive, send)
            else:
                await self._logging(scope, receive, send)
        finally:
            asked.reset(reset)

    async def _logging(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._logged:
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            asked.set(Asked(asked.get().request_id, client_of(scope)))
            seconds = perf_counter() - started
            _tell(handler_of(scope), scope["method"], status, seconds)


def handler_of(scope: Scope) -> str:
    """The route, not the path: a path may hold a token, and there is no end of them."""
    return getattr(scope.get("route"), "path", None) or UNMATCHED


def client_of(scope: Scope) -> str:
    """Who asked, where that is known."""
    caller: Any = scope.get(CALLER)
    return getattr(caller, "client_id", "") or ""


def _tell(handler: str, method: str, status: int, seconds: float) -> None:
    milliseconds = round(seconds * 1000, 3)
    extra = {
        "handler": handler,
        "method": method,
        "status": status,
        "milliseconds": milliseconds,
    }
    log.info("%s %s %d %.1f ms", method, handler, status, milliseconds, extra=extra)

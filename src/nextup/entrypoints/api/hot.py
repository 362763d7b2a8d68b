"""The hottest read, `GET /v1/users/{user_id}/recommendations`, answered before the framework.

The route in `recommendations.py`, or the short way to it, makes every answer. While nothing
changes for a person, this gives the very bytes again, with the same headers, counted in the same
metrics, and only to callers whom the guard lets in.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from nextup.domain.clients import Scope as Need
from nextup.domain.errors import NextupError
from nextup.entrypoints.api.access import CALLER, NEEDED, REFUSED
from nextup.entrypoints.api.connections import answer
from nextup.entrypoints.api.edge import HEADER, request_id_of
from nextup.services.recommending.answers import Answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nextup.entrypoints.api.short_way import ShortWay
    from nextup.entrypoints.api.tally import Tally
    from nextup.entrypoints.api.turn import Turn
    from nextup.services.access.tenants import Tenants
    from nextup.services.serving import Serving

    Headers = list[tuple[bytes, bytes]]

ROUTE = "/v1/users/{user_id}/recommendations"
BEFORE, AFTER = ROUTE.split("{user_id}")
OWN_ANSWER = {b"if-none-match", b"if-modified-since", b"range", b"content-length", b"expect"}
MATTERS = {b"accept-encoding", b"origin", b"accept"}  # to what is answered
RESTS = 2  # after a renewal, of its time: those who are answered meanwhile wait less
LEVEL = re.compile(rb'"level":"([a-z]+)"')
WHOLE = b'"missing":[]'  # nothing had to be done without
TOKEN = b'"token":"'
GZIPPED = (b"content-encoding", b"gzip")


class Asked(NamedTuple):
    """A request that may be answered again: by whom, for whom, and under what that is kept."""

    serving: Serving
    user_id: str
    key: tuple[str, bytes, bytes]


class Ageing(NamedTuple):
    """An answer that is given, and how to keep the younger one that is to be made behind it."""

    answer: Answer
    asked: Asked


class Hot:
    """For one event loop."""

    def __init__(self, turn: Turn, tenants: Tenants, tally: Tally, short_way: ShortWay) -> None:
        self._turn = turn
        self._tenants = tenants
        self._tally = tally
        self._short_way = short_way
        self._renewing = asyncio.Lock()  # one at a time: nobody waits for them

    def find(self, scope: Scope) -> Answer | Ageing | Asked | None:
        """The answer; or how to keep the one that is about to be made; or both; or nothing, where
        this is another request, or one that is refused."""
        path: str = scope["path"]
        if not (path.endswith(AFTER) and path.startswith(BEFORE) and scope["method"] == "GET"):
            return None
        user_id = path[len(BEFORE) : -len(AFTER)]
        varying = _varying(scope["headers"])
        if not user_id or "/" in user_id or b"page=" in scope["query_string"] or varying is None:
            return None
        try:
            caller = self._turn.admit(scope["headers"], Need.READ)
        except NextupError as error:
            scope[REFUSED] = error  # the route says so, without asking again
            return None
        scope[CALLER], scope[NEEDED] = caller, Need.READ
        serving = self._tenants.at_hand(caller, Need.READ)
        if serving is None:
            return None
        key = (path, scope["query_string"], varying)
        answers = serving.answers
        found = answers.find(key)
        if found is not None and not answers.renewal_is_due(key, found):
            return found
        asked = Asked(serving, user_id, key)
        return asked if found is None else Ageing(found, asked)

    async def answer(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        """Answer what can be, and let the app answer the rest. What it makes behind an answer that
        was given is sent to nobody, and counted in place of that answer."""
        started = perf_counter()
        found = self.find(scope)
        match found:
            case Answer():
                await _give(found, scope, send)
                self._tally.add(found.level, perf_counter() - started)
            case Ageing(kept, asked):
                await _give(kept, scope, send)
                async with self._renewing:
                    began = perf_counter()
                    await self._make(asked, scope, receive, _nowhere, app)
                    await asyncio.sleep(RESTS * (perf_counter() - began))
            case Asked():
                await self._make(found, scope, receive, send, app)
            case None:
                await app(scope, receive, send)

    async def _make(
        self, asked: Asked, scope: Scope, receive: Receive, send: Send, app: ASGIApp
    ) -> None:
        keeping = Keeping(asked, send).send
        if not await self._short_way.answer(asked.serving, asked.user_id, scope, receive, keeping):
            await app(scope, receive, keeping)


async def _give(kept: Answer, scope: Scope, send: Send) -> None:
    await answer(scope, send, 200, [*kept.headers, (HEADER, request_id_of(scope))], kept.body)


async def _nowhere(_: Message) -> None:
    """Its caller has an answer already."""


def _varying(headers: Headers) -> bytes | None:
    """What of the headers matters to the answer; nothing where only the route can tell."""
    varying = b""
    for name, value in headers:
        if name in MATTERS:
            varying += name + value + b"\n"
        elif name in OWN_ANSWER:
            return None
    return varying


class Keeping:
    """Passes an answer on, and keeps it if it may be given again."""

    def __init__(self, asked: Asked, send: Send) -> None:
        self._asked = asked
        self._answers = asked.serving.answers
        self._moment = self._answers.moment(asked.serving.stored_id(asked.user_id))
        self._send = send
        self._headers: Headers | None = None

    async def send(self, message: Message) -> None:
        """Send on; a whole good answer is kept first."""
        if message["type"] == "http.response.start":
            self._headers = list(message["headers"]) if message["status"] == 200 else None
        elif self._headers is not None and not message.get("more_body"):
            self._keep(bytes(message.get("body", b"")), self._headers)
        else:
            self._headers = None  # it comes in pieces
        await self._send(message)

    def _keep(self, body: bytes, headers: Headers) -> None:
        plain = gzip.decompress(body) if GZIPPED in headers else body
        level = LEVEL.search(plain)
        if level is None or WHOLE not in plain or TOKEN not in plain:
            return  # made without some part: it is to be made anew
        kept = [header for header in headers if header[0] != HEADER]
        self._answers.keep(self._asked.key, Answer(body, kept, level[1].decode(), self._moment))

"""The hottest read, `GET /v1/users/{user_id}/recommendations`, answered as soon as it is read.

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
from nextup.entrypoints.api.arrived import header_lines
from nextup.entrypoints.api.edge import HEADER, request_id_of
from nextup.services.recommending.answers import Answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nextup.entrypoints.api.arrived import Arrived
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
FOUND = "nextup.found"  # in the scope of a request that was met: what `find` gave
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

    def __init__(
        self, app: ASGIApp, turn: Turn, tenants: Tenants, tally: Tally, short_way: ShortWay
    ) -> None:
        """`app` is the framework: it makes what the short way cannot."""
        self._app = app
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

    def meet(self, request: Arrived) -> bool:
        """Whether it could be answered at once. What is made behind an answer that ages is sent to
        nobody, and counted in place of that answer."""
        started = perf_counter()
        scope = request.scope
        found = scope[FOUND] = self.find(scope)
        if found is None or isinstance(found, Asked):
            return False
        kept = found.answer if isinstance(found, Ageing) else found
        own = b"%b: %b\r\n" % (HEADER, request_id_of(scope))
        request.answer(200, kept.headers + own, kept.body)
        if isinstance(found, Ageing):
            request.afterwards(self._renew(found.asked, scope, request.receive))
        else:
            self._tally.add(kept.level, perf_counter() - started)
        return True

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what was not answered when it was met."""
        found = scope.pop(FOUND, None)
        if isinstance(found, Asked):
            await self._make(found, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _renew(self, asked: Asked, scope: Scope, receive: Receive) -> None:
        async with self._renewing:
            began = perf_counter()
            await self._make(asked, scope, receive, _nowhere)
            await asyncio.sleep(RESTS * (perf_counter() - began))

    async def _make(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        keeping = Keeping(asked, send).send
        if not await self._short_way.answer(asked.serving, asked.user_id, scope, receive, keeping):
            await self._app(scope, receive, keeping)


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
        kept = header_lines(header for header in headers if header[0] != HEADER)
        self._answers.keep(self._asked.key, Answer(body, kept, level[1].decode(), self._moment))

"""The hottest write, `POST /v1/events`, taken in before the framework, many requests at a time.

What arrives while events are being written shares the next transaction, and one thread carries
all of it. Only good events are answered here; what is refused or goes wrong is left to the route
in `events.py`, which finds in the scope what became of it.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from nextup.domain.clients import Scope as Need
from nextup.domain.errors import NextupError
from nextup.entrypoints.api.access import CALLER, NEEDED, REFUSED
from nextup.entrypoints.api.connections import answer
from nextup.entrypoints.api.edge import HEADER, request_id_of
from nextup.services.intake import Fate

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send

    from nextup.entrypoints.api.overload import Overload
    from nextup.entrypoints.api.tally import Tally
    from nextup.entrypoints.api.turn import Turn
    from nextup.services.access.tenants import Tenants
    from nextup.services.intake import Intake, Outcome

    Headers = list[tuple[bytes, bytes]]

PATH = "/v1/events"
OUTCOME = "nextup.outcome"  # in the scope of a request whose event was judged before the route
MOST = 500  # events in a group
LONGEST = 65_536  # bytes of an event that is taken in here
SMALL = 1_024  # bytes; no answer of ours is as large, so none would be compressed
OWN_ANSWER = {b"idempotency-key", b"origin", b"expect", b"transfer-encoding"}
FIXED: Headers = [(b"content-type", b"application/json")]
VARY: Headers = [*FIXED, (b"vary", b"Accept-Encoding")]


class HotEvents:
    """For one event loop."""

    def __init__(
        self,
        turn: Turn,
        tenants: Tenants,
        tally: Tally,
        overload: Overload,
        *,
        compress_bytes: int,
        max_body_bytes: int,
    ) -> None:
        """`overload` is the one that bounds what the framework gets."""
        self._turn = turn
        self._tenants = tenants
        self._tally = tally
        self._overload = overload
        self._compresses = compress_bytes > 0
        self._tiny_answers = 0 < compress_bytes <= SMALL
        self._longest = min(LONGEST, max_body_bytes)
        self._groups: dict[int, _Groups] = {}

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer, and return nothing; or return how the app is to receive."""
        started = perf_counter()
        headers = self._headers(scope)
        if headers is None or not self._overload.enter():
            return receive
        try:
            read: list[Message] = []
            outcome = await self._outcome(scope, receive, read)
            if outcome is None or outcome.fate is Fate.REJECTED:
                return _again(read, receive)
            duplicate = b"true}" if outcome.fate is Fate.DUPLICATE else b"false}"
            event_id = msgspec.json.encode(outcome.event_id)
            body = b'{"event_id":%b,"duplicate":%b' % (event_id, duplicate)
            length = (b"content-length", b"%d" % len(body))
            headers = [length, *headers, (HEADER, request_id_of(scope))]
            await answer(scope, send, 202, headers, body)
        finally:
            self._overload.leave()
        self._tally.add("", perf_counter() - started)
        return None

    def _headers(self, scope: Scope) -> Headers | None:
        """Those of a good answer; nothing where this is another request, or one of which only the
        framework knows how to answer it."""
        if scope["path"] != PATH or scope["method"] != "POST" or b"%" in scope["raw_path"]:
            return None
        length, compressed = 0, False
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                length = int(value)
            elif name == b"accept-encoding":
                compressed = self._compresses and b"gzip" in value
            elif name in OWN_ANSWER:
                return None
        if not 0 < length <= self._longest or (compressed and self._tiny_answers):
            return None
        return VARY if compressed else FIXED

    async def _outcome(self, scope: Scope, receive: Receive, read: list[Message]) -> Outcome | None:
        """What became of the event; nothing where the route has to say, or to see, why not."""
        try:
            caller = self._turn.admit(scope["headers"], Need.WRITE)
        except NextupError as error:
            scope[REFUSED] = error  # the route says so, without asking again
            return None
        scope[CALLER], scope[NEEDED] = caller, Need.WRITE
        serving = self._tenants.at_hand(caller, Need.WRITE)
        if serving is None:
            return None
        body = await _body(receive, read)
        if body is None or len(body) > self._longest:
            return None
        outcome = await self._group(serving.intake).take(body)
        scope[OUTCOME] = outcome
        return None if isinstance(outcome, Exception) else outcome

    def _group(self, intake: Intake) -> _Groups:
        found = self._groups.get(id(intake))
        if found is None:  # it lives as long as there is work: clients come and go
            found = _Groups(intake, lambda: self._groups.pop(id(intake), None))
            self._groups[id(intake)] = found
        return found


class _Groups:
    """Events on their way to one intake: a group at a time, while the next one gathers. Two at once
    would take turns at the interpreter, and both end later."""

    def __init__(self, intake: Intake, forget: Callable[[], object]) -> None:
        self._intake = intake
        self._forget = forget
        self._waiting: list[tuple[bytes, asyncio.Future[Outcome | Exception]]] = []
        self._carrier: asyncio.Task[None] | None = None

    async def take(self, record: bytes) -> Outcome | Exception:
        """What became of the record, or why it could not be taken in."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Outcome | Exception] = loop.create_future()
        self._waiting.append((record, told))
        if self._carrier is None:
            self._start()
        return await told

    def _start(self) -> None:
        self._carrier = asyncio.get_running_loop().create_task(self._carry())
        self._carrier.add_done_callback(self._done)

    def _done(self, carrier: asyncio.Task[None]) -> None:
        self._carrier = None
        if self._waiting:  # it came after the last look
            self._start()
        else:
            self._forget()

    async def _carry(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # what is being parsed comes along
            group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            records = [record for record, _ in group]
            outcomes: list[Outcome | Exception]
            try:
                outcomes = await asyncio.to_thread(self._intake.take_each, records)
            except Exception as error:
                outcomes = [error] * len(group)
            for (_, told), outcome in zip(group, outcomes, strict=True):
                if not told.done():  # its caller may have gone
                    told.set_result(outcome)


async def _body(receive: Receive, read: list[Message]) -> bytes | None:
    """The whole body; nothing where the caller went away."""
    while True:
        message = await receive()
        read.append(message)
        if message["type"] != "http.request":
            return None
        if not message.get("more_body"):
            break
    return b"".join(message.get("body", b"") for message in read)


def _again(read: list[Message], receive: Receive) -> Receive:
    """Receives what was read already, and then what follows."""
    left = iter(read)

    async def again() -> Message:
        for message in left:
            return message
        return await receive()

    return again

"""The hottest write, `POST /v1/events`, taken in as soon as it is read, many at a time.

What arrives while events are being written shares the next transaction, and one thread carries
all of it. Only good events are answered here; what is refused or goes wrong is left to the route
in `events.py`, which finds in the scope what became of it.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from nextup.domain.clients import Scope as Need
from nextup.domain.errors import NextupError
from nextup.entrypoints.api.access import CALLER, NEEDED, REFUSED
from nextup.entrypoints.api.edge import HEADER, request_id_of
from nextup.services.intake import Fate

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope

    from nextup.entrypoints.api.arrived import Arrived
    from nextup.entrypoints.api.overload import Overload
    from nextup.entrypoints.api.tally import Tally
    from nextup.entrypoints.api.turn import Turn
    from nextup.services.access.tenants import Tenants
    from nextup.services.intake import Intake, Outcome

    Told = Callable[[Outcome | Exception], object]

log = logging.getLogger(__name__)

PATH = "/v1/events"
OUTCOME = "nextup.outcome"  # in the scope of a request whose event was judged before the route
MOST = 500  # events in a group
PAUSE_SECONDS = 0.0005  # without another event: those who were answered last are not waited for
LONGEST = 65_536  # bytes of an event that is taken in here
SMALL = 1_024  # bytes; no answer of ours is as large, so none would be compressed
OWN_ANSWER = {b"idempotency-key", b"origin", b"expect", b"transfer-encoding"}
FIXED = b"content-type: application/json\r\n"
VARY = FIXED + b"vary: Accept-Encoding\r\n"


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

    def meet(self, request: Arrived) -> bool:
        """Whether this is one of them: it is answered when its body is there, or goes on."""
        headers = self._headers(request.scope)
        if headers is None:
            return False
        request.when_whole(partial(self._take, headers))
        return True

    def _take(self, headers: bytes, request: Arrived) -> bool:
        started = perf_counter()
        intake = self._intake(request.scope)
        if intake is None or not self._overload.enter():
            return False
        self._group(intake).take(request.body, partial(self._told, request, headers, started))
        return True

    def _told(
        self, request: Arrived, headers: bytes, started: float, outcome: Outcome | Exception
    ) -> None:
        """What became of it; the route has to say, or to see, why it was not good."""
        self._overload.leave()
        request.scope[OUTCOME] = outcome
        if isinstance(outcome, Exception) or outcome.fate is Fate.REJECTED:
            request.leave()
            return
        duplicate = b"true}" if outcome.fate is Fate.DUPLICATE else b"false}"
        event_id = msgspec.json.encode(outcome.event_id)
        body = b'{"event_id":%b,"duplicate":%b' % (event_id, duplicate)
        own = b"content-length: %d\r\n%b: %b\r\n"
        own %= (len(body), HEADER, request_id_of(request.scope))
        request.answer(202, own + headers, body)
        self._tally.add("", perf_counter() - started)

    def _headers(self, scope: Scope) -> bytes | None:
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

    def _intake(self, scope: Scope) -> Intake | None:
        """The caller's; nothing where the route has to say why not."""
        try:
            caller = self._turn.admit(scope["headers"], Need.WRITE)
        except NextupError as error:
            scope[REFUSED] = error  # the route says so, without asking again
            return None
        scope[CALLER], scope[NEEDED] = caller, Need.WRITE
        serving = self._tenants.at_hand(caller, Need.WRITE)
        return None if serving is None else serving.intake

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
        self._waiting: list[tuple[bytes, Told]] = []
        self._carrier: asyncio.Task[None] | None = None

    def take(self, record: bytes, told: Told) -> None:
        """`told` is called with what became of the record, or why it could not be taken in."""
        self._waiting.append((record, told))
        if self._carrier is None:
            self._start()

    def _start(self) -> None:
        self._carrier = asyncio.get_running_loop().create_task(self._carry())
        self._carrier.add_done_callback(self._done)

    def _done(self, carrier: asyncio.Task[None]) -> None:
        self._carrier = None
        if self._waiting:  # it came after the last look
            self._start()
        else:
            self._forget()

    async def _gather(self, expected: int) -> None:
        """Let come what comes at once. A group costs nearly as much for a few as for many, and
        who was answered together often asks again together."""
        await asyncio.sleep(0)  # what is being parsed comes along
        here, since = len(self._waiting), perf_counter()
        while here < expected and perf_counter() < since + PAUSE_SECONDS:
            await asyncio.sleep(0)
            if len(self._waiting) > here:
                here, since = len(self._waiting), perf_counter()

    async def _carry(self) -> None:
        answered = 0
        while self._waiting:
            await self._gather(min(answered + len(self._waiting), MOST))
            group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            records = [record for record, _ in group]
            outcomes: list[Outcome | Exception]
            try:
                outcomes = await asyncio.to_thread(self._intake.take_each, records)
            except Exception as error:
                outcomes = [error] * len(group)
            answered = len(group)
            for (_, told), outcome in zip(group, outcomes, strict=True):
                try:
                    told(outcome)
                except Exception:  # the others are to be told all the same
                    log.exception("What became of an event could not be said")

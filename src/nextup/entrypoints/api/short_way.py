"""A list that must be made, answered without the framework where its query is a plain one.

The route in `recommendations.py` understands every query, in three quarters of a millisecond; most
are made of the same few words. What is not plain, or goes wrong, is left to the route, which says
why.
"""

from __future__ import annotations

import re
from time import perf_counter
from typing import TYPE_CHECKING, Any

from anyio.to_thread import run_sync

from nextup.entrypoints.api.delivery import Delivery
from nextup.entrypoints.api.edge import HEADER, request_id_of
from nextup.entrypoints.api.keeping import response_of
from nextup.entrypoints.api.recommendations import give
from nextup.entrypoints.logs import Asked, asked
from nextup.services.contracts import require_integers
from nextup.services.recommending.request import Request

if TYPE_CHECKING:
    from anyio import CapacityLimiter
    from starlette.types import Message, Receive, Scope, Send

    from nextup.entrypoints.api.overload import Overload
    from nextup.entrypoints.api.tally import Tally
    from nextup.services.serving import Serving

PLAIN = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
LIMIT = re.compile(r"[1-9][0-9]?|1[0-9]{2}|200")
LISTS = {"exclude": "exclude", "pin": "pinned", "genre": "genres"}
MOST = 50  # values of one parameter
FLAGS = {"true": True, "false": False}


class ShortWay:
    """For one event loop."""

    def __init__(
        self, overload: Overload, ranking: CapacityLimiter, tally: Tally, *, compress_bytes: int
    ) -> None:
        """`overload` and `ranking` are those that bound what the framework and its route get."""
        self._overload = overload
        self._ranking = ranking
        self._tally = tally
        self._compress_bytes = compress_bytes

    async def answer(
        self, serving: Serving, user_id: str, scope: Scope, receive: Receive, send: Send
    ) -> bool:
        """Whether it could be answered; if not, nothing was sent."""
        started = perf_counter()
        query = scope["query_string"].decode("latin-1")
        wish = plain_wish(user_id, query)
        if wish is None or _is_foreign(scope) or not self._overload.enter():
            return False
        request_id = request_id_of(scope)
        reset = asked.set(Asked(request_id.decode()))
        try:
            require_integers({"user_id": user_id}, serving.settings.contracts)
            given = await run_sync(give, serving, wish, query, limiter=self._ranking)
        except Exception:  # whatever it is: the route meets it again, and those around it tell
            return False
        finally:
            asked.reset(reset)
            self._overload.leave()

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((HEADER, request_id))
            await send(message)

        delivery = Delivery(response_of(given), compress_bytes=self._compress_bytes)
        await delivery(scope, receive, named)
        self._tally.add(given.level, perf_counter() - started)
        return True


def _is_foreign(scope: Scope) -> bool:
    """Whether a browser asks from another site's page: what it may see is not said here."""
    return any(name == b"origin" for name, _ in scope["headers"])


def plain_wish(user_id: str, query: str) -> Request | None:
    """The request that the route would make of it; nothing where that is not sure."""
    if not PLAIN.fullmatch(user_id):
        return None
    wish: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if name in LISTS and PLAIN.fullmatch(value):
            wish.setdefault(LISTS[name], []).append(value)
        elif name in wish:
            return None
        elif name == "limit" and LIMIT.fullmatch(value):
            wish[name] = int(value)
        elif name == "kind" and PLAIN.fullmatch(value):
            wish[name] = value
        elif name == "explain" and value in FLAGS:
            wish[name] = FLAGS[value]
        else:
            return None
    for name in LISTS.values():
        wish[name] = tuple(wish.get(name, ()))
        if len(wish[name]) > MOST:
            return None
    return Request(user_id, **wish)

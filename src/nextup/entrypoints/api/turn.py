"""Letting requests in, many in one turn of the event loop.

The guard's revision is read once in a turn, at the first request of it that is looked at. All
others of the turn were read from their connections before, so that none of them was sent after a
revocation which that reading has missed. Whoever shows the same key again in the turn is known by
it, and what each of them asked for is counted at its end.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections import Counter
from typing import TYPE_CHECKING

from nextup.services.access.credentials import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nextup.domain.clients import Caller, Scope
    from nextup.services.access.guard import Guard, Known


class Turn:
    """For one event loop."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._revision: int | None = None  # None: this turn has not asked yet
        self._known: dict[bytes, Known] = {}
        self._let_in: Counter[tuple[str, str]] = Counter()

    def admit(self, headers: Iterable[tuple[bytes, bytes]], needed: Scope) -> Caller:
        """As `Guard.admit`; to be called before the request's task has waited for anything."""
        if self._guard.open_to is not None:
            return self._guard.open_to
        if self._revision is None:
            self._revision = self._guard.revision()
            get_running_loop().call_soon(self._end)  # behind all that has been read by now
        secret = shown(headers)
        known = self._known.get(secret)
        if known is None:
            known = self._known[secret] = self._guard.identified(secret, self._revision)
        caller = self._guard.let_in(known, needed)
        self._let_in[caller.client_id, needed.value] += 1
        return caller

    def _end(self) -> None:
        self._revision = None
        self._known.clear()
        for (client_id, what), times in self._let_in.items():
            self._guard.usage.count(client_id, what, times)
        self._let_in.clear()

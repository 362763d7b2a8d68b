"""Letting requests in, many in one turn of the event loop.

The guard's revision is read once in a turn, at the first request of it that is looked at. All
others of the turn were read from their connections before, so that none of them was sent after a
revocation which that reading has missed.
"""

from __future__ import annotations

from asyncio import get_running_loop
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nextup.domain.clients import Caller, Scope
    from nextup.services.access.guard import Guard


class Turn:
    """For one event loop."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._revision: int | None = None  # None: this turn has not asked yet

    def admit(self, headers: Iterable[tuple[bytes, bytes]], needed: Scope) -> Caller:
        """As `Guard.admit`; to be called before the request's task has waited for anything."""
        if self._revision is None:
            self._revision = self._guard.revision()
            get_running_loop().call_soon(self._end)  # behind all that has been read by now
        return self._guard.admit(headers, needed, self._revision)

    def _end(self) -> None:
        self._revision = None

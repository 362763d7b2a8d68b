"""Served lists on their way to the state: kept in memory at once, written many together.

A list is written within `EVERY_SECONDS`, and all are when a server stops. A kill loses those of
the last moment: their tokens are then unknown, and the client asks for the first page again.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from nextup.domain.errors import NextupError
from nextup.ports.online_state import SavesManyServed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from nextup.domain.recommendations import ServedList
    from nextup.ports.online_state import OnlineState

log = logging.getLogger(__name__)

EVERY_SECONDS = 0.05  # a list waits at most so long for the others of its transaction
MOST_WAITING = 2_000  # lists; whoever brings more writes it in person
ATTEMPTS_APART = 0.5  # seconds, while the state does not answer


class _Waiting(NamedTuple):
    state: OnlineState
    served: ServedList
    expires_at: datetime


class ServedLists:
    """Safe to share between threads. Until `start` and after `stop` each list is written at once.

    One for a server, whatever states its clients see: a list is found by those who see the state
    that it was kept for.
    """

    def __init__(self, *, shared: bool = False) -> None:
        """`shared` says that other processes hand out tokens for the same state."""
        self._shared = shared
        self._waiting: dict[str, _Waiting] = {}
        self._changing = threading.Lock()
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._down = False

    def keep(self, state: OnlineState, served: ServedList, expires_at: datetime) -> None:
        """Keep the list; the same token replaces. Raises BackendUnavailable where it cannot be
        kept."""
        if self._thread is None or self._down or len(self._waiting) >= MOST_WAITING:
            state.save_served(served, expires_at)
            with self._changing:  # an older one must not come after it
                self._waiting.pop(served.token, None)
            return
        with self._changing:
            self._waiting[served.token] = _Waiting(state, served, expires_at)

    def find(self, state: OnlineState, token: str) -> ServedList | None:
        """The list, unless it is unknown or has expired."""
        waiting = self._waiting.get(token)
        if waiting is not None and waiting.state is state:
            return waiting.served
        found = state.served(token)
        if found is None and self._shared:  # another worker may be about to write it
            time.sleep(3 * EVERY_SECONDS)
            found = state.served(token)
        return found

    def forget(self, state: OnlineState, user_id: str) -> None:
        """Let go of lists that wait for a person who is being erased from this state; another
        client's person of the same name is somebody else."""
        with self._writing, self._changing:
            theirs = [
                token
                for token, one in self._waiting.items()
                if one.state is state and one.served.user_id == user_id
            ]
            for token in theirs:
                del self._waiting[token]

    def start(self) -> None:
        """Begin to write in the background."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="nextup-served-lists", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end. Stopping twice does nothing."""
        thread, self._thread = self._thread, None
        self._stop.set()
        if thread is not None:
            thread.join()
            self._try_to_write()

    def _run(self) -> None:
        while not self._stop.wait(ATTEMPTS_APART if self._down else EVERY_SECONDS):
            self._try_to_write()

    def _try_to_write(self) -> None:
        try:
            self.write()
            self._down = False
        except NextupError as error:
            self._down = True
            log.warning("Served lists wait to be written: %s", error)

    def write(self) -> int:
        """Write all that wait; returns how many."""
        with self._writing:
            with self._changing:
                taken = dict(self._waiting)
            for state, lists in _by_state(taken.values()):
                save_all(state, lists)
            with self._changing:
                for token, one in taken.items():
                    if self._waiting.get(token) is one:
                        del self._waiting[token]
        return len(taken)


def save_all(state: OnlineState, lists: Sequence[tuple[ServedList, datetime]]) -> None:
    """Keep many lists, in one transaction where the state can."""
    if isinstance(state, SavesManyServed):
        state.save_many_served(lists)
        return
    for served, expires_at in lists:
        state.save_served(served, expires_at)


def _by_state(
    waiting: Iterable[_Waiting],
) -> list[tuple[OnlineState, list[tuple[ServedList, datetime]]]]:
    groups: dict[int, tuple[OnlineState, list[tuple[ServedList, datetime]]]] = {}
    for state, served, expires_at in waiting:
        groups.setdefault(id(state), (state, []))[1].append((served, expires_at))
    return list(groups.values())

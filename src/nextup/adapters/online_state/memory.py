"""The online state in this process's memory: the fastest, and rebuilt after each start."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from heapq import heappop, heappush
from threading import Lock
from typing import TYPE_CHECKING

from nextup.adapters.online_state.touches import (
    NOBODY,
    Cell,
    Remembered,
    applied,
    by_person,
    counted,
    counted_beyond,
    hours_between,
    is_ahead,
    later,
    loaded,
    oldest_kept,
    told,
    weighed,
)
from nextup.domain.events import START

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nextup.domain.events import LogRow, Position
    from nextup.domain.recommendations import ServedList, Tally, Touch


class MemoryOnlineState:
    """Keeps everything in dictionaries; gone when the process ends.

    `weights` says how much each type of event adds to a counter; a type that it lacks adds
    nothing. Counters of hours more than `window_days` old are forgotten.
    """

    def __init__(self, *, weights: Mapping[str, float], window_days: float) -> None:
        self._weights = dict(weights)
        self._window_days = window_days
        self._lock = Lock()
        self._position: dict[str, int] = dict(START)
        self._people: dict[str, Remembered] = {}
        self._counters: defaultdict[int, Counter[Cell]] = defaultdict(Counter)  # by hour
        self._served: dict[str, tuple[datetime, ServedList]] = {}
        self._expiries: list[tuple[datetime, str]] = []  # a heap, so that the next one is first

    def position(self) -> Position:
        """How far the log has been applied."""
        with self._lock:
            return dict(self._position)

    def apply(self, rows: Sequence[LogRow], position: Position) -> None:
        """Add events and move to `position`; a replay changes nothing and moves nothing back."""
        people = by_person(rows)
        with self._lock:
            for user_id, theirs in people.items():
                known = self._people.get(user_id, NOBODY)
                self._people[user_id], new = applied(known, theirs)
                for cell, times in counted(new, self._weights).items():
                    self._counters[cell.hour][cell] += times
            self._forget_old_counters()
            self._position = later(self._position, position)

    def history(self, user_id: str) -> list[Touch]:
        """Everything the person did, in log order; empty for an unknown one."""
        with self._lock:
            return list(self._people.get(user_id, NOBODY).touches)

    def load_histories(
        self,
        histories: Iterable[tuple[str, Sequence[Touch]]],
        position: Position,
        tallies: Iterable[Tally] = (),
    ) -> int:
        """Put in what the log holds up to `position`; see the port."""
        news = is_ahead(position, self.position())
        people = 0
        for user_id, base in histories:
            with self._lock:
                known = self._people.get(user_id, NOBODY)
                self._people[user_id] = loaded(known, base, position)
            people += 1
        with self._lock:
            if news:
                self._recount(position, tallies)
            self._position = later(self._position, position)
        return people

    def trending(
        self, since: datetime, until: datetime
    ) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """Per item the hours that share a moment with [since, until), and the weight in each."""
        first, last = hours_between(since, until)
        with self._lock:
            cells = [
                pair
                for hour, counters in self._counters.items()
                if first <= hour <= last
                for pair in counters.items()
            ]
        return weighed(cells, self._weights)

    def save_served(self, served: ServedList, expires_at: datetime) -> None:
        """Keep a served list; the same token replaces. Expired ones are removed in passing."""
        now = datetime.now(UTC)
        with self._lock:
            while self._expiries and self._expiries[0][0] <= now:
                at, token = heappop(self._expiries)
                if token in self._served and self._served[token][0] == at:  # not replaced since
                    del self._served[token]
            self._served[served.token] = (expires_at, served)
            heappush(self._expiries, (expires_at, served.token))

    def served(self, token: str) -> ServedList | None:
        """The list, unless it is unknown or has expired."""
        with self._lock:
            expires_at, served = self._served.get(token, (None, None))
        return served if expires_at is not None and expires_at > datetime.now(UTC) else None

    def erase(self, user_id: str) -> int:
        """Forget the person. Returns how many: one for the history, and each served list."""
        with self._lock:
            tokens = [token for token, (_, kept) in self._served.items() if kept.user_id == user_id]
            for token in tokens:
                del self._served[token]
            return len(tokens) + (self._people.pop(user_id, None) is not None)

    def close(self) -> None:
        """Nothing is held that must be released."""

    def _recount(self, position: Position, tallies: Iterable[Tally]) -> None:
        beyond = counted_beyond(self._people.values(), position, self._weights)
        self._counters.clear()
        for cell, times in (told(tallies, self._weights) + beyond).items():
            self._counters[cell.hour][cell] = times
        self._forget_old_counters()

    def _forget_old_counters(self) -> None:
        newest = max(self._counters, default=0)
        oldest = oldest_kept(newest, datetime.now(UTC), self._window_days)
        for hour in [hour for hour in self._counters if hour < oldest]:
            del self._counters[hour]

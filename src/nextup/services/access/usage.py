"""What clients use, counted in memory and written down every second for all processes."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from nextup.domain.clients import REFUSED, Usage
from nextup.domain.errors import NextupError
from nextup.services.stream import repeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextup.ports.clients import Clients

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0  # a process that is killed forgets what it counted for so long
FAILED = "Usage could not be written down"


class UsageMeter:
    """Safe to share between threads. Other processes' counts are known after a flush of theirs
    and one of ours: a quota can be overdrawn by what they let in meanwhile."""

    def __init__(self, clients: Clients, clock: Callable[[], datetime]) -> None:
        self._clients = clients
        self._clock = clock
        self._counting = threading.Lock()
        self._flushing = threading.Lock()
        self._day = date.min
        self._stored: dict[str, int] = {}  # let in today by all processes, as last read
        self._let_in: Counter[str] = Counter()  # today, here, and not among the stored
        self._fresh: Counter[tuple[str, str]] = Counter()  # (client, what), today
        self._late: list[Usage] = []  # what is to be written before the fresh

    def count(self, client_id: str, what: str, times: int = 1) -> None:
        """So many more, today."""
        today = self._clock().date()
        with self._counting:
            self._turn_to(today)
            self._fresh[client_id, what] += times
            if what != REFUSED:
                self._let_in[client_id] += times

    def used(self, client_id: str) -> int:
        """How many requests of the client were let in today."""
        today = self._clock().date()
        with self._counting:
            self._turn_to(today)
            return self._stored.get(client_id, 0) + self._let_in[client_id]

    def until_tomorrow(self) -> float:
        """Seconds until the day of UTC ends."""
        now = self._clock()
        tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
        return (tomorrow - now).total_seconds()

    def flush(self) -> None:
        """Write down what was counted, and read what others did. Raises BackendUnavailable when
        the database does not answer; nothing is forgotten then."""
        with self._flushing:
            today = self._clock().date()
            with self._counting:
                self._turn_to(today)
                batch = self._late + _rows(today, self._fresh)
                self._late, self._fresh = batch, Counter()
            self._clients.count(batch)
            with self._counting:
                self._late = self._late[len(batch) :]
                self._note_stored(batch)
            stored = self._clients.used(today)
            with self._counting:
                if self._day == today:
                    self._stored = stored

    def run(self, stop: threading.Event) -> None:
        """Flush until `stop` is set, and once more."""
        repeat(self.flush, stop, FLUSH_SECONDS, FAILED)
        try:
            self.flush()
        except NextupError as error:
            log.warning("%s: %s", FAILED, error)

    def _note_stored(self, batch: list[Usage]) -> None:
        for one in batch:
            if one.day == self._day and one.what != REFUSED:
                self._stored[one.client_id] = self._stored.get(one.client_id, 0) + one.times
                self._let_in[one.client_id] -= one.times

    def _turn_to(self, today: date) -> None:
        if today != self._day:
            self._late += _rows(self._day, self._fresh)
            self._day, self._stored = today, {}
            self._fresh, self._let_in = Counter(), Counter()


def _rows(day: date, counted: Counter[tuple[str, str]]) -> list[Usage]:
    return [Usage(client_id, day, what, times) for (client_id, what), times in counted.items()]

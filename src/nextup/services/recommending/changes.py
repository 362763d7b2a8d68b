"""Whether anything has changed for a person: counters that all workers of a server share.

Each worker counts in cells of its own, so that no lock is needed between processes and no count
is lost; a stamp is the sum of all workers' cells. Whoever changes something counts it *after* the
stores have it and *before* it is acknowledged; whoever keeps an answer takes the stamp *before*
reading the stores. An answer whose stamp still stands is as good as new.
"""

from __future__ import annotations

import threading
from array import array
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable

PEOPLE = 1 << 16  # people who share a cell are taken for each other: harmless, and rare
EVERYBODY, CATALOGUE = PEOPLE, PEOPLE + 1
CELLS = PEOPLE + 2
BYTES = 8  # of a cell


def size(workers: int) -> int:
    """How many bytes of memory so many workers share."""
    return CELLS * workers * BYTES


class Changes:
    """Safe to share between threads. Without shared memory it counts for this process alone."""

    def __init__(
        self, shared: memoryview | None = None, *, workers: int = 1, worker: int = 0
    ) -> None:
        """`shared` is writable, `size(workers)` long, and zero at first; `worker` is this one's
        number, which no other living process has."""
        self._cells = memoryview(array("Q", bytes(size(1)))) if shared is None else shared.cast("Q")
        self._worker = worker
        self.workers = workers
        self._counting = threading.Lock()

    def place(self, user_id: str) -> int:
        """Where the person is counted."""
        return crc32(user_id.encode("utf-8", "surrogatepass")) % PEOPLE

    def stamp(self, place: int) -> int:
        """Grows whenever something changes for the person counted there, or for everybody."""
        cells, workers = self._cells, self.workers
        if workers == 1:
            return cells[place] + cells[EVERYBODY]
        own, all_ = place * workers, EVERYBODY * workers
        return sum(cells[own : own + workers]) + sum(cells[all_ : all_ + workers])

    def catalogue(self) -> int:
        """Grows whenever an item was written by one of the workers."""
        first = CATALOGUE * self.workers
        return sum(self._cells[first : first + self.workers])

    def count(self, user_ids: Iterable[str]) -> None:
        """Something has changed for these people."""
        self._count({self.place(user_id) for user_id in user_ids})

    def count_everybody(self) -> None:
        """Something has changed that may concern anybody."""
        self._count((EVERYBODY,))

    def count_catalogue(self) -> None:
        """Items came, went or changed; what was said about them is no longer good."""
        self._count((CATALOGUE, EVERYBODY))

    def _count(self, places: Iterable[int]) -> None:
        cells, workers, worker = self._cells, self.workers, self._worker
        with self._counting:
            for place in places:
                cells[place * workers + worker] += 1

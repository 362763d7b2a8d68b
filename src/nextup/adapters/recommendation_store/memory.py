"""Published lists in this process's memory: for tests, trials and read-only servers."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from nextup.adapters.recommendation_store.packing import ListPacker, in_service, never_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nextup.domain.recommendations import PublishedList


class MemoryRecommendationStore:
    """Keeps everything in dictionaries; gone when the process ends."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._packer = ListPacker()
        self._generations: dict[str, dict[str, str]] = {}  # packed: a third of the memory
        self._current: str | None = None

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        """Add lists; see the port. Repeated lists of one person count each time."""
        self._refuse_in_service(generation)
        written = 0
        for published in lists:  # the lock is not held while the caller computes its next list
            packed = self._packer.pack(published)
            with self._lock:
                self._refuse_in_service(generation)
                self._generations.setdefault(generation, {})[published.user_id] = packed
            written += 1
        return written

    def switch(self, generation: str) -> None:
        """Put the generation in service; switching to the one in service does nothing."""
        with self._lock:
            if generation not in self._generations:
                raise never_written(generation)
            self._current = generation

    def current(self) -> str | None:
        """The generation in service."""
        return self._current

    def generations(self) -> Sequence[str]:
        """All that are stored, by name."""
        with self._lock:
            return sorted(self._generations)

    def read(self, user_id: str) -> PublishedList | None:
        """The person's list in the generation in service."""
        with self._lock:
            lists = {} if self._current is None else self._generations[self._current]
            packed = lists.get(user_id)
        return None if packed is None else self._packer.unpack(user_id, packed)

    def count(self, generation: str) -> int:
        """How many lists it holds; 0 for an unknown one."""
        with self._lock:
            return len(self._generations.get(generation, {}))

    def drop(self, generation: str) -> None:
        """Delete a generation. An absent one does nothing."""
        with self._lock:
            self._refuse_in_service(generation)
            self._generations.pop(generation, None)

    def erase(self, user_id: str) -> int:
        """Delete the person's list from every generation; returns from how many."""
        with self._lock:
            removed = [lists.pop(user_id, None) for lists in self._generations.values()]
        return sum(packed is not None for packed in removed)

    def close(self) -> None:
        """Nothing is held that must be released."""

    def _refuse_in_service(self, generation: str) -> None:
        if generation == self._current:
            raise in_service(generation)

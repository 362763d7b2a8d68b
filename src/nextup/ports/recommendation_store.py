"""Published lists, one per person, in generations of which one is in service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from nextup.domain.recommendations import PublishedList


class RecommendationStore(Protocol):
    """A reader sees one generation or another, never a mix. Safe to share between threads."""

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        """Add lists to a generation that is not in service; a person's second list replaces the
        first. Returns how many were written. Raises Conflict for the generation in service."""
        ...

    def switch(self, generation: str) -> None:
        """Put the generation in service, at once for all readers. Raises NotFound if nothing was
        ever written to it."""
        ...

    def current(self) -> str | None:
        """The generation in service."""
        ...

    def generations(self) -> Sequence[str]:
        """All that are stored, whole or in the making, by name."""
        ...

    def read(self, user_id: str) -> PublishedList | None:
        """The person's list in the generation in service."""
        ...

    def count(self, generation: str) -> int:
        """How many lists it holds; 0 for an unknown one."""
        ...

    def drop(self, generation: str) -> None:
        """Delete a generation. An absent one does nothing; raises Conflict for the one in
        service."""
        ...

    def erase(self, user_id: str) -> int:
        """Delete the person's list from every generation; returns from how many."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        ...


@runtime_checkable
class ReplacesByPerson(Protocol):
    """A store without generations: each person's list is replaced by itself."""

    def put(self, lists: Iterable[PublishedList]) -> int:
        """Put these lists in the place of the old ones; each counts at once, whole. Returns how
        many. Raises InvalidInput for an id that the store cannot hold."""
        ...

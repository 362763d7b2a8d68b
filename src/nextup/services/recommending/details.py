"""What the catalogue says about items, remembered for a moment: lists name the same ones."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog
    from nextup.services.recommending.changes import Changes

SECONDS = 5.0  # that a change by another program may stay unseen; our own are seen at once
MOST_ITEMS = 50_000
MOST_KNOWN = 200_000  # ids alone are small


class ReadsItems(Protocol):
    """The part of a catalogue that lists need."""

    def items(self, item_ids: Collection[str]) -> dict[str, Item]:
        """Those that exist, by id."""
        ...


class Details:
    """Safe to share between threads. Raises what the catalogue raises."""

    def __init__(self, catalog: Catalog, changes: Changes, *, seconds: float = SECONDS) -> None:
        self._catalog = catalog
        self._changes = changes
        self._seconds = seconds
        self._known: dict[str, Item | None] = {}
        self._as_of = -1
        self._good_until = 0.0  # monotonic seconds
        self._renewing = threading.Lock()

    def items(self, item_ids: Collection[str]) -> dict[str, Item]:
        """Those that exist, by id; one question for all that are not remembered."""
        known = self._current()
        unknown = [item_id for item_id in item_ids if item_id not in known]
        if unknown:
            found = self._catalog.items(unknown)
            if len(known) < MOST_ITEMS:
                known.update({item_id: found.get(item_id) for item_id in unknown})
            else:
                known = {**known, **{item_id: found.get(item_id) for item_id in unknown}}
        return {item_id: item for item_id in item_ids if (item := known[item_id]) is not None}

    def _current(self) -> dict[str, Item | None]:
        """What is remembered; a new, empty memory once the old one is out of date. Whoever still
        fills the old one fills it for nobody."""
        as_of = self._changes.catalogue()
        if as_of == self._as_of and monotonic() < self._good_until:
            return self._known
        with self._renewing:
            if as_of != self._as_of or monotonic() >= self._good_until:
                self._known = {}
                self._as_of = as_of
                self._good_until = monotonic() + self._seconds
            return self._known


class KnownItems:
    """A catalogue as contracts ask it: what was found a moment ago is not asked for again. Safe to
    share between threads."""

    def __init__(self, catalog: Catalog, changes: Changes, *, seconds: float = SECONDS) -> None:
        self._catalog = catalog
        self._changes = changes
        self._seconds = seconds
        self._known: tuple[int, float, set[str]] = (-1, 0.0, set())  # as of, good until, ids

    def unknown_items(self, item_ids: Collection[str]) -> set[str]:
        """Those of the ids that do not exist; asked for, where they are not remembered."""
        known = self._current()
        rest = {item_id for item_id in item_ids if item_id not in known}
        if not rest:
            return rest
        unknown = self._catalog.unknown_items(rest)
        if len(known) < MOST_KNOWN:
            known |= rest - unknown
        return unknown

    def put_items(self, items: Iterable[Item]) -> int:
        """Insert or replace."""
        put = self._catalog.put_items(items)
        self._changes.count_catalogue()
        return put

    def _current(self) -> set[str]:
        """What is remembered; a new, empty memory once the old one is out of date. Whoever still
        fills the old one fills it for nobody."""
        as_of = self._changes.catalogue()
        of, good_until, known = self._known
        if as_of != of or monotonic() >= good_until:
            known = set()
            self._known = (as_of, monotonic() + self._seconds, known)
        return known

"""Items and people, by id."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from nextup.domain.filters import Filter
from nextup.domain.items import Item, Outline, Person


class Catalog(Protocol):
    """What exists. Reads see every finished write."""

    def put_items(self, items: Iterable[Item]) -> int:
        """Insert or replace, all or nothing; the last of equal ids wins. Returns how many ids."""
        ...

    def item(self, item_id: str) -> Item | None: ...

    def items(self, item_ids: Collection[str]) -> dict[str, Item]:
        """Those that exist, by id."""
        ...

    def all_items(self) -> Iterator[Item]:
        """Every item, by ascending id, without holding all in memory."""
        ...

    def unknown_items(self, item_ids: Collection[str]) -> set[str]:
        """Those of the ids that do not exist."""
        ...

    def search_items(self, text: str, *, kind: str | None, limit: int) -> Sequence[Item]:
        """Items whose title contains the text, ignoring case; titles that start with it first."""
        ...

    def count_items(self, kind: str | None = None) -> int: ...

    def delete_item(self, item_id: str) -> bool:
        """Deleting an absent item does nothing; returns whether it was there."""
        ...

    def put_person(self, person: Person) -> None: ...

    def person(self, user_id: str) -> Person | None: ...

    def delete_person(self, user_id: str) -> bool: ...

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        ...


class Mark(NamedTuple):
    """Where somebody who leafs through the catalogue stands: behind this item."""

    starts: bool  # its title starts with the text, not only contains it
    title: str  # as titles are compared
    item_id: str


class Found(NamedTuple):
    """An item and its mark."""

    mark: Mark
    item: Item


@runtime_checkable
class SupportsBrowsing(Protocol):
    """Can be leafed through. A catalogue without it is read as a whole."""

    def browse_items(
        self, text: str, *, where: Filter | None, after: Mark | None, limit: int
    ) -> Sequence[Found]:
        """Like `search_items`, from behind the mark on. All items that fulfil the condition are
        among those that come; whether others are is the backend's choice, and the caller's to
        check. An empty answer: nothing is left."""
        ...


@runtime_checkable
class SupportsOutlines(Protocol):
    """Can leave out what ranking needs not. A catalogue without it is read item by item."""

    def all_outlines(self) -> Iterator[Outline]:
        """Of what `all_items` gives, in the same order."""
        ...


@runtime_checkable
class ChecksItems(Protocol):
    """Cannot hold everything. One without it holds any item that JSON can say."""

    def check_item(self, item: Item) -> None:
        """Raises InvalidInput for an item that `put_items` would refuse."""
        ...

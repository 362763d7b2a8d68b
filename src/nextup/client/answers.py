"""What a server answers, as records. Fields that a newer server adds are left out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct, field


class Answer(Struct, frozen=True, kw_only=True):
    """A record that is never changed."""


class Reason(Answer, frozen=True):
    """One of the person's own items that a recommendation came from."""

    item_id: str
    title: str = ""
    share: float = 0.0  # of all that the person's own items gave, 0..1


class Place(Answer, frozen=True):
    """A place of a list."""

    rank: int  # in the whole list, from 1
    item_id: str
    score: float
    source: str = ""  # the source that contributed most
    title: str = ""
    kind: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()
    sources: dict[str, float] = field(default_factory=dict)
    because: tuple[Reason, ...] = ()
    rules: tuple[str, ...] = ()


class Recommendations(Answer, frozen=True):
    """A page of a list. Iterating gives its places."""

    user_id: str
    level: str  # fresh, published, trending or popular: who answered
    items: tuple[Place, ...]
    served_at: datetime
    model_id: str | None = None
    token: str | None = None  # names the whole list: `served`
    rules: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # what could not be asked
    next_page: str | None = None  # the token of the following page

    def __iter__(self) -> Iterator[Place]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class LeftOut(Answer, frozen=True):
    """An item that the caller brought and that is not in the answer."""

    item_id: str
    reason: str = ""


class Reranked(Recommendations, frozen=True):
    """The caller's own list in another order."""

    left_out: tuple[LeftOut, ...] = ()


class ShelfItem(Answer, frozen=True):
    """An item on a shelf that is the same for everybody."""

    rank: int
    item_id: str
    score: float
    title: str = ""
    kind: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()


class Shelf(Answer, frozen=True):
    """Items, best first. Iterating gives them."""

    source: str
    items: tuple[ShelfItem, ...]
    missing: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[ShelfItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Accepted(Answer, frozen=True):
    """An event is durable."""

    event_id: str
    duplicate: bool


class Row(Answer, frozen=True):
    """What became of one record of a batch."""

    row: int
    status: str  # accepted, duplicate or rejected
    event_id: str | None = None
    rejected_id: str | None = None  # its name in quarantine
    rule: str | None = None
    reason: str | None = None


class BatchResult(Answer, frozen=True):
    """What became of each record; the counts add up to the rows sent."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    rows: tuple[Row, ...] = ()

    @property
    def broken(self) -> tuple[Row, ...]:
        """The records that were refused, with their reasons."""
        return tuple(row for row in self.rows if row.status == "rejected")


class Item(Answer, frozen=True, omit_defaults=True):
    """An item of the catalogue."""

    item_id: str
    kind: str = "item"
    title: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()  # directors, authors
    keywords: tuple[str, ...] = ()
    available: bool = True
    attributes: dict[str, Any] = field(default_factory=dict)


class ItemsPage(Answer, frozen=True):
    """Items that were found."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


class ItemRow(Answer, frozen=True):
    """What became of one item of a batch."""

    row: int
    status: str  # kept or rejected
    item_id: str | None = None
    reason: str | None = None


class ItemsKept(Answer, frozen=True):
    """How many items were inserted or replaced."""

    items: int
    rejected: int = 0
    rows: tuple[ItemRow, ...] = ()


class Person(Answer, frozen=True):
    """What is kept about a person."""

    user_id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    touches: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None


class Act(Answer, frozen=True):
    """Something that a person did."""

    item_id: str
    type: str
    occurred_at: datetime
    title: str = ""
    value: float | None = None


class HistoryPage(Answer, frozen=True):
    """What a person did, the latest first."""

    user_id: str
    history: tuple[Act, ...]
    next_cursor: str | None = None


class Receipt(Answer, frozen=True):
    """A person was forgotten."""

    receipt_id: str
    user_sha256: str
    erased_at: datetime
    removed: dict[str, int]  # records, by place
    old_versions_until: datetime


class Token(Answer, frozen=True):
    """A short-lived token."""

    access_token: str
    expires_in: float  # seconds
    scope: str = ""

    def __repr__(self) -> str:
        return f"Token(scope={self.scope!r})"

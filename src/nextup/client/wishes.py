"""What can be wished for, by name; each keyword of a client's method is one of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict


class EventFields(TypedDict, total=False):
    """Of an event, besides who did what with which item."""

    value: float  # the stars of a rating
    event_id: str  # minted if not given; the same one twice is one event
    occurred_at: datetime  # aware; now, if not given
    session_id: str
    recommendation_id: str  # the token of the served list that it came from
    context: Mapping[str, Any]


class ShelfWishes(TypedDict, total=False):
    """For a shelf that is the same for everybody."""

    limit: int
    kind: str
    genres: Sequence[str]  # any of these
    filter: str  # an expression over the items' attributes


class TrendingWishes(ShelfWishes, total=False):
    """For what trends."""

    window: float  # hours to look back


class ListWishes(ShelfWishes, total=False):
    """For a person's list."""

    exclude: Sequence[str]  # items that shall not be in it
    pin: Sequence[str]  # items that shall come first
    diversity: float  # 0: by score alone; 1: by difference alone
    explain: bool


class PageWishes(ListWishes, total=False):
    """For one page of it."""

    page: str  # `next_page` of the page before; the list's own wishes still hold


class RerankWishes(ListWishes, total=False):
    """For a list that the caller brings."""

    user_id: str
    history: Sequence[str | Mapping[str, Any]]  # instead of a user
    weight: float  # of the caller's own scores, 0..1
    drop_seen: bool


class ItemWishes(TypedDict, total=False):
    """For items of the catalogue."""

    kind: str
    filter: str
    limit: int  # on a page


class HistoryWishes(TypedDict, total=False):
    """For what a person did."""

    type: str  # only this kind of doing
    limit: int  # on a page

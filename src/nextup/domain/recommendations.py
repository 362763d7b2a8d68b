"""Lists of items for people, and why they look as they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How an answer was made, best first. When a part is missing the answer gets simpler."""

    FRESH = "fresh"  # computed now, from the person's current history
    PUBLISHED = "published"  # the last published list
    TRENDING = "trending"  # what many people touch lately
    POPULAR = "popular"  # what most people touched


class Touch(NamedTuple):
    """One remembered act of a person, as the online state keeps it."""

    item_id: str
    type: str
    value: float | None
    occurred_at: int  # microseconds since the epoch
    offset: int  # in the log; makes applying the same event again harmless


class Tally(NamedTuple):
    """How often something was done with an item within one hour."""

    item_id: str
    type: str
    hour: int  # since the epoch
    times: int


class Scored(NamedTuple):
    """An item's place in a published list."""

    item_id: str
    score: float
    source: str  # the source that contributed most


@dataclass(frozen=True, slots=True)
class Because:
    """One of the person's own items that a recommendation came from."""

    item_id: str
    share: float  # of all positive contributions, 0..1


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One place of a served list, with its reasons."""

    item_id: str
    score: float
    source: str
    sources: Mapping[str, float]  # each source's part of the score
    because: tuple[Because, ...] = ()
    rules: tuple[str, ...] = ()  # the rules that acted on this place: "pinned", "diversified", ...


@dataclass(frozen=True, slots=True)
class ServedList:
    """A whole list as it was ranked for one person at one moment. Pages are slices of it."""

    token: str
    user_id: str
    served_at: datetime  # aware, UTC
    level: Level
    model_id: str | None
    items: tuple[Recommendation, ...]
    rules: tuple[str, ...] = ()  # the rules that acted on the list as a whole
    missing: tuple[str, ...] = ()  # what could not be asked: "online_state", "model", ...
    request: str = ""  # what was asked for, as JSON: the list is continued in the same way
    reached: int = 0  # how many places its pages have come to
    passed_over: tuple[str, ...] = ()  # items that could not be shown when their page came


@dataclass(frozen=True, slots=True)
class PublishedList:
    """One person's list in a generation of the recommendation store."""

    user_id: str
    items: tuple[Scored, ...]  # best first

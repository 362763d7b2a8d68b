"""What can be recommended, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be recommended. All kinds share one catalogue."""

    item_id: str
    kind: str = "item"  # "film", "book", ...: every list can be asked for one kind
    title: str = ""
    year: int | None = None  # negative before the common era
    genres: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()  # directors, authors
    keywords: tuple[str, ...] = ()
    available: bool = True  # an unavailable item is known but never recommended
    attributes: Mapping[str, Any] = field(default_factory=dict)  # whatever else the owner keeps


class Outline(NamedTuple):
    """What ranking must know of an item."""

    item_id: str
    kind: str
    genres: tuple[str, ...]
    available: bool


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts. People need not be registered: an event makes them known."""

    user_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

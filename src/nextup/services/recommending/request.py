"""What is asked for, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from nextup.domain.recommendations import Touch  # noqa: TC001 (msgspec reads it when decoding)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextup.domain.items import Item
    from nextup.domain.recommendations import Recommendation, ServedList


@dataclass(frozen=True, slots=True)
class Request:
    """One person's wish for a list."""

    user_id: str = ""  # empty: somebody whose history is in `touches`, or unknown
    limit: int = 20  # places on a page
    kind: str | None = None
    genres: tuple[str, ...] = ()  # any of these; none given: all
    exclude: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()  # first, in this order, where the other rules let them in
    diversity: float | None = None  # 0..1; None: as configured
    explain: bool = True
    touches: tuple[Touch, ...] | None = None  # instead of what is remembered of the person
    only: tuple[str, ...] | None = None  # of these items; None: of the whole catalogue
    seen: bool = False  # also what the person has consumed already
    filter: str = ""  # in the language of `services/filter_language.py`; empty: none

    def to_json(self) -> str:
        """Kept with the list, so that it can be continued in the same way."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str, *, user_id: str) -> Request:
        """The inverse of `to_json`; an empty text gives the plain wish of the person."""
        if not text:
            return cls(user_id=user_id)
        return replace(msgspec.json.decode(text, type=cls), user_id=user_id)


@dataclass(frozen=True, slots=True)
class Page:
    """A slice of a served list, with what the catalogue says about its items."""

    served: ServedList  # the whole list; its token is empty where it could not be kept
    places: Sequence[Recommendation]
    ranks: Sequence[int]  # of the places in the whole list, from 1
    details: Mapping[str, Item]  # of the places and of the items named in their reasons
    next: str | None  # asks for the following page; None: nothing is left
    missing: Sequence[str] = ()  # what could not be asked just now

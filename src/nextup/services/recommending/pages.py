"""Served lists and their pages: kept under a token, continued without repeats and gaps."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from nextup.domain.errors import InvalidInput, NotFound
from nextup.services.recommending.history import weigh
from nextup.services.recommending.levels import CATALOG, SILENT, STATE, Missing
from nextup.services.recommending.request import Page, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from nextup.domain.items import Item
    from nextup.domain.recommendations import Recommendation, ServedList
    from nextup.ports.online_state import OnlineState
    from nextup.services.recommending.details import ReadsItems
    from nextup.services.recommending.served_lists import ServedLists
    from nextup.settings import Settings

    Rank = Callable[[Request, Sequence[str]], ServedList]
    """Ranks a list for the request, without the items that were shown already."""

TOKEN_BYTES = 15  # 120 random bits: nobody guesses another person's list
LONGEST = 200  # characters; ours are 20 and an offset
LOCKS = 64  # for continuing lists; two lists rarely share one
CURE = "Ask for the first page again; its `next` continues from there."


class Bookmark(NamedTuple):
    """A place in a served list."""

    token: str
    offset: int  # the first place that has not been looked at, from 0

    def __str__(self) -> str:
        return f"{self.token}.{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Bookmark:
        """Raises InvalidInput for anything that never was a page token."""
        token, dot, offset = text.rpartition(".")
        whole = offset.isascii() and offset.isdecimal()
        if not (dot and token and whole) or len(text) > LONGEST:
            raise InvalidInput("The page token is not one of ours.", cure=CURE)
        return cls(token, int(offset))


class Pages:
    """Safe to share between threads."""

    def __init__(
        self,
        state: OnlineState,
        catalog: ReadsItems,
        settings: Settings,
        clock: Callable[[], datetime],
        rank: Rank,
        lists: ServedLists,
    ) -> None:
        self._state = state
        self._lists = lists
        self._catalog = catalog
        self._settings = settings
        self._clock = clock
        self._rank = rank
        self._continuing = [threading.Lock() for _ in range(LOCKS)]

    def first(self, ranked: ServedList, limit: int) -> Page:
        """Keep the list under a new token, and show its first places."""
        token, expected = secrets.token_urlsafe(TOKEN_BYTES), min(limit, len(ranked.items))
        kept = self._keep(replace(ranked, token=token, reached=expected))
        return self._page(kept, 0, limit, unwanted=(), reached=0)

    def next(self, text: str, limit: int, user_id: str) -> Page:
        """Continue a list; see `Recommender.next_page`."""
        bookmark = Bookmark.parse(text)
        served = self.served(bookmark.token)
        if served.user_id != user_id or bookmark.offset > len(served.items):
            raise _unknown_list()
        touches = self._state.history(user_id) if user_id else ()
        unwanted = weigh(touches, self._settings, self._clock()).dismissed
        return self._page(served, bookmark.offset, limit, unwanted, served.reached)

    def replay(self, token: str) -> Page:
        """All that the list's pages showed, with the reasons of then."""
        served = self.served(token)
        missing = Missing(served.missing)
        shown = [
            (rank, place)
            for rank, place in enumerate(served.items[: served.reached], start=1)
            if place.item_id not in served.passed_over
        ]
        places = [place for _, place in shown]
        details = self._details(places, missing) or {}
        return Page(served, places, [rank for rank, _ in shown], details, None, missing)

    def served(self, token: str) -> ServedList:
        """Raises NotFound for a token that was never given or has expired."""
        served = self._lists.find(self._state, token)
        if served is None:
            raise _unknown_list()
        return served

    def forget(self, user_id: str) -> None:
        """Let go of the person's lists that are not written yet."""
        self._lists.forget(self._state, user_id)

    def _page(
        self,
        served: ServedList,
        start: int,
        limit: int,
        unwanted: Collection[str],
        reached: int,
    ) -> Page:
        """The places from `start` on that may still be shown; reaching the end, rank further.
        What is passed over beyond what earlier pages `reached` stays so."""
        missing = Missing(served.missing)
        shown: list[tuple[int, Recommendation]] = []  # with their ranks, from 1
        passed: list[str] = []
        unwanted = {*unwanted, *served.passed_over}
        details: dict[str, Item] = {}
        end = start
        while len(shown) < limit:
            if end == len(served.items):
                served = self._extend(served)
            window = served.items[end : end + limit - len(shown)]
            if not window:
                break
            found = self._details(window, missing)
            for rank, place in enumerate(window, start=end + 1):
                if place.item_id not in unwanted and _stands(place, found):
                    shown.append((rank, place))
                elif rank > reached:
                    passed.append(place.item_id)
            details.update(found or {})
            end += len(window)
        if end == len(served.items):
            served = self._extend(served)
        served = self._reach(served, end, passed)
        missing.note(*served.missing)
        more = bool(served.token) and end < len(served.items)
        return Page(
            served=served,
            places=[place for _, place in shown],
            ranks=[rank for rank, _ in shown],
            details=details,
            next=str(Bookmark(served.token, end)) if more else None,
            missing=missing,
        )

    def _keep(self, served: ServedList) -> ServedList:
        """The list, saved; without its token when the state is down: it cannot be continued."""
        lifetime = timedelta(hours=self._settings.recommend.served_hours)
        try:
            self._lists.keep(self._state, served, served.served_at + lifetime)
        except SILENT:
            missing = Missing(served.missing)
            missing.note(STATE)
            return replace(served, token="", missing=tuple(missing))
        return served

    def _extend(self, served: ServedList) -> ServedList:
        """The list with further places at its end, where the catalogue has any left."""
        if not served.token:
            return served
        with self._continuing[hash(served.token) % LOCKS]:
            latest = self._by_now(served)
            if latest is None:
                return served
            if len(latest.items) > len(served.items):  # another thread was faster
                return latest
            request = Request.from_json(served.request, user_id=served.user_id)
            further = self._rank(request, [place.item_id for place in served.items])
            if not further.items:
                return served
            return self._keep(replace(latest, items=latest.items + further.items))

    def _reach(self, served: ServedList, end: int, passed: Sequence[str]) -> ServedList:
        """The list, kept with what its pages have come to."""
        if not served.token or (end <= served.reached and not passed):
            return served
        with self._continuing[hash(served.token) % LOCKS]:
            latest = self._by_now(served)
            if latest is None:
                return served
            known = latest.passed_over
            passed = (*known, *(item_id for item_id in passed if item_id not in known))
            reached = max(end, latest.reached)
            return self._keep(replace(latest, reached=reached, passed_over=passed))

    def _by_now(self, served: ServedList) -> ServedList | None:
        """The list as it is kept by now; None while the state is down."""
        try:
            return self._lists.find(self._state, served.token) or served
        except SILENT:
            return None

    def _details(
        self, places: Iterable[Recommendation], missing: Missing
    ) -> Mapping[str, Item] | None:
        """What the catalogue says about the places and their reasons; None when it is down."""
        wanted = {place.item_id for place in places}
        wanted |= {reason.item_id for place in places for reason in place.because}
        with missing.without(CATALOG):
            return self._catalog.items(wanted)
        return None


def _stands(place: Recommendation, details: Mapping[str, Item] | None) -> bool:
    """Whether a ranked place may still be shown: items can be withdrawn at any time."""
    if details is None:
        return True
    item = details.get(place.item_id)
    return item is not None and item.available


def _unknown_list() -> NotFound:
    return NotFound("This list is not known, or has expired.", cure=CURE)

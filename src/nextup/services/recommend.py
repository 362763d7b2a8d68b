"""Recommend: sources -> blend -> rules -> diversify -> page -> explain.

When a part is missing the answer gets simpler, never an error: fresh (computed now from the
person's current history), published (their last published list), trending, popular.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nextup.algorithms.lists.selection import best_items
from nextup.domain.recommendations import Level, ServedList
from nextup.services.recommending.blend import blend
from nextup.services.recommending.diversify import diversify
from nextup.services.recommending.explain import explain
from nextup.services.recommending.levels import Levels
from nextup.services.recommending.live_trending import LiveTrending
from nextup.services.recommending.pages import Pages
from nextup.services.recommending.rules import apply_rules, pin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextup.ports.catalog import Catalog
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.services.recommending.request import Page, Request
    from nextup.services.serving_model import ServingModel
    from nextup.settings import Settings


def utc_now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


class Recommender:
    """Makes, continues and replays lists. Safe to share between threads."""

    def __init__(
        self,
        *,
        state: OnlineState,
        lists: RecommendationStore,
        catalog: Catalog,
        model: Callable[[], ServingModel],
        settings: Settings,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._model = model
        self._settings = settings.recommend
        self._clock = clock
        self.trending = LiveTrending(state, settings.trending, clock)
        self._levels = Levels(state, lists, self.trending, settings, clock)
        self._pages = Pages(state, catalog, settings, clock, self.rank)

    def recommend(self, request: Request) -> Page:
        """Rank a whole list for the person, keep it, and return its first page."""
        return self._pages.first(self.rank(request), request.limit)

    def next_page(self, text: str, *, limit: int, user_id: str = "") -> Page:
        """Continue a served list; it is ranked further where it ends, without what it showed.

        Raises InvalidInput for a text that is no page token, NotFound for a list that is unknown,
        has expired or is another person's, BackendUnavailable when the state is down.
        """
        return self._pages.next(text, limit, user_id)

    def replay(self, token: str) -> Page:
        """A whole list as it was ranked, with the reasons of then. Raises NotFound."""
        return self._pages.replay(token)

    def rank(self, request: Request, shown: Sequence[str] = ()) -> ServedList:
        """The person's list as of now, not kept anywhere. `shown` items are left out."""
        model = self._model()
        now = self._levels.look(model, request)
        allowed = apply_rules(model.items, request, now.past, shown)
        level, opinions = self._levels.opinions(now, request, allowed.mask)
        blended = blend(opinions, allowed.mask)

        candidates, diversity = allowed.mask, request.diversity
        if diversity is None:
            diversity = self._settings.diversity
        if level is Level.PUBLISHED:  # its order was settled then, and it ends where it ends
            candidates, diversity = candidates & (blended.total > 0), 0.0
        depth = max(self._settings.list_depth, request.limit)
        pool = best_items(blended.total, max(self._settings.candidates, depth), allowed=candidates)
        chosen = diversify(model, pool, depth=depth, strength=diversity)
        pinned = model.items.rows(request.pinned)
        chosen = pin(chosen, pinned, allowed.mask, depth)

        own = now.history if request.explain and level is Level.FRESH else None
        return ServedList(
            token="",
            user_id=request.user_id,
            served_at=self._clock(),
            level=level,
            model_id=model.model_id,
            items=tuple(explain(model, blended, chosen, history=own, pinned=pinned)),
            rules=tuple(allowed.acted),
            missing=tuple(now.missing),
            request=request.to_json(),
        )

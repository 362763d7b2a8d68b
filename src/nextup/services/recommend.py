"""Recommend: sources -> blend -> rules -> diversify -> page -> explain.

When a part is missing the answer gets simpler, never an error: fresh (computed now from the
person's current history), published (their last published list), trending, popular.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nextup.algorithms.lists.selection import best_items
from nextup.domain.recommendations import Level, ServedList
from nextup.services.recommending.blend import blend, in_learned_order
from nextup.services.recommending.diversify import diversify
from nextup.services.recommending.explain import explain
from nextup.services.recommending.facets import Filters
from nextup.services.recommending.levels import Levels
from nextup.services.recommending.live_trending import LiveTrending
from nextup.services.recommending.pages import Pages
from nextup.services.recommending.rules import apply_rules, pin
from nextup.services.recommending.served_lists import ServedLists

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextup.algorithms.confidence import Confidences
    from nextup.ports.catalog import Catalog
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.services.recommending.details import ReadsItems
    from nextup.services.recommending.levels import Opinions, Situation
    from nextup.services.recommending.request import Page, Request
    from nextup.services.recommending.rules import Allowed
    from nextup.services.recommending.sources import Source
    from nextup.services.recommending.tastes import Tastes
    from nextup.services.serving_model import ServingModel
    from nextup.settings import Settings


POOL_PER_PLACE = 4  # of the best, from which diversity picks; its work grows with the square


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
        trending: LiveTrending | None = None,
        filters: Filters | None = None,
        served: ServedLists | None = None,
        details: ReadsItems | None = None,
        tastes: Tastes | None = None,
    ) -> None:
        """`trending`, `filters`, `served` and `details` are shared with another recommender;
        without them, they are this one's own, and nothing about items is remembered. Without
        `tastes` nothing about people is."""
        self.model = model
        self._settings = settings.recommend
        self._clock = clock
        self.trending = trending or LiveTrending(state, settings.trending, clock)
        self.filters = filters or Filters(catalog)
        self._levels = Levels(state, lists, self.trending, settings, clock, tastes)
        self.served = served or ServedLists()
        self.details = details or catalog
        self._pages = Pages(state, self.details, settings, clock, self.rank, self.served)

    def recommend(self, request: Request) -> Page:
        """Rank a whole list for the person, keep it, and return its first page."""
        return self._pages.first(self.rank(request), request.limit)

    def next_page(self, text: str, *, limit: int, user_id: str = "") -> Page:
        """Continue a served list; it is ranked further where it ends, without what it showed.

        Raises InvalidInput for a text that is no page token, NotFound for a list that is unknown,
        has expired or is another person's, BackendUnavailable when the state is down.
        """
        return self._pages.next(text, limit, user_id)

    def forget(self, user_id: str) -> None:
        """Let go of the person's lists that are not written yet; before and after erasing them."""
        self._pages.forget(user_id)

    def replay(self, token: str) -> Page:
        """All that a list's pages showed, with the reasons of then. Raises NotFound."""
        return self._pages.replay(token)

    def keep(self, ranked: ServedList, limit: int) -> Page:
        """Keep a list under a new token, and return its first page."""
        return self._pages.first(ranked, limit)

    def past(self, request: Request) -> Confidences:
        """What the one who asks did, weighed; nothing when the state is down."""
        return self._levels.look(self.model(), request).taste.past

    def rank(
        self, request: Request, shown: Sequence[str] = (), extra: Sequence[Source] = ()
    ) -> ServedList:
        """The person's list as of now, not kept anywhere. `shown` items are left out. `extra`
        sources have a say beside our own; the learned order, which does not know them, has not."""
        model = self.model()
        now = self._levels.look(model, request)
        fitting = self.filters.mask(model.items, request.filter)
        allowed = apply_rules(model.items, request, now.taste.past, shown, fitting)
        opinions = self._levels.opinions(now, request, allowed.mask)
        return self._listed(request, now, allowed, opinions, extra)

    def _listed(
        self,
        request: Request,
        now: Situation,
        allowed: Allowed,
        opinions: Opinions,
        extra: Sequence[Source],
    ) -> ServedList:
        level, taste = opinions.level, now.taste
        model = taste.model
        blended = blend([*extra, *opinions.sources], allowed.mask)
        if level is Level.FRESH and not extra:
            at = int(self._clock().timestamp())
            blended = in_learned_order(blended, model.ranker, allowed.mask, taste.history, at)

        candidates, diversity = allowed.mask, request.diversity
        if diversity is None:
            diversity = self._settings.diversity
        if level is Level.PUBLISHED:  # its order was settled then, and it ends where it ends
            candidates, diversity = candidates & (blended.total > 0), 0.0
        depth = max(self._settings.list_depth, request.limit)
        wide = max(depth, min(self._settings.candidates, POOL_PER_PLACE * depth))
        pool = best_items(blended.total, wide, allowed=candidates)
        chosen = diversify(model, pool, depth=depth, strength=diversity)
        pinned = model.items.rows(request.pinned)
        chosen = pin(chosen, pinned, allowed.mask, depth)

        own = taste.history if request.explain and level is Level.FRESH else None
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

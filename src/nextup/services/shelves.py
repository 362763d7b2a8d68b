"""Lists that are the same for everybody: similar items, trending now, popular."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms.components import FindsSimilar
from nextup.algorithms.confidence import Confidences
from nextup.algorithms.lists.selection import best_items
from nextup.domain.errors import BackendUnavailable, InvalidInput, NotFound
from nextup.domain.recommendations import Level
from nextup.services.recommending import sources
from nextup.services.recommending.facets import Filters
from nextup.services.recommending.request import Request
from nextup.services.recommending.rules import apply_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog
    from nextup.services.recommending.live_trending import LiveTrending
    from nextup.services.serving_model import ServingModel
    from nextup.settings import Settings

SPARE = 2  # times the limit: some may have been withdrawn since the model was loaded
NO_PAST = Confidences([], np.empty(0, np.float32), np.empty(0, np.int64), frozenset(), frozenset())
GENRES = "genres"  # the source for items that no model knows


class ShelfPlace(NamedTuple):
    """An item on a shelf."""

    item_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Shelf:
    """Items, best first, with what the catalogue says about them."""

    source: str  # what answered
    places: Sequence[ShelfPlace]
    details: Mapping[str, Item]
    missing: Sequence[str] = ()


class Shelves:
    """Safe to share between threads."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        trending: LiveTrending,
        model: Callable[[], ServingModel],
        settings: Settings,
        filters: Filters | None = None,
    ) -> None:
        """`filters` are shared with the recommender; without them, these are their own."""
        self._filters = filters or Filters(catalog)
        self._catalog = catalog
        self._trending = trending
        self._model = model
        self._settings = settings

    def similar(
        self,
        item_id: str,
        *,
        limit: int,
        kind: str | None = None,
        genres: Sequence[str] = (),
        where: str = "",
    ) -> Shelf:
        """Items that go together with this one: by behaviour, by content, and for an item that
        no model knows by genre and popularity. Raises NotFound for an item that does not exist."""
        model = self._model()
        allowed = self._allowed(model, kind, genres, where)
        row = model.items.index.get(item_id)
        if row is None and self._catalog.item(item_id) is None:
            raise NotFound(f"There is no item '{item_id}'.", cure="GET /v1/items?q= finds items.")
        if row is None:  # newer than what is in memory
            return Shelf(GENRES, (), {}, ("model",))
        wanted = limit * SPARE
        scores = self._likeness(model, row, wanted)
        source = "model"
        if not scores.any():
            source, scores = GENRES, _same_genres(model, row)
        scores[row] = 0.0
        return self._shelf(model, source, scores, allowed, limit=limit)

    def trending(
        self,
        *,
        limit: int,
        window_hours: float | None = None,
        kind: str | None = None,
        genres: Sequence[str] = (),
        where: str = "",
    ) -> Shelf:
        """What many people touch lately; what is popular when nobody touched anything or the
        counters cannot be read. Raises InvalidInput for a window that is not kept."""
        longest = self._settings.trending.window_days * 24.0
        if window_hours is not None and not 0 < window_hours <= longest:
            raise InvalidInput(
                f"The window is {window_hours:g} hours; counters are kept for {longest:g}.",
                cure=f"Ask for more than 0 and at most {longest:g} hours.",
            )
        model = self._model()
        allowed = self._allowed(model, kind, genres, where)
        missing: tuple[str, ...] = ()
        try:
            scores = self._trending.scores(model.items, window_hours)
        except BackendUnavailable:
            missing = ("online_state",)
        else:
            shelf = self._shelf(model, Level.TRENDING, scores, allowed, limit=limit)
            if shelf.places:
                return shelf
        return self.popular(limit=limit, kind=kind, genres=genres, where=where, missing=missing)

    def popular(
        self,
        *,
        limit: int,
        kind: str | None = None,
        genres: Sequence[str] = (),
        where: str = "",
        missing: Sequence[str] = (),
    ) -> Shelf:
        """What most people touched; before there is a model, the catalogue in its own order."""
        model = self._model()
        allowed = self._allowed(model, kind, genres, where)
        scores = sources.popular(model, self._settings).scores
        if model.popularity is None:
            missing = (*missing, "model")
        floor = scores + np.float32(1e-6)  # what nobody touched comes last, and comes
        return self._shelf(
            model, Level.POPULAR, floor, allowed, limit=limit, missing=tuple(missing)
        )

    def _allowed(
        self, model: ServingModel, kind: str | None, genres: Sequence[str], where: str
    ) -> NDArray[np.bool_]:
        """Which items may be on the shelf; the same rules as for a person's list, without one."""
        request = Request(kind=kind, genres=tuple(genres), filter=where)
        fitting = self._filters.mask(model.items, where)
        return apply_rules(model.items, request, NO_PAST, (), fitting).mask

    def _likeness(self, model: ServingModel, row: int, wanted: int) -> NDArray[np.float32]:
        total = np.zeros(len(model.items), np.float32)
        if row >= model.n_known:
            return total
        for name, weight in model.blend.items():
            fitted = model.component(name)
            if weight > 0 and isinstance(fitted, FindsSimilar):
                near = fitted.similar(row, max(wanted, self._settings.recommend.candidates))
                best = float(near.scores.max(initial=0.0))
                if best > 0:
                    share = np.maximum(near.scores, 0.0) * np.float32(weight / best)
                    total[near.items] += share
        return total

    def _shelf(
        self,
        model: ServingModel,
        source: str,
        scores: NDArray[np.float32],
        allowed: NDArray[np.bool_],
        *,
        limit: int,
        missing: tuple[str, ...] = (),
    ) -> Shelf:
        best = best_items(scores, limit * SPARE, allowed=allowed & (scores > 0))
        places = [
            ShelfPlace(model.items.ids[row], score)
            for row, score in zip(best.items.tolist(), best.scores.tolist(), strict=True)
        ]
        try:
            details = self._catalog.items([place.item_id for place in places])
        except BackendUnavailable:
            return Shelf(source, places[:limit], {}, (*missing, "catalog"))
        shown = [
            place
            for place in places
            if (item := details.get(place.item_id)) is not None and item.available
        ]
        return Shelf(source, shown[:limit], details, missing)


def _same_genres(model: ServingModel, row: int) -> NDArray[np.float32]:
    """Likeness by genre; among equals the popular come first."""
    vectors = model.items.genre_vectors
    likeness = np.asarray((vectors @ vectors[[row]].toarray().T)[:, 0], np.float32)
    popularity = model.popularity
    if popularity is not None and popularity.max(initial=0.0) > 0:
        likeness = np.where(likeness > 0, likeness + 0.01 * popularity / popularity.max(), 0.0)
    return likeness.astype(np.float32)

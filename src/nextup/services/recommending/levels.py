"""Who answers: the best level that has something to say, from what is known at this moment."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nextup.domain.errors import BackendUnavailable, CorruptData
from nextup.domain.recommendations import Level
from nextup.services.recommending import sources
from nextup.services.recommending.tastes import Taste

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from nextup.domain.recommendations import PublishedList
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.services.recommending.live_trending import LiveTrending
    from nextup.services.recommending.request import Request
    from nextup.services.recommending.sources import Source
    from nextup.services.recommending.tastes import Tastes
    from nextup.services.serving_model import ServingModel
    from nextup.settings import Settings

SILENT = (BackendUnavailable, CorruptData)  # a store that fails in these ways is done without
STATE, STORE, CATALOG, MODEL = "online_state", "recommendation_store", "catalog", "model"


class Missing(list[str]):
    """The ports that did not answer, each once."""

    def note(self, *ports: str) -> None:
        """Remember that these are missing."""
        self.extend(port for port in dict.fromkeys(ports) if port not in self)

    @contextmanager
    def without(self, port: str) -> Iterator[None]:
        """Carry on when the port does not answer, and remember that it did not."""
        try:
            yield
        except SILENT:
            self.note(port)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known about the person at this moment, and what could not be asked."""

    taste: Taste
    trending: NDArray[np.float32] | None
    missing: Missing


class Opinions(NamedTuple):
    """What is blended, and the level that stands for it."""

    level: Level
    sources: Sequence[Source]


class Levels:
    """Asks the stores; nothing here fails because one of them is down."""

    def __init__(
        self,
        state: OnlineState,
        lists: RecommendationStore,
        trending: LiveTrending,
        settings: Settings,
        clock: Callable[[], datetime],
        tastes: Tastes | None = None,
    ) -> None:
        """Without `tastes` nothing about people is remembered."""
        self._tastes = tastes
        self._state = state
        self._lists = lists
        self._trending = trending
        self._settings = settings
        self._clock = clock

    def look(self, model: ServingModel, request: Request) -> Situation:
        """Gather what is known about the one who asks."""
        missing = Missing([MODEL] if model.model_id is None else [])
        taste = self._taste(model, request, missing)
        trending = None
        with missing.without(STATE):
            trending = self._trending.scores(model.items)
        return Situation(taste, trending, missing)

    def opinions(
        self, situation: Situation, request: Request, allowed: NDArray[np.bool_]
    ) -> Opinions:
        """The sources of the best level that has a good word for an allowed item."""
        settings = self._settings
        model = situation.taste.model
        popular = sources.popular(model, settings)
        lately = []
        if situation.trending is not None:
            lately = [sources.trending(situation.trending, settings)]

        personal = situation.taste.opinions()
        if sources.any_candidate(personal, allowed):
            return Opinions(Level.FRESH, [*personal, *lately, popular])
        listed = self._published(situation, request)
        if listed is not None:
            published = [sources.published(model, listed)]
            if sources.any_candidate(published, allowed):
                return Opinions(Level.PUBLISHED, published)
        if sources.any_candidate(lately, allowed):
            return Opinions(Level.TRENDING, [*lately, popular])
        return Opinions(Level.POPULAR, [popular])

    def _taste(self, model: ServingModel, request: Request, missing: Missing) -> Taste:
        user_id = request.user_id
        if request.touches is None and user_id:
            with missing.without(STATE):
                if self._tastes is None:
                    return self._read(model, user_id)
                return self._tastes.of(user_id, model, lambda: self._read(model, user_id))
        return Taste.of(model, request.touches or (), self._settings, self._clock())

    def _read(self, model: ServingModel, user_id: str) -> Taste:
        return Taste.of(model, self._state.history(user_id), self._settings, self._clock())

    def _published(self, situation: Situation, request: Request) -> PublishedList | None:
        if request.user_id:
            with situation.missing.without(STORE):
                return self._lists.read(request.user_id)
        return None

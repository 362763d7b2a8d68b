"""Where candidates come from: each source gives every item a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms import native
from nextup.services.serving_model import POPULARITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import History
    from nextup.domain.recommendations import PublishedList
    from nextup.services.serving_model import ServingModel
    from nextup.settings import Settings

TRENDING, POPULAR, PUBLISHED = "trending", POPULARITY, "published"
FLOOR = 1e-3  # weight of popularity where nothing else is configured


class Source(NamedTuple):
    """One opinion about all items."""

    name: str
    weight: float  # of its best candidate in the blend
    scores: NDArray[np.float32]  # (n_items,); what is not above zero says nothing
    component: Fitted | None = None  # what may explain it


def personal(model: ServingModel, history: History) -> list[Source]:
    """What the models say about this very person; nothing without a history."""
    if not len(history):
        return []
    return [
        Source(name, weight, model.widen(fitted.score(history)), fitted)
        for name, weight in model.blend.items()
        if name != POPULARITY and weight > 0 and (fitted := model.component(name)) is not None
    ]


def trending(scores: NDArray[np.float32], settings: Settings) -> Source:
    """What many people touch lately."""
    return Source(TRENDING, settings.blend.get(TRENDING, 0.0), scores)


def popular(model: ServingModel, settings: Settings) -> Source:
    """What most people touched; before there is a model nothing is known and all are equal."""
    scores = model.popularity
    if scores is None:
        scores = np.zeros(len(model.items), np.float32)
    weight = model.blend.get(POPULARITY, settings.blend.get(POPULARITY, 0.0))
    return Source(POPULAR, weight or FLOOR, scores, model.component(POPULARITY))


def published(model: ServingModel, listed: PublishedList) -> Source:
    """The last published list, in its order."""
    rows = model.items.rows(scored.item_id for scored in listed.items)
    scores = np.zeros(len(model.items), np.float32)
    scores[rows] = np.linspace(1.0, 0.0, len(rows), endpoint=False, dtype=np.float32)
    return Source(PUBLISHED, 1.0, scores)


def any_candidate(sources: Sequence[Source], allowed: NDArray[np.bool_]) -> bool:
    """Whether the sources have something good to say about an item that may be shown."""
    return any(native.kernels.most_allowed(source.scores, allowed) > 0 for source in sources)

"""Where candidates come from: each source gives every item a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.services.serving_model import POPULARITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import History
    from nextup.domain.recommendations import PublishedList
    from nextup.services.serving_model import ServingModel
    from nextup.settings import Recommend

FACTORS, NEIGHBOURS, CONTENT = "factors", "neighbours", "content"
TRENDING, POPULAR, PUBLISHED = "trending", "popular", "published"

COMPONENTS = {FACTORS: "als", NEIGHBOURS: "item_item", CONTENT: "content"}
"""The personal sources, and the model behind each."""


class Source(NamedTuple):
    """One opinion about all items."""

    name: str
    weight: float  # of its best candidate in the blend
    scores: NDArray[np.float32]  # (n_items,); what is not above zero says nothing
    component: Fitted | None = None  # what may explain it


def weight_of(name: str, settings: Recommend) -> float:
    """The configured weight of a source."""
    weight: float = getattr(settings, f"blend_{name}")
    return weight


def personal(model: ServingModel, history: History, settings: Recommend) -> list[Source]:
    """What the models say about this very person; nothing without a history."""
    if not len(history):
        return []
    return [
        Source(name, weight_of(name, settings), model.widen(fitted.score(history)), fitted)
        for name, component in COMPONENTS.items()
        if (fitted := model.component(component)) is not None
    ]


def trending(scores: NDArray[np.float32], settings: Recommend) -> Source:
    """What many people touch lately."""
    return Source(TRENDING, weight_of(TRENDING, settings), scores)


def popular(model: ServingModel, settings: Recommend) -> Source:
    """What most people touched; before there is a model nothing is known and all are equal."""
    scores = model.popularity
    if scores is None:
        scores = np.zeros(len(model.items), np.float32)
    return Source(POPULAR, weight_of(POPULAR, settings), scores, model.component(POPULARITY))


def published(model: ServingModel, listed: PublishedList) -> Source:
    """The last published list, in its order."""
    rows = model.items.rows(scored.item_id for scored in listed.items)
    scores = np.zeros(len(model.items), np.float32)
    scores[rows] = np.linspace(1.0, 0.0, len(rows), endpoint=False, dtype=np.float32)
    return Source(PUBLISHED, 1.0, scores)


def any_candidate(sources: Sequence[Source], allowed: NDArray[np.bool_]) -> bool:
    """Whether the sources have something good to say about an item that may be shown."""
    return any(bool(((source.scores > 0) & allowed).any()) for source in sources)

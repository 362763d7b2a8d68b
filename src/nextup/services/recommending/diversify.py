"""Not ten of the same: each next place is good and unlike the places before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextup.algorithms.lists.diversity import spread_by_rows

if TYPE_CHECKING:
    from nextup.algorithms.components import Neighbours
    from nextup.services.serving_model import Rows, ServingModel


def diversify(model: ServingModel, pool: Neighbours, *, depth: int, strength: float) -> Rows:
    """The best `depth` of the pool (best first) by maximal marginal relevance; two items are as
    alike as their genres."""
    if strength <= 0 or len(pool.items) < 3:
        return pool.items[:depth]
    genres = model.items.genre_vectors
    return pool.items[spread_by_rows(pool.scores, genres, pool.items, depth, diversity=strength)]

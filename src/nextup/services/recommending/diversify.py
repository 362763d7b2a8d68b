"""Not ten of the same: each next place is good and unlike the places before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.components import Neighbours
    from nextup.services.serving_model import Rows, ServingModel


def diversify(model: ServingModel, pool: Neighbours, *, depth: int, strength: float) -> Rows:
    """The best `depth` of the pool (best first) by maximal marginal relevance."""
    if strength <= 0 or len(pool.items) < 3:
        return pool.items[:depth]
    likeness = _likeness(model, pool.items)
    return pool.items[_marginal_relevance(pool.scores, likeness, depth, strength)]


def _likeness(model: ServingModel, rows: Rows) -> NDArray[np.float32]:
    """How alike two items are by their genres, 0..1, (rows, rows)."""
    vectors = model.items.genre_vectors[rows].toarray()
    return np.asarray(vectors @ vectors.T, np.float32)


def _marginal_relevance(
    scores: NDArray[np.float32], likeness: NDArray[np.float32], depth: int, strength: float
) -> NDArray[np.intp]:
    best = float(scores.max(initial=0.0))
    worth = (1 - strength) * (scores / best if best > 0 else scores)
    cost = strength * likeness
    nearest = np.zeros(len(scores), np.float32)  # cost of likeness to the nearest place so far
    value = np.empty_like(worth)
    order = np.empty(min(depth, len(scores)), np.intp)
    for place in range(len(order)):
        np.subtract(worth, nearest, out=value)
        order[place] = pick = value.argmax()
        worth[pick] = -np.inf
        np.maximum(nearest, cost[pick], out=nearest)
    return order

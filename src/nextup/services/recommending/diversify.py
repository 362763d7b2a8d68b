"""Not ten of the same: each next place is good and unlike the places before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms.lists.diversity import maximal_marginal_relevance, spread_by_vectors
from nextup.algorithms.sparse_rows import entries_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.components import Neighbours
    from nextup.services.serving_model import Rows, ServingModel


FEW_FLOATS = 9_000  # that BLAS multiplies with a vector in one thread, without waking the others


def diversify(model: ServingModel, pool: Neighbours, *, depth: int, strength: float) -> Rows:
    """The best `depth` of the pool (best first) by maximal marginal relevance; two items are as
    alike as their genres."""
    if strength <= 0 or len(pool.items) < 3:
        return pool.items[:depth]
    genres = entries_of(model.items.genre_vectors, pool.items)
    present, column = np.unique(genres.column, return_inverse=True)
    if len(pool.items) * len(present) <= FEW_FLOATS:
        vectors = np.zeros((len(pool.items), len(present)), np.float32)
        vectors[genres.row, column] = genres.value
        order = spread_by_vectors(pool.scores, vectors, depth, diversity=strength)
    else:
        likeness = _likeness(model, pool.items)
        order = maximal_marginal_relevance(pool.scores, likeness, depth, diversity=strength)
    return pool.items[order]


def _likeness(model: ServingModel, rows: Rows) -> NDArray[np.float32]:
    """How alike two items are by their genres, 0..1, (rows, rows)."""
    vectors = model.items.genre_vectors[rows]  # sparse: dense BLAS would wake all its threads
    return np.asarray((vectors @ vectors.T).toarray(), np.float32)

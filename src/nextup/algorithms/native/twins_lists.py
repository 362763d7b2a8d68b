"""The kernels for one person's list, in NumPy; see `twins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from nextup.algorithms.native.twins_sparse import check_indices, select_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.native.interface import Floats, Indices, Offsets


def most_allowed(scores: Floats, allowed: NDArray[np.bool_]) -> float:
    """In one sweep."""
    return float(np.max(scores, where=allowed, initial=0.0))


def best_allowed(
    scores: Floats, allowed: NDArray[np.bool_], best_items: Indices, best_scores: Floats
) -> None:
    """As the one row of a matrix, in which the others are infinite."""
    row = np.where(allowed, scores, np.float32(-np.inf))[None]
    nobody = np.zeros(2, np.int64), np.zeros(0, np.int32)
    select_rows(row, *nobody, best_items[None], best_scores[None], 1)


def add_opinion(scores: Floats, allowed: NDArray[np.bool_], weight: float, total: Floats) -> float:
    """Scaled to the best allowed score."""
    best = most_allowed(scores, allowed)
    scale = weight / best if best > 0 else 0.0
    if scale > 0:
        total += np.maximum(scores, 0.0) * np.float32(scale)
    return scale


def spread(
    relevance: Floats,
    starts: Offsets,
    ends: Offsets,
    indices: Indices,
    values: Floats,
    columns: int,
    diversity: float,
    chosen: Indices,
) -> None:
    """One candidate after the other, with its likeness to all."""
    sizes = ends - starts
    indptr = np.r_[0, np.cumsum(sizes)]
    if len(starts) and (sizes.min() < 0 or starts.min() < 0 or ends.max() > len(indices)):
        raise ValueError("an index is out of range")
    at = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], sizes)
    check_indices(indices[at], columns)
    shape = (len(relevance), columns)
    vectors = csr_matrix((values[at], indices[at], indptr), shape=shape)
    best = relevance.max(initial=0.0)
    worth = np.float32(1.0 - diversity) * (relevance / best if best > 0 else relevance)
    worth = worth.astype(np.float64)
    nearest = np.zeros(len(worth))  # likeness to the closest item chosen so far
    for place in range(len(chosen)):
        pick = int(np.argmax(worth - nearest * diversity))
        chosen[place] = pick
        worth[pick] = -np.inf
        likeness = (vectors @ vectors[[pick]].T).toarray()[:, 0]
        np.maximum(nearest, likeness, out=nearest)


def main_reasons(given: Floats, order: Indices, shares: Floats) -> None:
    """One reason after the other, each the greatest of what is left."""
    positive = np.maximum(given, 0.0)
    total = positive.sum(axis=0)
    left = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    places = np.arange(given.shape[1])
    for nth in range(order.shape[1]):
        order[:, nth] = found = left.argmax(axis=0)
        shares[:, nth] = left[found, places]
        left[found, places] = -1.0


def add_neighbours(
    touched: Indices, weights: Floats, neighbours: Indices, similarities: Floats, scores: Floats
) -> None:
    """All lists at once."""
    check_indices(touched, len(neighbours))
    found = neighbours[touched]  # (touches, per_item)
    real = found >= 0
    check_indices(found[real], len(neighbours))
    weighted = weights[:, None] * similarities[touched]
    scores += np.bincount(found[real], weighted[real], minlength=len(scores)).astype(np.float32)


def neighbour_parts(
    touched: Indices,
    weights: Floats,
    neighbours: Indices,
    similarities: Floats,
    items: Indices,
    parts: Floats,
) -> None:
    """Through a table of where each item is wanted."""
    check_indices(touched, len(neighbours))
    check_indices(items, len(neighbours))
    wanted, column = np.unique(items, return_inverse=True)
    place = np.full(len(neighbours) + 1, -1, np.int32)  # the last is that of no neighbour, -1
    place[wanted] = np.arange(len(wanted))
    found = neighbours[touched]
    check_indices(found[found >= 0], len(neighbours))
    touch, neighbour = np.nonzero(place[found] >= 0)
    similar = similarities[touched[touch], neighbour]
    given = np.zeros((len(touched), len(wanted)), np.float32)
    given[touch, place[found][touch, neighbour]] = weights[touch] * similar
    parts[:] = given[:, column]

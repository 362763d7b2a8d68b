"""The best few of many scores, exactly; of equal scores the lower item index comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.components import Neighbours, Ranking
from nextup.algorithms.inputs import check_limit
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from nextup.algorithms.interactions import Interactions

NOTHING = np.zeros(0, np.int32)


def best(scores: NDArray[np.float32], limit: int, *, excluded: ArrayLike = ()) -> Neighbours:
    """The best `limit` items of one person's scores, fewer where there are fewer candidates.

    Excluded items, infinite scores and NaN are no candidates.
    """
    check_limit(limit)
    row = np.ascontiguousarray(scores, np.float32)[None]  # (1, n_items)
    out = np.sort(np.asarray(excluded, np.int32)) if np.size(excluded) else NOTHING
    _check_excluded(out, row.shape[1])
    ranking = _empty(1, min(limit, row.shape[1]))
    if ranking.items.size:
        indptr = np.array([0, len(out)], np.int64)
        native.kernels.select_rows(row, indptr, out, *ranking, 1)
    found = ranking.items[0] >= 0
    return Neighbours(ranking.items[0][found], ranking.scores[0][found])


def best_of_allowed(
    scores: NDArray[np.float32], allowed: NDArray[np.bool_], limit: int
) -> Neighbours:
    """Likewise of those that are allowed."""
    check_limit(limit)
    if allowed.shape != scores.shape:
        raise InvalidInput(f"The mask has {len(allowed)} items, the scores {len(scores)}.")
    items = np.full(min(limit, len(scores)), -1, np.int32)
    worth = np.full(len(items), -np.inf, np.float32)
    if len(items):
        scores = np.ascontiguousarray(scores, np.float32)
        native.kernels.best_allowed(scores, np.ascontiguousarray(allowed), items, worth)
    found = items >= 0
    return Neighbours(items[found], worth[found])


def best_of_rows(
    scores: NDArray[np.float32],  # (people, n_items)
    limit: int,
    *,
    seen: Interactions | None = None,
    threads: int = 0,
) -> Ranking:
    """The best `limit` items of each row of scores, without what each person (row) has seen."""
    check_limit(limit)
    scores = np.ascontiguousarray(scores, np.float32)
    indptr, excluded = _excluded(seen, *scores.shape)
    ranking = _empty(len(scores), limit)
    if ranking.items.size:
        native.kernels.select_rows(scores, indptr, excluded, *ranking, native.thread_count(threads))
    return ranking


def best_products(
    queries: NDArray[np.float32],  # (people, factors)
    items: NDArray[np.float32],  # (n_items, factors)
    limit: int,
    *,
    seen: Interactions | None = None,
    threads: int = 0,
) -> Ranking:
    """The items with the largest inner products for each query, without what was seen.

    The products are never stored: memory stays at the size of the two matrices.
    """
    check_limit(limit)
    if queries.shape[1] != items.shape[1]:
        raise InvalidInput(
            f"The queries have {queries.shape[1]} factors, the items {items.shape[1]}."
        )
    indptr, excluded = _excluded(seen, len(queries), len(items))
    ranking = _empty(len(queries), limit)
    if not ranking.items.size or not len(items):
        return ranking
    items = padded(items)
    norms = np.sqrt(np.einsum("nk,nk->n", items, items))  # (n_items,)
    largest_first = np.argsort(-norms, kind="stable").astype(np.int32)
    native.kernels.rank(
        padded(queries),
        items,
        norms[largest_first],
        largest_first,
        indptr,
        excluded,
        *ranking,
        native.thread_count(threads),
    )
    return ranking


def padded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors as wide as the kernels want them: zeros added, or the same array where none are."""
    factors = vectors.shape[1]
    width = native.padded_width(max(factors, 1))
    if width == factors:
        return np.ascontiguousarray(vectors, np.float32)
    wide = np.zeros((len(vectors), width), np.float32)
    wide[:, :factors] = vectors
    return wide


def _excluded(
    seen: Interactions | None, people: int, n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    if seen is None:
        return np.zeros(people + 1, np.int64), NOTHING
    if seen.n_users != people or seen.n_items != n_items:
        raise InvalidInput(
            f"What was seen is {seen.n_users} people x {seen.n_items} items, "
            f"the scores are {people} x {n_items}."
        )
    return seen.indptr, seen.items


def _check_excluded(items: NDArray[np.int32], n_items: int) -> None:
    if len(items) and not (items[0] >= 0 and items[-1] < n_items):
        raise InvalidInput(f"An excluded item lies outside 0..{n_items - 1}.")


def _empty(people: int, limit: int) -> Ranking:
    return Ranking(
        np.full((people, limit), -1, np.int32), np.full((people, limit), -np.inf, np.float32)
    )

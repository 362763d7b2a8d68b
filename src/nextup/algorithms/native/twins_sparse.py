"""The twins of the kernels on sparse matrices (sparse.cpp)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.native.interface import Floats, Indices, Offsets

BLOCK_FLOATS = 1 << 24  # 64 MiB: what one step may hold at once


def transpose(
    indptr: Offsets,
    indices: Indices,
    values: Floats,
    to_indptr: Offsets,
    to_indices: Indices,
    to_values: Floats,
    _threads: int,
) -> None:
    """Stable sort by column."""
    columns = len(to_indptr) - 1
    check_indices(indices, columns)
    order = np.argsort(indices, kind="stable")
    to_indptr[0] = 0
    np.cumsum(np.bincount(indices, minlength=columns), out=to_indptr[1:])
    to_indices[:] = row_numbers(indptr)[order]
    to_values[:] = values[order]


def select_rows(
    scores: Floats,
    indptr: Offsets,
    excluded: Indices,
    best_items: Indices,
    best_scores: Floats,
    _threads: int,
) -> None:
    """Partition for the last score that counts; of equals with it the first columns enter."""
    check_indices(excluded, scores.shape[1])
    scores = np.where(np.isfinite(scores), scores, -np.inf).astype(np.float32, copy=False)
    scores[row_numbers(indptr), excluded] = -np.inf
    best_items[:], best_scores[:] = -1, -np.inf
    limit = min(best_items.shape[1], scores.shape[1])
    if limit == 0 or not len(scores):
        return
    last = -np.partition(-scores, limit - 1, axis=1)[:, limit - 1, None]  # (rows, 1)
    row, column = np.nonzero((scores >= last) & (scores > -np.inf))
    score = scores[row, column]
    order = np.lexsort((column, -score, row))
    row, column, score = row[order], column[order], score[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)  # within its row
    kept = place < limit
    best_items[row[kept], place[kept]] = column[kept]
    best_scores[row[kept], place[kept]] = score[kept]


def select_block(
    scores: Floats,  # (rows of the block, n)
    rows: slice,
    indptr: Offsets,
    excluded: Indices,
    best_items: Indices,
    best_scores: Floats,
) -> None:
    """`select_rows` for some rows, of arrays that are those of all."""
    select_rows(
        scores,
        indptr[rows.start : rows.stop + 1] - indptr[rows.start],
        excluded[indptr[rows.start] : indptr[rows.stop]],
        best_items[rows],
        best_scores[rows],
        1,
    )


def neighbours(
    item_indptr: Offsets,
    users: Indices,
    item_values: Floats,
    user_indptr: Offsets,
    items: Indices,
    user_values: Floats,
    best_items: Indices,
    best_scores: Floats,
    threads: int,
) -> None:
    """Blocks of items through a sparse product."""
    n_items, n_users = len(item_indptr) - 1, len(user_indptr) - 1
    by_item = csr_matrix((item_values, users, item_indptr), shape=(n_items, n_users))
    by_user = csr_matrix((user_values, items, user_indptr), shape=(n_users, n_items))
    size = max(1, BLOCK_FLOATS // max(1, n_items))
    for first in range(0, n_items, size):
        rows = slice(first, min(first + size, n_items))
        products = (by_item[rows] @ by_user).toarray()  # (rows, n_items)
        products[products <= 0] = -np.inf
        own = np.arange(rows.start, rows.stop, dtype=np.int32)
        one_each = np.arange(len(own) + 1, dtype=np.int64)
        select_rows(products, one_each, own, best_items[rows], best_scores[rows], threads)


def rank_neighbours(
    indptr: Offsets,
    items: Indices,
    weights: Floats,
    neighbours: Indices,
    similarities: Floats,
    exclude_seen: int,
    best_items: Indices,
    best_scores: Floats,
    threads: int,
) -> None:
    """Blocks of people through a sparse product."""
    n_items = len(neighbours)
    listed = neighbours >= 0
    ends = np.r_[0, np.cumsum(listed.sum(axis=1))]
    lists = csr_matrix((similarities[listed], neighbours[listed], ends), shape=(n_items, n_items))
    touches = csr_matrix((weights, items, indptr), shape=(len(indptr) - 1, n_items))
    size = max(1, BLOCK_FLOATS // max(1, n_items))
    for first in range(0, len(indptr) - 1, size):
        rows = slice(first, min(first + size, len(indptr) - 1))
        bounds = indptr[rows.start : rows.stop + 1] - indptr[rows.start]
        seen = items[indptr[rows.start] : indptr[rows.stop]]
        select_rows(
            (touches[rows] @ lists).toarray(),
            bounds if exclude_seen else np.zeros_like(bounds),
            seen if exclude_seen else seen[:0],
            best_items[rows],
            best_scores[rows],
            threads,
        )


def blend(
    items: Indices,
    scores: Floats,
    weights: Floats,
    n_items: int,
    indptr: Offsets,
    excluded: Indices,
    best_items: Indices,
    best_scores: Floats,
    sources: NDArray[np.int8],
    _threads: int,
) -> None:
    """Dense shares of some people at a time."""
    check_indices(items[scores > 0], n_items)
    best = np.where(scores[..., :1] > 0, scores[..., :1], 1)
    shares = weights[:, None, None] * (np.maximum(scores, 0) / best)
    parts, people = items.shape[:2]
    size = max(1, BLOCK_FLOATS // max(1, n_items * parts))
    for first in range(0, people, size):
        rows = slice(first, min(first + size, people))
        dense = np.zeros((parts, rows.stop - first, n_items), np.float32)
        part, person, place = np.nonzero(shares[:, rows] > 0)
        dense[part, person, items[part, first + person, place]] = shares[
            part, first + person, place
        ]
        total = dense.sum(axis=0)
        total[total <= 0] = -np.inf
        select_block(total, rows, indptr, excluded, best_items, best_scores)
        found = best_items[rows]
        given = dense[:, np.arange(len(found))[:, None], found]  # (parts, people, limit)
        sources[rows] = np.where(found >= 0, given.argmax(axis=0), -1)


def row_numbers(indptr: Offsets) -> NDArray[np.int64]:
    """The row of each touch."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def check_indices(indices: Indices, size: int) -> None:
    """Raise ValueError for one that is out of range."""
    if len(indices) and not 0 <= indices.min() <= indices.max() < size:
        raise ValueError("an index is out of range")

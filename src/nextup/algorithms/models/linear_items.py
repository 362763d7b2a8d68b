"""Models that are one sparse item x item matrix: a history's scores are its rows, added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from scipy import sparse

from nextup.algorithms.components import Neighbours
from nextup.algorithms.inputs import check_history, check_item, check_items, check_people
from nextup.algorithms.lists.selection import best_items, rank_in_blocks
from nextup.algorithms.models.emphasis import Emphasis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.components import Ranking
    from nextup.algorithms.interactions import History, Interactions


@dataclass(frozen=True, slots=True, eq=False)
class LinearItemModel:
    """`weights[i, j]`: what a touch of item i says about item j; nothing about i itself.

    An empty history scores 0 everywhere.
    """

    name: ClassVar[str] = "linear_items"

    weights: sparse.csr_array  # (n_items, n_items), float32, each row's columns ascending
    emphasis: Emphasis

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return int(self.weights.shape[0])

    def score(self, history: History) -> NDArray[np.float32]:
        """The emphasised sum of the rows of the history's items, (n_items,)."""
        check_history(history, self.n_items)
        touches, size = self._row_entries(history.items)
        value = self.weights.data[touches] * np.repeat(self.emphasis.of(history), size)
        total = np.bincount(self.weights.indices[touches], value, minlength=self.n_items)
        return total.astype(np.float32)

    def score_many(self, interactions: Interactions) -> NDArray[np.float32]:
        """The same for many people, (n_users, n_items)."""
        touches = self.emphasis.matrix(interactions)
        return np.asarray((touches @ self.weights).toarray(), np.float32)

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The best items for everybody, by blocks of sparse products."""
        check_people(interactions, self.n_items)
        return rank_in_blocks(self.score_many, interactions, limit, exclude_seen=exclude_seen)

    def similar(self, item: int, limit: int) -> Neighbours:
        """The items that a touch of this one speaks for most; fewer if it speaks for few."""
        check_item(item, self.n_items)
        row = slice(self.weights.indptr[item], self.weights.indptr[item + 1])
        found = best_items(self.weights.data[row], limit)
        return Neighbours(self.weights.indices[row][found.items].astype(np.int32), found.scores)

    def contributions(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """(h, len(items)): each touch's part of each item's score; columns add up to it."""
        check_history(history, self.n_items)
        check_items(items, self.n_items)
        parts = self.weights[history.items][:, items].toarray()  # (h, len(items))
        return np.asarray(parts * self.emphasis.of(history)[:, None], np.float32)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The three arrays of the matrix, and the emphasis."""
        return {
            "indptr": self.weights.indptr,
            "items": self.weights.indices,
            "values": self.weights.data,
            "emphasis": self.emphasis.array(),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        n_items = len(arrays["indptr"]) - 1
        weights = sparse.csr_array(
            (arrays["values"], arrays["items"], arrays["indptr"]), shape=(n_items, n_items)
        )
        return cls(weights, Emphasis.from_array(arrays["emphasis"]))

    def _row_entries(self, items: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the entries of these rows lie, and how many each row has."""
        start = self.weights.indptr[items].astype(np.int64)
        size = self.weights.indptr[items.astype(np.int64) + 1] - start
        before = np.cumsum(size) - size
        return np.arange(size.sum()) + np.repeat(start - before, size), size


def strongest(matrix: sparse.csr_array, limit: int) -> sparse.csr_array:
    """Only the `limit` largest entries of each row, ties to the lower column; 0 keeps all."""
    if limit <= 0 or matrix.nnz == 0 or int(np.diff(matrix.indptr).max()) <= limit:
        return matrix
    size = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), size)
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    place = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], size)
    kept = np.sort(order[place < limit])  # back to rows, columns ascending
    indptr = np.concatenate([[0], np.cumsum(np.minimum(size, limit))])
    return sparse.csr_array(
        (matrix.data[kept], matrix.indices[kept], indptr.astype(matrix.indptr.dtype)),
        shape=matrix.shape,
    )


def without_diagonal(matrix: sparse.csr_array) -> sparse.csr_array:
    """The same with no stored entry on the diagonal, nor any stored zero, columns ascending."""
    matrix.sort_indices()
    size = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), size)
    kept = (rows != matrix.indices) & (matrix.data != 0)
    so_far = np.concatenate([[0], np.cumsum(kept)])
    return sparse.csr_array(
        (
            matrix.data[kept].astype(np.float32, copy=False),
            matrix.indices[kept],
            so_far[matrix.indptr].astype(matrix.indptr.dtype),
        ),
        shape=matrix.shape,
    )


def by_row_blocks(
    rows: Callable[[int, int], sparse.csr_array], n_rows: int, *, block: int = 2048
) -> sparse.csr_array:
    """Stack `rows(start, stop)`, so that what each block prunes never exists as a whole."""
    parts = [rows(start, min(start + block, n_rows)) for start in range(0, n_rows, block)]
    return sparse.csr_array(sparse.vstack(parts, format="csr"))

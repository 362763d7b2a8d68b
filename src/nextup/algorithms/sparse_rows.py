"""A few rows of a sparse matrix as plain arrays.

Choosing rows with the matrix' own words, and multiplying what was chosen, takes several times as
long to set up as to compute where the rows are one person's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse


class Entries(NamedTuple):
    """The stored values of some rows, row after row."""

    row: NDArray[np.int64]  # (e,) which of the rows that were asked for, from 0
    column: NDArray[np.integer]  # (e,)
    value: NDArray[np.float32]  # (e,)


def entries_of(matrix: sparse.csr_array, rows: NDArray[np.integer]) -> Entries:
    """Those of the given rows, in their order; a row may be given twice."""
    starts = matrix.indptr[rows]
    sizes = matrix.indptr[rows + 1] - starts
    before = np.cumsum(sizes) - sizes
    row = np.repeat(np.arange(len(rows)), sizes)
    at = np.arange(len(row)) + (starts - before)[row]
    return Entries(row, matrix.indices[at], matrix.data[at])


def products(left: Entries, right: Entries, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Each left row's inner product with each right row; `shape` is how many there are of both."""
    order = np.argsort(right.column, kind="stable")
    columns = right.column[order]
    first = np.searchsorted(columns, left.column)
    times = np.searchsorted(columns, left.column, side="right") - first  # that it meets a partner
    mine = np.repeat(np.arange(len(times)), times)
    theirs = order[np.arange(len(mine)) + (first - (np.cumsum(times) - times))[mine]]
    cell = left.row[mine] * shape[1] + right.row[theirs]
    total = np.bincount(cell, left.value[mine] * right.value[theirs], shape[0] * shape[1])
    return total.reshape(shape).astype(np.float32)

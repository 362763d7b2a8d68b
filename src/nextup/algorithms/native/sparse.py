"""A sparse matrix by rows, as the kernels take it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextup.algorithms.native.choice import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.interactions import Interactions


SUMMED_AT_ONCE = 1 << 20  # values: all of them in double precision would be a large array


class Sparse(NamedTuple):
    """Compressed rows; indices ascend within a row and lie below `columns`."""

    indptr: NDArray[np.int64]  # (rows + 1,)
    indices: NDArray[np.int32]  # (nnz,)
    values: NDArray[np.float32]  # (nnz,)
    columns: int

    @classmethod
    def of(cls, interactions: Interactions) -> Self:
        """People x items, the arrays shared."""
        return cls(
            interactions.indptr, interactions.items, interactions.weights, interactions.n_items
        )

    @property
    def rows(self) -> int:
        """How many rows there are, empty ones included."""
        return len(self.indptr) - 1

    def transposed(self, threads: int) -> Self:
        """The same matrix by columns."""
        nnz = len(self.indices)
        flipped = type(self)(
            np.empty(self.columns + 1, np.int64),
            np.empty(nnz, np.int32),
            np.empty(nnz, np.float32),
            self.rows,
        )
        kernels.transpose(*self[:3], *flipped[:3], threads)
        return flipped

    def row_sums(self) -> NDArray[np.float64]:
        """The sum of each row's values, (rows,)."""
        sums = np.zeros(self.rows)
        filled = np.flatnonzero(np.diff(self.indptr))
        starts = np.append(self.indptr[filled], len(self.values))
        pieces = np.flatnonzero(np.diff(starts[:-1] // SUMMED_AT_ONCE, prepend=-1))
        for first, last in pairwise([*pieces, len(filled)]):
            values = self.values[starts[first] : starts[last]]
            rows = starts[first:last] - starts[first]
            sums[filled[first:last]] = np.add.reduceat(values, rows, dtype=np.float64)
        return sums

    def some_rows(self, rows: NDArray[np.int64]) -> Self:
        """These rows alone, in this order."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        shift = self.indptr[rows] - indptr[:-1]  # where a row moves from
        at = np.arange(indptr[-1]) + np.repeat(shift, lengths)
        return type(self)(indptr, self.indices[at], self.values[at], self.columns)

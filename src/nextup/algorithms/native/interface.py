"""What a kernel takes and gives; the compiled module and the NumPy twins both fit this.

All arrays are C-contiguous; the last ones are written to. Factor matrices have a width that is a
multiple of 16, padded with zeros (`padded_width`). A wrong type, shape or index raises ValueError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Indices = NDArray[np.int32]
    Offsets = NDArray[np.int64]
    Mask = NDArray[np.bool_]


def padded_width(factors: int) -> int:
    """The kernels' width for vectors of so many factors."""
    return -(-factors // 16) * 16


def aligned_zeros(rows: int, width: int) -> Floats:
    """A zero matrix that starts on a cache line, so that no register's load crosses two."""
    memory = np.zeros(rows * width + 16, np.float32)
    first = -(memory.ctypes.data // 4) % 16
    return memory[first : first + rows * width].reshape(rows, width)


class Kernels(Protocol):
    """One implementation of all kernels. Arguments are positional."""

    def instruction_set(self) -> str:
        """What the kernels were compiled for: avx512, avx2, neon or plain; numpy: twins."""
        ...

    def transpose(
        self,
        indptr: Offsets,  # (rows + 1,)
        indices: Indices,  # (nnz,)
        values: Floats,  # (nnz,)
        to_indptr: Offsets,  # (columns + 1,) out
        to_indices: Indices,  # (nnz,) out, ascending within a column
        to_values: Floats,  # (nnz,) out
        threads: int,
        /,
    ) -> None:
        """A sparse matrix by columns."""
        ...

    def solve_rows(
        self,
        indptr: Offsets,  # (rows + 1,)
        indices: Indices,  # (nnz,)
        weights: Floats,  # (nnz,) w
        targets: Floats,  # (nnz,) t; may be the weights themselves
        target_offset: float,
        fixed: Floats,  # (n, width) the other side's vectors y
        dense: Floats,  # (width,) what all rows share, diagonal
        ridge: Floats,  # (rows,)
        jacobi: int,  # 1: precondition with the touches' part of the diagonal as well
        steps: int,
        tolerance: float,
        reach: float,  # times the way from the start to what was found; 1: just there
        rounded: int,  # 1: take the vectors y to bfloat16's precision (`twins.to_pairs`): faster
        solutions: Floats,  # (rows, width) in: where to start; out: x
        threads: int,
        /,
    ) -> None:
        """(diag(dense) + ridge_u I + sum_j w_j y_j y_j') x_u = sum_j (t_j + target_offset) y_j

        for every row by at most `steps` conjugate-gradient steps, fewer when the preconditioned
        residual has fallen to `tolerance` times its start. A row without touches becomes zero.
        """
        ...

    def solve_row(
        self,
        indices: Indices,  # (h,)
        weights: Floats,  # (h,) both weights and targets
        target_offset: float,
        fixed: Floats,
        dense: Floats,
        ridge: float,
        steps: int,
        tolerance: float,
        solution: Floats,  # (width,) in and out
        /,
    ) -> None:
        """The same for one row, in microseconds."""
        ...

    def gram(
        self,
        vectors: Floats,  # (n, width)
        products: Floats,  # (width, width) out
        threads: int,
        /,
    ) -> None:
        """vectors' vectors, the same for any number of threads."""
        ...

    def diagonalise(
        self,
        products: Floats,  # (width, width) symmetric
        size: int,  # so many of its rows and columns count
        basis: Floats,  # (width, width) out: eigenvectors as columns, what is padding untouched
        values: Floats,  # (width,) out: their eigenvalues, the largest first, none below 0
        /,
    ) -> None:
        """The basis in which a Gram matrix is diagonal."""
        ...

    def rotate(
        self,
        basis: Floats,  # (width, width)
        vectors: Floats,  # (n, width) in and out
        threads: int,
        /,
    ) -> None:
        """vectors = vectors basis."""
        ...

    def score(
        self,
        vectors: Floats,  # (n, width)
        query: Floats,  # (width,)
        scores: Floats,  # (n,) out
        threads: int,
        /,
    ) -> None:
        """vectors query."""
        ...

    def trace(
        self,
        vectors: Floats,  # (n, width)
        touched: Indices,  # (h,)
        weights: Floats,  # (h,) positive
        target_offset: float,
        dense: Floats,  # (width,)
        ridge: float,
        items: Indices,  # (m,)
        parts: Floats,  # (h, m) out
        /,
    ) -> None:
        """What each touch gave to each item's score: the terms of `solve_row`'s right side, taken
        through the inverse of its system to the item's vector."""
        ...

    def rank(
        self,
        queries: Floats,  # (people, width)
        items: Floats,  # (n_items, width)
        norms: Floats,  # (candidates,) of the candidates' vectors, descending
        ids: Indices,  # (candidates,) rows of `items`
        indptr: Offsets,  # (people + 1,) of the excluded items
        excluded: Indices,  # ascending within a row
        best_items: Indices,  # (people, limit) out
        best_scores: Floats,  # (people, limit) out
        threads: int,
        /,
    ) -> None:
        """Each person's largest inner products, without ever storing all of them."""
        ...

    def select_rows(
        self,
        scores: Floats,  # (rows, n)
        indptr: Offsets,  # (rows + 1,) of the excluded columns
        excluded: Indices,  # ascending within a row
        best_items: Indices,  # (rows, limit) out
        best_scores: Floats,  # (rows, limit) out
        threads: int,
        /,
    ) -> None:
        """Each row's largest finite scores."""
        ...

    def neighbours(
        self,
        item_indptr: Offsets,  # (n_items + 1,)
        users: Indices,
        item_values: Floats,
        user_indptr: Offsets,  # (n_users + 1,) the same matrix by rows
        items: Indices,
        user_values: Floats,
        best_items: Indices,  # (n_items, limit) out
        best_scores: Floats,  # (n_items, limit) out
        threads: int,
        /,
    ) -> None:
        """The largest positive inner products of each column with the other columns."""
        ...

    def rank_neighbours(
        self,
        indptr: Offsets,  # (people + 1,)
        items: Indices,  # ascending within a row
        weights: Floats,
        neighbours: Indices,  # (n_items, per_item), -1 ends a list
        similarities: Floats,  # (n_items, per_item)
        exclude_seen: int,
        best_items: Indices,  # (people, limit) out
        best_scores: Floats,  # (people, limit) out
        threads: int,
        /,
    ) -> None:
        """The largest sums of weight x similarity over each person's touches."""
        ...

    def blend(
        self,
        items: Indices,  # (parts, people, depth); an item occurs once in a row
        scores: Floats,  # (parts, people, depth), descending; only positive ones count
        weights: Floats,  # (parts,)
        n_items: int,
        indptr: Offsets,  # (people + 1,) of the excluded items
        excluded: Indices,  # ascending within a row
        best_items: Indices,  # (people, limit) out
        best_scores: Floats,  # (people, limit) out
        sources: NDArray[np.int8],  # (people, limit) out, -1 where there is no item
        threads: int,
        /,
    ) -> None:
        """Each person's items with the largest sums of shares, and the part that gave most.

        A share is the part's weight times the score's share of the first score in its row.
        """
        ...

    def most_allowed(
        self,
        scores: Floats,  # (n,)
        allowed: Mask,  # (n,)
        /,
    ) -> float:
        """The greatest allowed score; 0 where none is above 0."""
        ...

    def best_allowed(
        self,
        scores: Floats,  # (n,)
        allowed: Mask,  # (n,)
        best_items: Indices,  # (limit,) out
        best_scores: Floats,  # (limit,) out
        /,
    ) -> None:
        """The largest scores that are allowed and finite, -1 behind them."""
        ...

    def add_opinion(
        self,
        scores: Floats,  # (n,)
        allowed: Mask,  # (n,)
        weight: float,
        total: Floats,  # (n,) added to
        /,
    ) -> float:
        """Adds each positive score, scaled so that the best allowed one counts the weight, and
        gives the scale; 0 where no allowed score is above 0."""
        ...

    def spread(
        self,
        relevance: Floats,  # (candidates,)
        starts: Offsets,  # (candidates,) where the sparse vector of each begins
        ends: Offsets,  # (candidates,)
        indices: Indices,
        values: Floats,  # each vector has length 1, or 0
        columns: int,
        diversity: float,
        chosen: Indices,  # (places,) out, positions among the candidates
        /,
    ) -> None:
        """Each place maximises (1 - diversity) relevance, scaled to the best, less diversity x the
        likeness to the nearest of those before it."""
        ...

    def main_reasons(
        self,
        given: Floats,  # (touches, places)
        order: Indices,  # (places, named) out
        shares: Floats,  # (places, named) out
        /,
    ) -> None:
        """Of each place the touches with the greatest shares of what is positive, greatest first,
        ties to the earlier."""
        ...

    def add_neighbours(
        self,
        touched: Indices,  # (touches,)
        weights: Floats,
        neighbours: Indices,  # (n_items, per_item), -1 ends a list
        similarities: Floats,  # (n_items, per_item)
        scores: Floats,  # (n_items,) added to
        /,
    ) -> None:
        """Adds weight x similarity of each touched item's neighbours."""
        ...

    def neighbour_parts(
        self,
        touched: Indices,  # (touches,)
        weights: Floats,
        neighbours: Indices,  # (n_items, per_item), -1 ends a list
        similarities: Floats,  # (n_items, per_item)
        items: Indices,  # (places,)
        parts: Floats,  # (touches, places) out
        /,
    ) -> None:
        """What each touch adds to the items' scores by `add_neighbours`."""
        ...

"""The kernels in NumPy: the same results to rounding where nothing could be compiled.

`interface.Kernels` describes each; the threads asked for are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from nextup.algorithms.native.twins_lists import (
    add_neighbours,
    add_opinion,
    best_allowed,
    main_reasons,
    most_allowed,
    neighbour_parts,
    spread,
)
from nextup.algorithms.native.twins_sparse import (
    BLOCK_FLOATS,
    blend,
    check_indices,
    neighbours,
    rank_neighbours,
    row_numbers,
    select_block,
    select_rows,
    transpose,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.algorithms.native.interface import Floats, Indices, Offsets

__all__ = [
    "add_neighbours",
    "add_opinion",
    "best_allowed",
    "blend",
    "diagonalise",
    "gram",
    "instruction_set",
    "main_reasons",
    "most_allowed",
    "neighbour_parts",
    "neighbours",
    "rank",
    "rank_neighbours",
    "rotate",
    "score",
    "select_rows",
    "solve_row",
    "solve_rows",
    "spread",
    "to_pairs",
    "trace",
    "transpose",
]


def instruction_set() -> str:
    """Say that these are the twins."""
    return "numpy"


def solve_rows(
    indptr: Offsets,
    indices: Indices,
    weights: Floats,
    targets: Floats,
    target_offset: float,
    fixed: Floats,
    dense: Floats,
    ridge: Floats,
    jacobi: int,
    steps: int,
    tolerance: float,
    reach: float,
    rounded: int,
    solutions: Floats,
    _threads: int,
) -> None:
    """Preconditioned conjugate gradients for many rows at once."""
    check_indices(indices, len(fixed))
    if rounded:
        fixed = to_pairs(fixed)
    for rows, touches in _row_blocks(indptr, fixed.shape[1]):
        solutions[rows] = _solve_block(
            indptr[rows.start : rows.stop + 1] - touches.start,
            indices[touches],
            weights[touches],
            targets[touches] + np.float32(target_offset),
            fixed,
            dense + ridge[rows, None],
            bool(jacobi),
            steps,
            tolerance,
            reach,
            solutions[rows],
        )


def to_pairs(vectors: Floats) -> Floats:
    """Rounded as pairs of bfloat16 are: factor i of each 32 in a word's upper half, i + 16 below.

    A pair's upper number is read with the lower one in its tail and rounded accordingly.
    """
    n, width = vectors.shape
    bits = np.zeros((n, -(-width // 32), 2, 16), np.uint32)
    bits.reshape(n, -1)[:, :width] = vectors.view(np.uint32)
    upper, lower = bits[:, :, 0], bits[:, :, 1]
    lower += np.uint32(0x8000)
    lower &= np.uint32(0xFFFF0000)
    tail = lower >> np.uint32(16)
    sign, size = upper & np.uint32(0x80000000), upper & np.uint32(0x7FFFFFFF)
    nearest = (size + np.uint32(0x8000) - tail) & np.uint32(0x7FFF0000)
    nearest[size < np.uint32(0x01000000)] = 0  # below it the tail would be all there is
    upper[:] = sign | nearest | tail
    return np.ascontiguousarray(bits.view(np.float32).reshape(n, -1)[:, :width])


def _solve_block(
    indptr: Offsets,
    indices: Indices,
    weights: Floats,
    targets: Floats,
    fixed: Floats,
    shared: Floats,  # (rows, width): the diagonal part of each row's matrix
    jacobi: bool,
    steps: int,
    tolerance: float,
    reach: float,
    start: Floats,
) -> Floats:
    row_of = row_numbers(indptr)  # (nnz,)
    vectors = fixed[indices]  # (nnz, width)

    def along(p: Floats) -> Floats:  # y_j' p_u for each touch
        return _row_dots(vectors, p[row_of])

    def spread(coefficients: Floats, onto: Floats) -> Floats:  # sum_j c_j y_j for each row
        matrix = csr_matrix((coefficients, indices, indptr), shape=(len(shared), len(onto)))
        return np.asarray(matrix @ onto, np.float32)

    start = np.where(np.diff(indptr)[:, None] > 0, start, 0)  # (rows, width)
    x = start.copy()
    residual = spread(targets - weights * along(x), fixed) - shared * x
    diagonal = shared + spread(weights, fixed * fixed) if jacobi else shared
    scale = np.divide(1, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)
    direction = scale * residual
    energy = _row_dots(residual, direction)  # r' M^-1 r
    enough = energy * np.float32(tolerance) ** 2
    for step in range(1, steps + 1):
        image = spread(weights * along(direction), fixed) + shared * direction  # A p
        curvature = _row_dots(direction, image)
        going = (energy > 0) & (curvature > 0)
        length = np.divide(energy, curvature, out=np.zeros_like(energy), where=going)[:, None]
        x += length * direction
        if step == steps:
            break
        residual -= length * image
        before = energy
        energy = np.where(going, _row_dots(residual, scale * residual), 0)
        energy[energy <= enough] = 0  # this row has arrived
        if not energy.any():
            break
        keep = np.divide(energy, before, out=np.zeros_like(energy), where=before > 0)[:, None]
        direction = np.where(energy[:, None] > 0, scale * residual + keep * direction, 0)
    return x + np.float32(reach - 1) * (x - start)


def solve_row(
    indices: Indices,
    weights: Floats,
    target_offset: float,
    fixed: Floats,
    dense: Floats,
    ridge: float,
    steps: int,
    tolerance: float,
    solution: Floats,
) -> None:
    """One row by the same steps."""
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("a weight is not a positive, finite number")
    solve_rows(
        np.array([0, len(indices)], np.int64),
        indices,
        weights,
        weights,
        target_offset,
        fixed,
        dense,
        np.array([ridge], np.float32),
        0,
        steps,
        tolerance,
        1.0,
        0,
        solution[None],
        1,
    )


def gram(vectors: Floats, products: Floats, _threads: int) -> None:
    """BLAS computes a half."""
    np.matmul(vectors.T, vectors, out=products)


def diagonalise(products: Floats, size: int, basis: Floats, values: Floats) -> None:
    """LAPACK's way; a vector's sign is nobody's."""
    inner = slice(size)
    ascending, vectors = np.linalg.eigh(products[inner, inner].astype(np.float64))
    values[inner] = np.maximum(ascending[::-1], 0)
    basis[inner, inner] = vectors[:, ::-1]


def rotate(basis: Floats, vectors: Floats, _threads: int) -> None:
    """In blocks, so that no second matrix is needed."""
    size = max(1, BLOCK_FLOATS // vectors.shape[1])
    for first in range(0, len(vectors), size):
        vectors[first : first + size] = vectors[first : first + size] @ basis


def score(vectors: Floats, query: Floats, scores: Floats, _threads: int) -> None:
    """One product."""
    np.matmul(vectors, query, out=scores)


def trace(
    vectors: Floats,
    touched: Indices,
    weights: Floats,
    target_offset: float,
    dense: Floats,
    ridge: float,
    items: Indices,
    parts: Floats,
) -> None:
    """One dense system in double precision."""
    check_indices(touched, len(vectors))
    check_indices(items, len(vectors))
    own = vectors[touched].astype(np.float64)  # (h, width)
    system = (own.T * weights) @ own + np.diag(dense.astype(np.float64) + ridge)
    absent = np.diag(system) <= 0  # what is padding
    system[absent, absent] = 1.0
    answers = np.linalg.solve(system, vectors[items].T.astype(np.float64))  # (width, m)
    parts[:] = (own @ answers) * (weights.astype(np.float64) + target_offset)[:, None]


def rank(
    queries: Floats,
    items: Floats,
    _norms: Floats,
    ids: Indices,
    indptr: Offsets,
    excluded: Indices,
    best_items: Indices,
    best_scores: Floats,
    _threads: int,
) -> None:
    """Blocks of people through a matrix product."""
    absent = np.ones(len(items), bool)
    absent[ids] = False
    size = max(1, BLOCK_FLOATS // max(1, len(items)))
    for first in range(0, len(queries), size):
        rows = slice(first, min(first + size, len(queries)))
        scores = queries[rows] @ items.T  # (people, n_items)
        scores[:, absent] = -np.inf
        select_block(scores, rows, indptr, excluded, best_items, best_scores)


def _row_blocks(indptr: Offsets, width: int) -> Iterator[tuple[slice, slice]]:
    """Runs of rows, and their touches, whose vectors fit into a block; at least one row each."""
    most = max(1, BLOCK_FLOATS // width)
    first, rows = 0, len(indptr) - 1
    while first < rows:
        last = int(np.searchsorted(indptr, indptr[first] + most, side="right")) - 1
        last = min(max(last, first + 1), first + most)
        yield slice(first, last), slice(int(indptr[first]), int(indptr[last]))
        first = last


def _row_dots(a: Floats, b: Floats) -> Floats:
    products: Floats = np.einsum("nk,nk->n", a, b)
    return products

"""The inverse of a large symmetric positive definite matrix, in place and without LAPACK.

LAPACK's multi-threaded Cholesky, as shipped with NumPy, crashes beyond about 12,000 rows. Here
only blocks of a thousand rows are factorised; everything else is matrix products, which do not
crash, run on all threads, and need no memory beside the matrix but two thin panels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.components import Progress


def invert_in_place(
    matrix: NDArray[np.floating], *, block: int = 1024, progress: Progress | None = None
) -> None:
    """Replace a symmetric positive definite matrix by its inverse.

    Works on the lower triangle by the sweep operator, a block of rows at a time: n^3 operations
    in all. Raises InvalidInput for a matrix that is not positive definite (or has a NaN); its
    content is then lost.
    """
    n = len(matrix)
    for start in range(0, n, block):
        _sweep(matrix, start, min(start + block, n), block)
        if progress is not None:
            progress(min(start + block, n), n)
    for start in range(0, n, block):  # the sweeps leave the negative inverse, lower half only
        stop = min(start + block, n)
        rows = matrix[start:stop]
        np.negative(rows[:, :stop], out=rows[:, :stop])
        matrix[:start, start:stop] = rows[:, :start].T
        square = rows[:, start:stop]
        square[:] = np.tril(square) + np.tril(square, -1).T


def _sweep(matrix: NDArray[np.floating], start: int, stop: int, block: int) -> None:
    n = len(matrix)
    square = matrix[start:stop, start:stop]
    pivot = _small_inverse(np.tril(square) + np.tril(square, -1).T).astype(matrix.dtype)  # (b, b)
    panel = np.concatenate([matrix[start:stop, :start].T, square, matrix[stop:, start:stop]])
    scaled = panel @ pivot  # (n, b)
    for first in range(0, n, block):
        last = min(first + block, n)
        if first == start:
            continue  # the pivot rows are replaced as a whole below
        matrix[first:last, :last] -= scaled[first:last] @ panel[:last].T
        if first > start:
            matrix[first:last, start:stop] = scaled[first:last]
    matrix[start:stop, :start] = scaled[:start].T
    matrix[start:stop, start:stop] = -pivot


def _small_inverse(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    try:
        factor = linalg.cho_factor(matrix.astype(np.float64), lower=True)
    except (linalg.LinAlgError, ValueError) as error:
        raise InvalidInput(
            "The matrix to invert is not positive definite.",
            cure="Raise the regularisation.",
        ) from error
    return np.asarray(linalg.cho_solve(factor, np.eye(len(matrix))), np.float64)

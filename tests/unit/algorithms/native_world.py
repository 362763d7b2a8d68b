"""What the tests of the compiled kernels and their twins share."""

from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms import native
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.native import twins

compiled = native.compiled()
needs_compiled = pytest.mark.skipif(compiled is None, reason="the kernels were not compiled")
both = pytest.mark.parametrize(
    "kernels", [pytest.param(compiled, marks=needs_compiled, id="compiled"), twins]
)


def random_matrix(rows: int, columns: int, nnz: int, seed: int) -> native.Sparse:
    rng = np.random.default_rng(seed)
    touches = Interactions.from_pairs(
        rng.integers(0, rows, nnz),
        rng.integers(0, columns, nnz),
        rng.uniform(0.2, 3, nnz),
        n_users=rows,
        n_items=columns,
    )
    return native.Sparse.of(touches)


def solved_by(
    kernels,
    matrix,
    fixed,
    threads=2,
    jacobi=0,
    steps=2,
    tolerance=0.0,
    offset=0.0,
    reach=1.0,
    rounded=0,
):
    rng = np.random.default_rng(1)
    solutions = rng.standard_normal((matrix.rows, fixed.shape[1])).astype(np.float32)
    dense = np.linspace(2, 0, fixed.shape[1], dtype=np.float32)
    ridge = np.linspace(0.5, 1.5, matrix.rows, dtype=np.float32)
    kernels.solve_rows(
        *matrix[:3], matrix.values, offset, fixed, dense, ridge,
        jacobi, steps, tolerance, reach, rounded, solutions, threads,
    )  # fmt: skip
    return solutions


def vectors(n: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32) * 0.3

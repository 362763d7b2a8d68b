"""Least squares for many rows: the compiled kernel, its twin, and a dense solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.algorithms.native_world import (
    both,
    compiled,
    needs_compiled,
    random_matrix,
    solved_by,
    vectors,
)

from nextup.algorithms import native
from nextup.algorithms.native import twins


@both
@pytest.mark.parametrize("jacobi", [0, 1])
@pytest.mark.parametrize("width", [16, 48, 128])
def test_enough_steps_solve_every_row_exactly(kernels, jacobi, width):
    """With steps to spare the answer is that of a dense solver; rows without touches are zero."""
    matrix = random_matrix(30, 20, 200, seed=4)._replace(columns=20)
    fixed = vectors(20, width)
    found = solved_by(kernels, matrix, fixed, jacobi=jacobi, steps=300, tolerance=1e-7, offset=0.25)
    dense = np.diag(np.linspace(2, 0, width))
    ridge = np.linspace(0.5, 1.5, matrix.rows)
    for row in range(matrix.rows):
        touched = slice(matrix.indptr[row], matrix.indptr[row + 1])
        y = fixed[matrix.indices[touched]].astype(np.float64)
        w = matrix.values[touched].astype(np.float64)
        system = dense + ridge[row] * np.eye(width) + (y.T * w) @ y
        right = np.linalg.solve(system, y.T @ (w + 0.25)) if len(w) else np.zeros(width)
        assert found[row] == pytest.approx(right, abs=1e-5)


@needs_compiled
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("jacobi", [0, 1])
@pytest.mark.parametrize("shape", [(50, 30, 400), (3, 4000, 9000), (1, 1, 1)])
@pytest.mark.parametrize("rounded", [0, 1])
def test_a_few_steps_are_the_same_steps(steps, jacobi, shape, rounded):
    """Compiled kernel and twin agree after any number of steps, long rows included."""
    matrix = random_matrix(*shape, seed=5)
    fixed = vectors(shape[1], 64)
    ours, twin = (
        solved_by(kernels, matrix, fixed, jacobi=jacobi, steps=steps, reach=1.7, rounded=rounded)
        for kernels in (compiled, twins)
    )
    assert ours == pytest.approx(twin, abs=2e-5)


@both
def test_reach_goes_on_past_what_was_found(kernels):
    """From where each row started, so many times as far; a row without touches stays zero."""
    matrix = random_matrix(40, 50, 120, seed=9)
    fixed = vectors(50, 32)
    start, found, beyond = (
        solved_by(kernels, matrix, fixed, steps=steps, reach=reach)
        for steps, reach in ((2, 0.0), (2, 1.0), (2, 1.7))
    )
    touched = np.diff(matrix.indptr) > 0
    assert not touched.all()
    assert beyond == pytest.approx(start + 1.7 * (found - start), abs=1e-5)
    assert not beyond[~touched].any()
    assert np.abs(beyond - found)[touched].max() > 0.1


@needs_compiled
@pytest.mark.parametrize("rounded", [0, 1])
def test_a_row_longer_than_the_cache_is_solved_like_any_other(rounded):
    """A row whose vectors do not fit into the cache gets the twin's answer."""
    matrix = random_matrix(2, 3000, 12000, seed=6)
    fixed = vectors(3000, 256)
    ours, twin = (
        solved_by(kernels, matrix, fixed, rounded=rounded) for kernels in (compiled, twins)
    )
    assert ours == pytest.approx(twin, abs=5e-5)


@both
@pytest.mark.parametrize("width", [16, 32, 48, 256])
def test_rounded_vectors_cost_half_a_percent(kernels, width):
    """Solutions from rounded vectors are near those from exact ones, zeros included."""
    matrix = random_matrix(40, 50, 900, seed=4)
    fixed = vectors(50, width)
    fixed[3, ::3] = 0
    fixed[4] = 0
    exact, near = (solved_by(kernels, matrix, fixed, rounded=rounded) for rounded in (0, 1))
    assert not np.array_equal(exact, near)
    assert np.linalg.norm(exact - near) < 0.005 * np.linalg.norm(exact)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(-(2.0**120), 2.0**120, width=32, allow_subnormal=False), min_size=1))
def test_pairs_lose_a_256th_at_most(numbers):
    """Each number survives to bfloat16's precision, whatever shares a word with it."""
    row = np.zeros((1, native.padded_width(len(numbers))), np.float32)
    row[0, : len(numbers)] = numbers
    assert twins.to_pairs(row) == pytest.approx(row, rel=1 / 256, abs=1e-37)


@needs_compiled
def test_threads_do_not_change_solutions():
    """Rows are solved alone, so one thread and five give the same bits."""
    matrix = random_matrix(500, 60, 4000, seed=7)
    fixed = vectors(60, 32)
    one, five = (solved_by(compiled, matrix, fixed, threads=threads) for threads in (1, 5))
    assert np.array_equal(one, five)


@both
def test_one_row_is_solved_like_many(kernels):
    """The short way for one row gives what the long way gives."""
    matrix = random_matrix(1, 40, 25, seed=8)
    fixed = vectors(40, 64)
    dense = np.linspace(2, 0, 64, dtype=np.float32)
    one, many = np.zeros(64, np.float32), np.zeros((1, 64), np.float32)
    kernels.solve_row(matrix.indices, matrix.values, 0.5, fixed, dense, 0.7, 90, 1e-6, one)
    kernels.solve_rows(
        *matrix[:3], matrix.values, 0.5, fixed, dense, np.full(1, 0.7, np.float32), 0, 90, 1e-6,
        1.0, 0, many, 1,
    )  # fmt: skip
    assert one == pytest.approx(many[0], abs=1e-6)

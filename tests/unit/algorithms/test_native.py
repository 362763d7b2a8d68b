from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def transposed_by(kernels, matrix: native.Sparse, threads: int):
    nnz = len(matrix.indices)
    out = np.empty(matrix.columns + 1, np.int64), np.empty(nnz, np.int32), np.empty(nnz, np.float32)
    kernels.transpose(*matrix[:3], *out, threads)
    return out


def ranked_by(kernels, queries, items, seen, limit, threads=2):
    norms = np.linalg.norm(items, axis=1)
    ids = np.argsort(-norms, kind="stable").astype(np.int32)
    best = np.empty((len(queries), limit), np.int32), np.empty((len(queries), limit), np.float32)
    kernels.rank(queries, items, norms[ids], ids, seen.indptr, seen.indices, *best, threads)
    return best


def large_catalogue():
    """So many items that most are dropped by their bounds alone; no two scores are near."""
    rng = np.random.default_rng(5)
    people, items = vectors(70, 48, seed=6), vectors(3000, 48, seed=7)
    items *= rng.lognormal(0, 0.5, (3000, 1)).astype(np.float32)
    return people, items, random_matrix(70, 3000, 2000, seed=8)


def test_the_backend_says_its_name():
    """What does the work is known by name, and is the compiled module where it was built."""
    assert native.backend() in {"avx512", "avx2", "neon", "plain", "numpy"}
    if compiled is not None and os.environ.get("NEXTUP_NATIVE") != "0":
        assert native.backend() == compiled.instruction_set()


def test_the_twins_can_be_forced():
    """NEXTUP_NATIVE=0 makes NumPy do the work, whatever was compiled."""
    code = "from nextup.algorithms import native; print(native.backend())"
    environment = os.environ | {"NEXTUP_NATIVE": "0"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "numpy"


@needs_compiled
@pytest.mark.parametrize("instruction_set", ["widest", "avx512", "avx2", "plain"])
def test_every_instruction_set_gives_the_same(instruction_set, tmp_path):
    """Each copy of the kernels that this CPU can run agrees with the twins."""
    code = """if True:
        import numpy as np, sys
        from tests.unit.algorithms import test_native as t
        from nextup.algorithms import native
        matrix, fixed = t.random_matrix(90, 70, 1500, seed=2), t.vectors(70, 48)
        solved = t.solved_by(native.kernels, matrix, fixed, jacobi=1)
        items, scores = t.ranked_by(native.kernels, solved, fixed, matrix, 20)
        many_people, many_items, seen = t.large_catalogue()
        ranked, best = t.ranked_by(native.kernels, many_people, many_items, seen, 10)
        values, basis = np.zeros(48, np.float32), np.zeros((48, 48), np.float32)
        rounded = t.solved_by(native.kernels, matrix, fixed, rounded=1)
        products = np.empty((48, 48), np.float32)
        native.kernels.gram(fixed, products, 2)
        native.kernels.diagonalise(products, 45, basis, values)
        native.kernels.rotate(products, fixed, 2)
        sums = np.empty(70, np.float32)
        native.kernels.score(fixed, products[0], sums, 2)
        np.savez(
            sys.argv[1], solved=solved, rounded=rounded, turned=fixed, sums=sums, scores=scores,
            ranked=ranked, best=best, values=values, basis=basis, name=native.backend(),
        )
        """
    environment = os.environ | {"NEXTUP_NATIVE": instruction_set}
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", code, tmp_path / "out.npz"]
    subprocess.run(command, env=environment, cwd=root, check=True)
    found = np.load(tmp_path / "out.npz")
    if instruction_set not in {"widest", str(found["name"])}:
        pytest.skip(f"this CPU has no {instruction_set}")
    matrix, fixed = random_matrix(90, 70, 1500, seed=2), vectors(70, 48)
    solved = solved_by(twins, matrix, fixed, jacobi=1)
    assert found["solved"] == pytest.approx(solved, abs=2e-5)
    rounded = solved_by(twins, matrix, fixed, rounded=1)
    assert found["rounded"] == pytest.approx(rounded, abs=2e-5)
    products = fixed.T @ fixed
    turned = found["basis"].T @ products @ found["basis"]
    assert turned == pytest.approx(np.diag(found["values"]), abs=1e-4)
    many_people, many_items, seen = large_catalogue()
    ranked, best = ranked_by(twins, many_people, many_items, seen, 10)
    assert np.array_equal(found["ranked"], ranked)
    assert found["best"] == pytest.approx(best, rel=1e-5)
    assert found["turned"] == pytest.approx(fixed @ products, rel=1e-4, abs=1e-4)
    assert found["sums"] == pytest.approx(found["turned"] @ products[0], rel=1e-4, abs=1e-3)
    scores = ranked_by(twins, found["solved"], fixed, matrix, 20)[1]
    assert found["scores"] == pytest.approx(scores, abs=2e-5)


@both
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("shape", [(1, 1, 1), (40, 7, 0), (60, 9, 300), (5, 50, 100)])
def test_transposing_gives_the_columns_in_row_order(kernels, threads, shape):
    """Every column holds its touches by ascending row, whatever the number of threads."""
    matrix = random_matrix(*shape, seed=3)
    indptr, indices, values = transposed_by(kernels, matrix, threads)
    dense = np.zeros((matrix.rows, matrix.columns), np.float32)
    dense[np.repeat(np.arange(matrix.rows), np.diff(matrix.indptr)), matrix.indices] = matrix.values
    column, row = np.nonzero(dense.T)
    assert np.array_equal(np.repeat(np.arange(matrix.columns), np.diff(indptr)), column)
    assert np.array_equal(indices, row)
    assert np.array_equal(values, dense.T[column, row])


@both
@pytest.mark.parametrize("width", [16, 48, 64, 112])
@pytest.mark.parametrize("rows", [1, 7, 130, 5000])
def test_dense_products_are_those_of_numpy(kernels, rows, width):
    """Gram matrix, rotation and scores of tall matrices, the last incomplete tiles included."""
    tall, basis = vectors(rows, width), vectors(width, width, seed=1)
    products, scores = np.empty((width, width), np.float32), np.empty(rows, np.float32)
    kernels.gram(tall, products, 2)
    assert products == pytest.approx(tall.T.astype(float) @ tall, rel=1e-4, abs=1e-3)
    assert np.array_equal(products, products.T)
    kernels.score(tall, basis[0], scores, 2)
    assert scores == pytest.approx(tall @ basis[0], abs=1e-5)
    turned = tall.copy()
    kernels.rotate(basis, turned, 2)
    assert turned == pytest.approx(tall @ basis, abs=1e-4)


@needs_compiled
def test_threads_do_not_change_dense_products():
    """The sum behind a Gram matrix has the same order on one thread and on five."""
    tall = vectors(9000, 48)
    found = np.empty((2, 48, 48), np.float32)
    for products, threads in zip(found, (1, 5), strict=True):
        compiled.gram(tall, products, threads)
    assert np.array_equal(*found)


@needs_compiled
@settings(deadline=None, max_examples=60)
@given(
    people=st.integers(1, 150),
    n_items=st.integers(1, 400),
    width=st.sampled_from([16, 32, 80]),
    limit=st.integers(1, 40),
    spread=st.sampled_from([0.0, 1.0, 3.0]),
    seed=st.integers(0, 1000),
)
def test_ranking_agrees_with_its_twin(people, n_items, width, limit, spread, seed):
    """Products small enough to be exact rank the same in both, ties and exclusions included."""
    rng = np.random.default_rng(seed)
    queries = rng.integers(-2, 3, (people, width)).astype(np.float32)
    items = rng.integers(-2, 3, (n_items, width)).astype(np.float32)
    items *= np.round(2 ** rng.normal(0, spread, (n_items, 1))).astype(np.float32)
    seen = random_matrix(people, n_items, people * 3, seed)
    ours = ranked_by(compiled, queries, items, seen, limit)
    twin = ranked_by(twins, queries, items, seen, limit)
    assert np.array_equal(ours[0], twin[0])
    assert np.array_equal(ours[1], twin[1])


@needs_compiled
@settings(deadline=None, max_examples=25)
@given(
    n_items=st.integers(500, 4000),
    limit=st.integers(1, 30),
    distinct=st.sampled_from([1, 3, 50, 4000]),
    seed=st.integers(0, 1000),
)
def test_ranking_many_items_agrees_with_its_twin(n_items, limit, distinct, seed):
    """Lists are exact where most items are dropped unscored, even where many score the same."""
    rng = np.random.default_rng(seed)
    queries = rng.integers(-40, 41, (9, 32)).astype(np.float32)
    queries[0] = 0
    items = rng.integers(-40, 41, (distinct, 32)).astype(np.float32)
    items = items[rng.integers(0, distinct, n_items)]
    seen = random_matrix(9, n_items, 900, seed)
    ours = ranked_by(compiled, queries, items, seen, limit)
    twin = ranked_by(twins, queries, items, seen, limit)
    assert np.array_equal(ours[0], twin[0])
    assert np.array_equal(ours[1], twin[1])


@both
@pytest.mark.parametrize(("touches", "items", "width"), [(1, 1, 16), (7, 60, 64), (200, 33, 48)])
def test_a_score_is_traced_to_touches(kernels, touches: int, items: int, width: int):
    """Each touch's part as dense algebra has it; the parts of an item add up to the product of
    its vector with the folded-in person's."""
    rng = np.random.default_rng(touches)
    every = vectors(300, width)
    every[:, width - 5 :] = 0  # as padding is
    dense = np.linspace(3, 0.1, width, dtype=np.float32)
    touched = rng.choice(300, touches, replace=False).astype(np.int32)
    wanted = rng.choice(300, items, replace=False).astype(np.int32)
    weights = rng.uniform(0.1, 5, touches).astype(np.float32)
    parts = np.empty((touches, items), np.float32)
    kernels.trace(every, touched, weights, 1.0, dense, 0.3, wanted, parts)
    own = every[touched].astype(float)
    system = (own.T * weights) @ own + np.diag(dense.astype(float) + 0.3)
    expected = (own @ np.linalg.solve(system, every[wanted].T.astype(float))) * (
        weights[:, None] + 1
    )
    np.testing.assert_allclose(parts, expected, rtol=1e-3, atol=2e-5)
    person = np.zeros(width, np.float32)
    kernels_of = compiled or twins
    kernels_of.solve_row(touched, weights, 1.0, every, dense, 0.3, 200, 1e-7, person)
    np.testing.assert_allclose(parts.sum(axis=0), every[wanted] @ person, rtol=1e-3, atol=1e-4)


@both
def test_ranking_leaves_out_scores_that_are_no_numbers(kernels):
    """An infinite or missing factor costs its item the place, nobody else theirs."""
    queries, items = vectors(3, 16), vectors(700, 16, seed=1)
    items[5], items[6, 3], items[7, 2] = np.nan, np.inf, -np.inf
    nobody = native.Sparse(np.zeros(4, np.int64), np.zeros(0, np.int32), np.zeros(0), 700)
    ranked, scores = ranked_by(kernels, queries, items, nobody, 12)
    sound = np.delete(np.arange(700), [5, 6, 7])
    expected = np.sort(queries @ items[sound].T, axis=1)[:, ::-1][:, :12]
    assert scores == pytest.approx(expected, rel=1e-5)
    assert np.isin(ranked, sound).all()


@both
@pytest.mark.parametrize("size", [1, 2, 3, 16, 33, 100])
@pytest.mark.parametrize("kind", ["full", "few rows", "graded", "diagonal"])
def test_a_gram_matrix_is_diagonal_in_its_basis(kernels, size, kind):
    """Basis and values are eigenvectors and eigenvalues, the largest first; padding stays zero."""
    tall = vectors(2 if kind == "few rows" else 3 * size, size).astype(float)
    if kind == "graded":
        tall *= np.logspace(0, -4, size)
    if kind == "diagonal":
        tall = np.diag(np.arange(float(size)))
    width = native.padded_width(size)
    products, basis = np.zeros((width, width), np.float32), np.zeros((width, width), np.float32)
    values = np.zeros(width, np.float32)
    products[:size, :size] = tall.T @ tall
    kernels.diagonalise(products, size, basis, values)
    turned = basis.T.astype(float) @ products @ basis
    assert turned == pytest.approx(np.diag(values), abs=1e-6 * max(float(values[0]), 1e-6))
    assert basis[:size, :size].T @ basis[:size, :size] == pytest.approx(np.eye(size), abs=1e-5)
    assert (np.diff(values) <= 0).all()
    assert not basis[size:].any()
    assert not basis[:, size:].any()


@both
def test_what_is_not_finite_has_no_basis(kernels):
    """A Gram matrix with NaN is refused."""
    products = np.full((16, 16), np.nan, np.float32)
    with pytest.raises(ValueError, match=r"finite|converge"):
        kernels.diagonalise(products, 16, np.zeros_like(products), np.zeros(16, np.float32))


@needs_compiled
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(1, 12), st.integers(0, 500))
def test_neighbours_agree_with_their_twin(people, n_items, limit, seed):
    """Neighbour lists and the rankings made from them are the same in both."""
    matrix = random_matrix(people, n_items, people * 4, seed)
    matrix = matrix._replace(values=np.ceil(matrix.values))  # sums of whole numbers are exact
    other = matrix.transposed(2)
    found = []
    for kernels in (compiled, twins):
        lists = np.empty((n_items, limit), np.int32), np.empty((n_items, limit), np.float32)
        kernels.neighbours(*other[:3], *matrix[:3], *lists, 2)
        best = np.empty((people, 7), np.int32), np.empty((people, 7), np.float32)
        for exclude in (0, 1):
            kernels.rank_neighbours(*matrix[:3], *lists, exclude, *best, 2)
            found.append([array.copy() for array in (*lists, *best)])
    for ours, twin in ((found[0], found[2]), (found[1], found[3])):
        assert all(np.array_equal(a, b) for a, b in zip(ours, twin, strict=True))


@needs_compiled
@settings(deadline=None, max_examples=60)
@given(
    people=st.integers(0, 40),
    n_items=st.integers(1, 90),
    depth=st.integers(1, 30),
    limit=st.integers(1, 30),
    seed=st.integers(0, 500),
)
def test_a_blend_agrees_with_its_twin(people, n_items, depth, limit, seed):
    """Sums, ties and who gave most, with rankings that end early and items that may not be."""
    rng = np.random.default_rng(seed)
    shape = 3, people, min(depth, n_items)
    items = rng.random((3, people, n_items)).argsort(axis=2)[..., : shape[2]].astype(np.int32)
    scores = -np.sort(-np.round(rng.normal(1, 1.5, shape), 1)).astype(np.float32)
    items[scores < 0], scores[scores < 0] = -1, -np.inf
    weights = np.array([0.5, 0.25, 1e-3], np.float32)
    excluded = random_matrix(max(people, 1), n_items, people * 3, seed)
    found = []
    for kernels in (compiled, twins):
        best = [np.empty((people, limit), kind) for kind in (np.int32, np.float32, np.int8)]
        bounds = excluded.indptr[: people + 1]
        kernels.blend(
            items, scores, weights, n_items, bounds, excluded.indices[: bounds[-1]], *best, 2
        )
        found.append(best)
    for ours, twin in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, twin)


@both
def test_a_blend_refuses_what_is_no_item(kernels):
    """Below a positive score only: what fills a short ranking is no item either."""
    items, scores = np.array([[[0, 9]]], np.int32), np.array([[[2, 1]]], np.float32)
    nothing = np.zeros(2, np.int64), np.zeros(0, np.int32)
    best = np.empty((1, 2), np.int32), np.empty((1, 2), np.float32), np.empty((1, 2), np.int8)
    weights = np.ones(1, np.float32)
    with pytest.raises(ValueError, match="out of range"):
        kernels.blend(items, scores, weights, 9, *nothing, *best, 1)
    scores[..., 1] = -np.inf
    kernels.blend(items, scores, weights, 9, *nothing, *best, 1)
    assert best[0].tolist() == [[0, -1]]
    assert best[2].tolist() == [[0, -1]]


@needs_compiled
@pytest.mark.parametrize("limit", [1, 90, 600, 5000])
@pytest.mark.parametrize("kind", ["spread", "ties", "few", "misleading", "no numbers"])
def test_the_best_of_a_long_row_agree_with_their_twin(kind, limit):
    """Where a sample of the row tells what is worth a look, and where it tells too much."""
    rng = np.random.default_rng(limit)
    scores = rng.exponential(size=(4, 9000)).astype(np.float32)
    if kind == "ties":
        scores = np.round(scores)
    elif kind == "few":
        scores[:, rng.random(9000) < 0.95] = -np.inf
    elif kind == "misleading":  # whatever the sample meets is large
        scores[:, ::8] += 100
    elif kind == "no numbers":
        scores[:, ::3], scores[:, 1::3] = np.nan, np.inf
    seen = random_matrix(4, 9000, 2000, seed=limit)
    found = []
    for kernels in (compiled, twins):
        best = np.empty((4, limit), np.int32), np.empty((4, limit), np.float32)
        kernels.select_rows(scores, seen.indptr, seen.indices, *best, 2)
        found.append(best)
    for ours, twin in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, twin)


@both
def test_indices_out_of_range_are_refused(kernels):
    """An index beyond the catalogue is an error, never a read of foreign memory."""
    matrix = random_matrix(3, 10, 12, seed=9)
    with pytest.raises(ValueError, match="out of range"):
        solved_by(kernels, matrix, vectors(5, 16))


@needs_compiled
def test_arrays_of_the_wrong_kind_are_refused():
    """Wrong numbers, shapes and read-only outputs are errors in words."""
    matrix = random_matrix(3, 10, 12, seed=9)
    with pytest.raises(ValueError, match="type of number"):
        solved_by(compiled, matrix, vectors(10, 16).astype(np.float64))
    with pytest.raises(ValueError, match="multiple of 16"):
        solved_by(compiled, matrix, vectors(10, 10))
    with pytest.raises(ValueError, match="fit together"):
        solved_by(compiled, matrix._replace(values=matrix.values[1:]), vectors(10, 16))
    with pytest.raises(TypeError, match="arguments"):
        compiled.solve_rows(1)
    fixed = np.zeros(16, np.float32)
    fixed.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        compiled.solve_row(
            matrix.indices, matrix.values, 0.0, vectors(10, 16), fixed, 1.0, 9, 0.0, fixed
        )

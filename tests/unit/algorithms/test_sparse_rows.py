"""Some rows of a sparse matrix, and their products, without the matrix' own machinery."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from nextup.algorithms.lists.diversity import maximal_marginal_relevance, spread_by_rows
from nextup.algorithms.sparse_rows import entries_of, products

SEEDS = st.integers(0, 2**32 - 1)


def a_matrix(rng: np.random.Generator) -> sparse.csr_array:
    """Up to nine rows, some of them empty, of small whole numbers, whose sums are exact."""
    shape = rng.integers(1, 10, 2)
    dense = rng.integers(1, 5, shape) * (rng.random(shape) < 0.4)
    return sparse.csr_array(dense.astype(np.float32))


@given(SEEDS)
def test_products_are_those_of_the_matrix(seed: int) -> None:
    """For any rows, in any order and repeated, as the sparse product of the chosen rows."""
    rng = np.random.default_rng(seed)
    matrix = a_matrix(rng)
    left, right = (rng.integers(0, matrix.shape[0], rng.integers(0, 8)) for _ in range(2))
    found = products(entries_of(matrix, left), entries_of(matrix, right), (len(left), len(right)))
    dense = matrix.toarray()
    np.testing.assert_array_equal(found, dense[left] @ dense[right].T)


@given(SEEDS, st.floats(0, 1))
def test_a_list_by_rows_is_the_list_by_likenesses(seed: int, diversity: float) -> None:
    """Likenesses that are computed as they are needed give the very list of those of all pairs."""
    rng = np.random.default_rng(seed)
    vectors = a_matrix(rng) / np.float32(64)  # still exact
    rows = rng.integers(0, vectors.shape[0], rng.integers(1, 12)).astype(np.int32)
    relevance = rng.random(len(rows)).astype(np.float32)
    wanted = int(rng.integers(1, 12))
    by_rows = spread_by_rows(relevance, vectors, rows, wanted, diversity=diversity)
    chosen = vectors.toarray()[rows]
    likeness = chosen @ chosen.T
    by_pairs = maximal_marginal_relevance(relevance, likeness, wanted, diversity=diversity)
    np.testing.assert_array_equal(by_rows, by_pairs)

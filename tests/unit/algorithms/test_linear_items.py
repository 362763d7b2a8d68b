from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from nextup.algorithms.interactions import History
from nextup.algorithms.models.emphasis import Emphasis
from nextup.algorithms.models.linear_items import (
    LinearItemModel,
    by_row_blocks,
    strongest,
    without_diagonal,
)

squares = st.integers(1, 8).flatmap(
    lambda n: arrays.arrays(np.float32, (n, n), elements=st.sampled_from([0.0, 1.0, 2.0, 3.5]))
)


@given(squares, st.integers(1, 9))
def test_pruning_keeps_the_strongest(dense, limit):
    """Each row keeps its largest entries, ties to the lower column, in the columns' order."""
    kept = strongest(sparse.csr_array(dense), limit)
    for row, values in enumerate(dense):
        found = [int(c) for c in np.argsort(-values, kind="stable") if values[c] != 0][:limit]
        assert kept.indices[kept.indptr[row] : kept.indptr[row + 1]].tolist() == sorted(found)
        assert kept.toarray()[row, found].tolist() == values[found].tolist()


@given(squares)
def test_zero_keeps_all(dense):
    """A limit of nothing prunes nothing."""
    assert np.array_equal(strongest(sparse.csr_array(dense), 0).toarray(), dense)


@given(squares)
def test_no_item_speaks_for_itself(dense):
    """Without its diagonal a matrix is the same elsewhere and stores no zeros."""
    found = without_diagonal(sparse.csr_array(dense))
    np.fill_diagonal(dense, 0)
    assert np.array_equal(found.toarray(), dense)
    assert found.nnz == np.count_nonzero(dense)


@given(squares, st.integers(1, 4))
def test_blocks_are_stacked_in_order(dense, block):
    """Rows built by blocks are the rows."""
    whole = sparse.csr_array(dense)
    built = by_row_blocks(lambda start, stop: whole[start:stop], len(dense), block=block)
    assert np.array_equal(built.toarray(), dense)


@given(squares, st.data())
def test_scores_are_a_vector_times_the_matrix(dense, data):
    """The sparse sum of rows equals the dense product."""
    n = len(dense)
    items = np.array(data.draw(st.permutations(range(n))), np.int32)[: data.draw(st.integers(0, n))]
    weights = np.arange(1, len(items) + 1, dtype=np.float32)
    model = LinearItemModel(sparse.csr_array(dense), Emphasis(weighted=True))
    touched = np.zeros(n, np.float32)
    touched[items] = weights
    history = History(items, weights, np.zeros(len(items), np.int64))
    assert np.allclose(model.score(history), touched @ dense)


def test_similar_lists_only_what_is_stored():
    """An item that says something about one other has one similar item."""
    weights = sparse.csr_array(np.array([[0, 0, 2], [1, 0, 3], [0, 0, 0]], np.float32))
    model = LinearItemModel(weights, Emphasis())
    assert model.similar(1, 5).items.tolist() == [2, 0]
    assert model.similar(0, 5).items.tolist() == [2]
    assert model.similar(2, 5).items.tolist() == []

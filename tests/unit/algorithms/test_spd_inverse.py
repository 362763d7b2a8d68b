from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.models.spd_inverse import invert_in_place
from nextup.domain.errors import InvalidInput


@given(st.integers(1, 40), st.integers(1, 45), st.integers(0, 999))
def test_the_inverse_is_the_inverse(n, block, seed):
    """Blocks of any size give the inverse, in place and symmetric."""
    x = np.random.default_rng(seed).standard_normal((n, n))
    matrix = x @ x.T + n * np.eye(n)
    inverse = matrix.copy()
    invert_in_place(inverse, block=block)
    assert inverse @ matrix == pytest.approx(np.eye(n), abs=1e-9)
    assert np.array_equal(inverse, inverse.T)


def test_single_precision_is_as_good_as_it_can_be():
    """In float32 a well-conditioned inverse is right to about six digits."""
    x = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    matrix = x @ x.T + np.float32(300) * np.eye(300, dtype=np.float32)
    inverse = matrix.copy()
    invert_in_place(inverse, block=64)
    assert inverse @ matrix == pytest.approx(np.eye(300), abs=1e-5)


@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_what_has_no_inverse_is_refused(bad):
    """A matrix that is not positive definite, or holds a NaN, is refused."""
    matrix = np.eye(5)
    matrix[3, 3] = bad
    with pytest.raises(InvalidInput, match="positive definite"):
        invert_in_place(matrix, block=2)


def test_progress_ends_at_the_whole():
    """Progress counts the rows that are done."""
    seen = []
    invert_in_place(np.eye(5), block=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models.spectral import Spectral, leading_right_vectors
from nextup.domain.errors import InvalidInput


def random_touches(seed=0):
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(
        rng.integers(0, 50, 500), rng.zipf(1.5, 500) % 20, n_users=50, n_items=22
    )


@pytest.mark.parametrize("sharpening", [0.0, 1.5])
def test_filters_are_those_of_the_papers(sharpening):
    """Scores equal a dense reference: RᵀR plus the weighted ideal low-pass filter, sharpened."""
    data = random_touches()
    model = Spectral(factors=5, low_pass=0.4, sharpening=sharpening, iterations=60).fit(data)
    x = np.zeros((50, 22))
    x[data.users(), data.items] = 1
    degree_u = np.maximum(x.sum(axis=1), 1)
    degree_i = x.sum(axis=0)
    alive = degree_i > 0  # the zipf draw leaves some items untouched
    r = x / np.sqrt(degree_u)[:, None] / np.sqrt(np.where(alive, degree_i, 1))[None, :]
    v = np.linalg.svd(r)[2][:5].T
    root = np.sqrt(degree_i)
    inverse = np.where(alive, 1 / np.where(alive, root, 1), 0)
    filters = r.T @ r + 0.4 * (inverse[:, None] * (v @ v.T) * root[None, :])
    strength = np.square(r @ v).sum(axis=0)
    filters = filters @ (np.eye(22) - (v * (1 - np.exp(-sharpening * strength))) @ v.T)
    for user in range(5):
        assert model.score(data.history(user)) == pytest.approx(x[user] @ filters, abs=1e-4)


def test_leading_vectors_span_what_the_exact_ones_do():
    """Subspace iteration finds the singular vectors of a matrix with a clear spectrum."""
    rng = np.random.default_rng(1)
    left = np.linalg.qr(rng.standard_normal((60, 8)))[0]
    right = np.linalg.qr(rng.standard_normal((40, 8)))[0]
    matrix = (left * 0.5 ** np.arange(8)) @ right.T
    found = leading_right_vectors(sparse.csr_array(matrix.astype(np.float32)), 3, rng=rng)
    assert found.shape == (40, 3)
    assert found @ found.T == pytest.approx(right[:, :3] @ right[:, :3].T, abs=1e-3)


def test_more_factors_than_there_are_is_all_of_them():
    """Asking for more singular vectors than rows or columns gives as many as exist."""
    data = random_touches()
    touched = len(np.unique(data.items))
    assert Spectral(factors=500).fit(data).basis.shape == (22, touched)


def test_pruning_leaves_the_strongest_of_the_linear_filter():
    """`neighbours` bounds the stored entries of each item's row."""
    model = Spectral(neighbours=3).fit(random_touches())
    assert np.diff(model.near.weights.indptr).max() == 3


def test_settings_mean_the_same_whatever_the_exponents():
    """Exponents change how strong the spectrum is, and scores are in its unit."""
    data = random_touches()
    for exponent in (0.1, 0.5, 0.9):
        model = Spectral(factors=22, low_pass=0.0, people_exponent=exponent).fit(data)
        spectrum = np.linalg.eigvalsh(model.near.weights.toarray())
        assert spectrum[-1] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "settings", [{"factors": 0}, {"low_pass": -1.0}, {"sharpening": -1.0}, {"iterations": 0}]
)
def test_impossible_settings_are_refused(settings):
    """Settings without a meaning are refused at once."""
    with pytest.raises(InvalidInput, match="must be"):
        Spectral(**settings)

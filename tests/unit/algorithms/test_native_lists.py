"""The kernels behind one person's list, against their twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import random_array
from tests.unit.algorithms.native_world import both, compiled, needs_compiled

from nextup.algorithms.native import twins

SEED = st.integers(0, 2**32 - 1)


def lists_of(n_items: int, per_item: int, rng: np.random.Generator):
    """Neighbour lists of all lengths, the empty one among them."""
    neighbours = np.full((n_items, per_item), -1, np.int32)
    similarities = np.full((n_items, per_item), -np.inf, np.float32)
    for item in range(n_items):
        length = rng.integers(0, min(per_item, n_items) + 1)
        neighbours[item, :length] = rng.permutation(n_items)[:length]
        similarities[item, :length] = rng.uniform(0.01, 1, length)
    return neighbours, similarities


@needs_compiled
@settings(max_examples=60, deadline=None)
@given(n_items=st.integers(0, 200), share=st.floats(0, 1), weight=st.floats(0, 10), seed=SEED)
def test_an_opinion_is_added_like_its_twins(n_items, share, weight, seed):
    """Scaled to the best allowed score; what is negative adds nothing."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal(n_items).astype(np.float32)
    allowed = rng.random(n_items) < share
    ours = rng.random(n_items).astype(np.float32)
    theirs = ours.copy()
    scale = compiled.add_opinion(scores, allowed, weight, ours)
    assert scale == twins.add_opinion(scores, allowed, weight, theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    best = scores[allowed].max(initial=0)
    assert scale == (weight / float(best) if best > 0 else 0)


@needs_compiled
@settings(max_examples=60, deadline=None)
@given(
    n_items=st.integers(0, 300), limit=st.integers(1, 40), distinct=st.integers(1, 50), seed=SEED
)
def test_the_best_allowed_are_those_of_the_twin(n_items, limit, distinct, seed):
    """Ties go to the lower index; what is not allowed or not finite is no candidate."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-distinct, distinct, n_items).astype(np.float32)
    scores[rng.random(n_items) < 0.1] = np.inf
    scores[rng.random(n_items) < 0.1] = np.nan
    allowed = rng.random(n_items) < 0.7
    found = [(np.empty(limit, np.int32), np.empty(limit, np.float32)) for _ in range(2)]
    for kernels, out in zip((compiled, twins), found, strict=True):
        kernels.best_allowed(scores, allowed, *out)
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    items = found[0][0][found[0][0] >= 0]
    assert allowed[items].all()
    finite = np.where(np.isfinite(scores), scores, 0)
    most = max(finite[allowed].max(initial=0), 0)
    assert compiled.most_allowed(finite, allowed) == twins.most_allowed(finite, allowed) == most


@needs_compiled
@settings(max_examples=60, deadline=None)
@given(
    candidates=st.integers(1, 60),
    columns=st.integers(1, 8),
    places=st.integers(1, 60),
    diversity=st.floats(0, 1),
    seed=SEED,
)
def test_a_list_is_spread_like_its_twins(candidates, columns, places, diversity, seed):
    """The same places in the same order, each once."""
    rng = np.random.default_rng(seed)
    vectors = random_array((100, columns), density=0.4, rng=rng, dtype=np.float32, format="csr")
    rows = rng.integers(0, 100, candidates).astype(np.int32)
    relevance = rng.random(candidates).astype(np.float32)
    bounds = [vectors.indptr[rows + end].astype(np.int64) for end in (0, 1)]
    entries = vectors.indices.astype(np.int32), vectors.data
    chosen = [np.empty(min(places, candidates), np.int32) for _ in range(2)]
    for kernels, out in zip((compiled, twins), chosen, strict=True):
        kernels.spread(relevance, *bounds, *entries, columns, diversity, out)
    assert len(set(chosen[0].tolist())) == len(chosen[0])
    np.testing.assert_array_equal(*chosen)


@needs_compiled
@settings(max_examples=60, deadline=None)
@given(touches=st.integers(1, 30), places=st.integers(1, 20), named=st.integers(1, 4), seed=SEED)
def test_reasons_are_those_of_the_twin(touches, places, named, seed):
    """The greatest shares first; where nothing is positive all shares are 0."""
    rng = np.random.default_rng(seed)
    given_ = rng.standard_normal((touches, places)).astype(np.float32)
    given_[:, 0] = -1.0
    shape = (places, min(named, touches))
    ours = np.empty(shape, np.int32), np.empty(shape, np.float32)
    theirs = np.empty(shape, np.int32), np.empty(shape, np.float32)
    compiled.main_reasons(given_, *ours)
    twins.main_reasons(given_, *theirs)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)
    assert not ours[1][0].any()


@needs_compiled
@settings(max_examples=60, deadline=None)
@given(
    n_items=st.integers(1, 40), per_item=st.integers(1, 10), touches=st.integers(0, 12), seed=SEED
)
def test_neighbours_add_up_like_their_twins(n_items, per_item, touches, seed):
    """The parts of a score are what it is made of, also where an item is asked for twice."""
    rng = np.random.default_rng(seed)
    lists = lists_of(n_items, per_item, rng)
    touched = rng.permutation(n_items)[:touches].astype(np.int32)
    weights = rng.uniform(0.1, 5, len(touched)).astype(np.float32)
    items = rng.integers(0, n_items, 15).astype(np.int32)
    found = []
    for kernels in (compiled, twins):
        scores = np.zeros(n_items, np.float32)
        parts = np.empty((len(touched), len(items)), np.float32)
        kernels.add_neighbours(touched, weights, *lists, scores)
        kernels.neighbour_parts(touched, weights, *lists, items, parts)
        np.testing.assert_allclose(parts.sum(axis=0), scores[items], rtol=1e-4, atol=1e-6)
        found.append((scores, parts))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@both
def test_indices_out_of_range_are_refused(kernels):
    """Nothing outside the arrays is read, whatever the caller gives."""
    neighbours = np.array([[1], [9]], np.int32)
    similarities = np.ones((2, 1), np.float32)
    one, weight = np.array([1], np.int32), np.ones(1, np.float32)
    far = np.array([2], np.int32)
    scores, parts = np.zeros(2, np.float32), np.empty((1, 1), np.float32)
    with pytest.raises(ValueError, match="out of range"):
        kernels.add_neighbours(one, weight, neighbours, similarities, scores)
    with pytest.raises(ValueError, match="out of range"):
        kernels.add_neighbours(far, weight, neighbours, similarities, scores)
    with pytest.raises(ValueError, match="out of range"):
        kernels.neighbour_parts(one - 1, weight, neighbours, similarities, far, parts)
    first, second, chosen = np.array([0]), np.array([1]), np.empty(1, np.int32)
    with pytest.raises(ValueError, match="out of range"):
        kernels.spread(weight, second, second + 1, one, weight, 2, 0.5, chosen)
    with pytest.raises(ValueError, match="out of range"):
        kernels.spread(weight, first, second, far, weight, 2, 0.5, chosen)

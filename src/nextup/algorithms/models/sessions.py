"""Which items follow which within a person's sessions, counted a block of people at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.components import Progress
    from nextup.algorithms.interactions import Interactions

BLOCK_TOUCHES = 1 << 20  # bounds the pairs in memory at a time to `span` times this


def pair_counts(
    interactions: Interactions,
    *,
    span: int,
    gap_seconds: float,
    lag_decay: float,
    half_life_seconds: float,
    progress: Progress | None = None,
) -> sparse.csr_array:
    """(n_items, n_items): how often row's item came before column's, decayed by lag and age.

    Touches belong together while no more than `gap_seconds` lie between one and the next, and
    are paired up to `span` places apart; a pair counts the geometric mean of both confidences.
    Age is counted from the newest touch of all.
    """
    n_items = interactions.n_items
    now = int(interactions.times.max())
    total = sparse.csr_array((n_items, n_items), dtype=np.float32)
    starts = _block_starts(interactions)
    for done, (first, last) in enumerate(pairwise(starts), start=1):
        touches = slice(interactions.indptr[first], interactions.indptr[last])
        users = np.repeat(np.arange(last - first), np.diff(interactions.indptr[first : last + 1]))
        order = np.lexsort((interactions.times[touches], users))
        items = interactions.items[touches][order]
        times = interactions.times[touches][order]
        weights = interactions.weights[touches][order]
        begins = np.r_[True, (np.diff(users) != 0) | (np.diff(times) > gap_seconds)]
        session = np.cumsum(begins)
        for lag in range(1, min(span, len(items) - 1) + 1):
            same = session[lag:] == session[:-lag]
            age = now - times[lag:][same]
            strength = lag_decay ** (lag - 1) * np.exp2(-age / half_life_seconds)
            value = np.sqrt(weights[lag:][same] * weights[:-lag][same]) * strength
            pairs = (items[:-lag][same], items[lag:][same])
            total += sparse.csr_array((value.astype(np.float32), pairs), shape=(n_items, n_items))
        if progress is not None:
            progress(done, len(starts) - 1)
    return sparse.csr_array(total)


def _block_starts(interactions: Interactions) -> NDArray[np.int64]:
    """Person numbers at which blocks of about BLOCK_TOUCHES begin, and the end."""
    targets = np.arange(0, len(interactions), BLOCK_TOUCHES)
    starts = np.searchsorted(interactions.indptr, targets, side="right") - 1
    return np.unique(np.concatenate([[0], starts, [interactions.n_users]]))

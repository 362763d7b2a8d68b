"""Lists that are not ten times the same: MMR, determinantal selection, and calibration.

All three choose greedily from one person's candidates and return positions among them, in the
order of the list. A limit beyond the candidates gives all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.inputs import check_limit, check_not_negative, check_share
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Positions = NDArray[np.integer]
    """(chosen,) positions among the candidates, first place first."""

SMOOTHING = 0.01  # of the wanted distribution mixed into the list's, so that no logarithm is of 0


def maximal_marginal_relevance(
    relevance: NDArray[np.floating],
    similarity: NDArray[np.floating],
    limit: int,
    *,
    diversity: float = 0.3,
) -> Positions:
    """Each place maximises (1 - diversity) relevance - diversity x nearest likeness so far.

    `relevance` is (c,), scaled here to its best; `similarity` is (c, c), 0..1. Diversity 0 is
    the order of relevance, ties to the lower position.
    """
    check_share(diversity=diversity)
    _check(relevance, similarity, limit)
    best = relevance.max(initial=0.0)
    worth = (1.0 - diversity) * (relevance / best if best > 0 else relevance)
    worth = np.asarray(worth, np.float64).copy()
    nearest = np.zeros(len(worth))  # likeness to the closest item chosen so far
    left = np.empty(len(worth))  # of the worth, without what is near
    chosen = np.empty(min(limit, len(worth)), np.int64)
    for place in range(len(chosen)):
        np.multiply(nearest, diversity, out=left)
        np.subtract(worth, left, out=left)
        pick = int(left.argmax())
        chosen[place] = pick
        worth[pick] = -np.inf
        np.maximum(nearest, similarity[pick], out=nearest)
    return chosen


def spread_by_rows(
    relevance: NDArray[np.float32],
    vectors: csr_array,
    rows: NDArray[np.int32],
    limit: int,
    *,
    diversity: float = 0.3,
) -> Positions:
    """`maximal_marginal_relevance` where a candidate is one of the rows of `vectors`, of length 1
    or 0, and likenesses are their products.

    Only those to the chosen items are computed, so that a short list of many candidates never
    needs the likenesses of all pairs.
    """
    check_share(diversity=diversity)
    check_limit(limit)
    if len(rows) != len(relevance):
        raise InvalidInput(f"{len(relevance)} candidates, but {len(rows)} rows.")
    _check_finite(relevance)
    chosen = np.empty(min(limit, len(rows)), np.int32)
    native.kernels.spread(
        np.ascontiguousarray(relevance, np.float32),
        vectors.indptr[rows].astype(np.int64),
        vectors.indptr[rows + 1].astype(np.int64),
        np.asarray(vectors.indices, np.int32),
        np.asarray(vectors.data, np.float32),
        vectors.shape[1],
        diversity,
        chosen,
    )
    return chosen


def determinantal(
    relevance: NDArray[np.floating],
    similarity: NDArray[np.floating],
    limit: int,
    *,
    diversity: float = 0.3,
) -> Positions:
    """Greedy choice of the most probable list under a determinantal point process.

    The kernel is q_i s_ij q_j with qualities q = exp(a x relevance / 2), a from the diversity
    wanted: each place adds the most to the determinant's logarithm, which falls as an item
    comes close to the span of those chosen. `similarity` must be positive semidefinite with
    ones on its diagonal (cosines are). Once nothing adds volume, the rest follows by relevance.
    """
    check_share(diversity=diversity)
    _check(relevance, similarity, limit)
    best = relevance.max(initial=0.0)
    scaled = np.asarray(relevance / best if best > 0 else relevance, np.float64)
    # log det gain = a x relevance + log(remaining volume); a runs from infinity to 0
    eagerness = (1.0 - diversity) / max(diversity, 1e-9)
    left = np.diagonal(similarity).astype(np.float64)  # volume each candidate would add
    rows = np.zeros((min(limit, len(scaled)), len(scaled)))  # Cholesky rows of those chosen
    chosen = np.empty(len(rows), np.int64)
    free = np.ones(len(scaled), np.bool_)
    for place in range(len(rows)):
        alive = free & (left > 1e-10)
        if not alive.any():
            rest = np.flatnonzero(free)
            rest = rest[np.argsort(-scaled[rest], kind="stable")]
            chosen[place:] = rest[: len(rows) - place]
            break
        volume = np.log(left, where=alive, out=np.zeros(len(left)))
        pick = int(np.argmax(np.where(alive, eagerness * scaled + volume, -np.inf)))
        chosen[place] = pick
        free[pick] = False
        against = similarity[pick] - rows[:place].T @ rows[:place, pick]
        rows[place] = against / np.sqrt(left[pick])
        left = left - rows[place] ** 2
    return chosen


def calibrated(
    relevance: NDArray[np.floating],
    genres: NDArray[np.floating],
    wanted: NDArray[np.floating],
    limit: int,
    *,
    strength: float = 0.5,
) -> Positions:
    """A list whose genres come in the proportions of the person's own history.

    Each place maximises (1 - strength) x total relevance - strength x the Kullback-Leibler
    divergence of the list's genres from the `wanted` ones. `genres` is (c, g), each row what an
    item is (adding up to 1, or to 0 where unknown); `wanted` is (g,), as `genre_shares` makes
    it. A person without history (all zero) gets the order of relevance.
    """
    check_share(strength=strength)
    check_limit(limit)
    if genres.shape != (len(relevance), len(wanted)):
        raise InvalidInput(
            f"{len(relevance)} candidates and {len(wanted)} genres, but genres of shape "
            f"{genres.shape}."
        )
    _check_finite(relevance)
    best = relevance.max(initial=0.0)
    worth = np.asarray(relevance / best if best > 0 else relevance, np.float64)
    if not wanted.any():
        return np.argsort(-worth, kind="stable")[:limit]
    free = np.ones(len(worth), np.bool_)
    total = np.zeros(len(wanted))  # genres of the items chosen so far
    chosen = np.empty(min(limit, len(worth)), np.int64)
    for place in range(len(chosen)):
        distance = divergence(wanted, total + genres)  # (c,) with each candidate added
        gain = (1.0 - strength) * worth - strength * distance
        pick = int(np.argmax(np.where(free, gain, -np.inf)))
        chosen[place] = pick
        free[pick] = False
        total += genres[pick]
    return chosen


def genre_shares(
    genres: NDArray[np.floating], weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """How a history divides over the genres, (g,), adding up to 1, or zeros if it says nothing.

    `genres` is (h, g), a row per touch; `weights` is (h,).
    """
    total = np.asarray(weights, np.float64) @ np.asarray(genres, np.float64)
    return np.asarray(total / total.sum() if total.sum() > 0 else total, np.float64)


def divergence(wanted: NDArray[np.floating], lists: NDArray[np.floating]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of each list's genres from the wanted ones, (lists,), in nats.

    `lists` is (lists, g), of any sum; a list without genres is as far as a list can be.
    """
    size = lists.sum(axis=1, keepdims=True)
    share = np.divide(lists, size, out=np.zeros(lists.shape), where=size > 0)
    share = (1.0 - SMOOTHING) * share + SMOOTHING * wanted
    asked = wanted > 0
    return np.asarray(
        (wanted[asked] * np.log(wanted[asked] / share[:, asked])).sum(axis=1), np.float64
    )


def _check(relevance: NDArray[np.floating], similarity: NDArray[np.floating], limit: int) -> None:
    check_limit(limit)
    if similarity.shape != (len(relevance), len(relevance)):
        raise InvalidInput(
            f"{len(relevance)} candidates, but similarities of shape {similarity.shape}."
        )
    _check_finite(relevance)
    check_not_negative(similarity=float(np.abs(similarity).max(initial=0.0)))


def _check_finite(relevance: NDArray[np.floating]) -> None:
    if not np.isfinite(relevance).all():
        raise InvalidInput("Relevance must be finite for every candidate.")

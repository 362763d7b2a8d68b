"""Graph filtering: a neighbourhood filter plus an ideal low-pass filter of the item spectrum.

With R the people x items matrix divided by powers p and q of both sides' degrees (the root, unless
set otherwise), a history r is answered by r (RᵀR + a D^-q V Vᵀ D^q), V being R's leading right
singular vectors: a linear filter for what is near, a low-pass filter for what is common to all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from scipy import sparse

from nextup.algorithms.inputs import (
    check_history,
    check_item,
    check_items,
    check_not_negative,
    check_people,
    check_positive,
    require_touches,
)
from nextup.algorithms.lists.selection import best_items, rank_in_blocks
from nextup.algorithms.models.emphasis import Emphasis
from nextup.algorithms.models.linear_items import LinearItemModel, by_row_blocks, strongest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Neighbours, Progress, Ranking
    from nextup.algorithms.interactions import History, Interactions


@dataclass(frozen=True, slots=True)
class Spectral:
    """Needs no training loop: one sparse product and one truncated singular decomposition."""

    name: ClassVar[str] = "spectral"

    factors: int = 256  # singular vectors kept, at most as many as there are
    low_pass: float = 0.3  # weight of the low-pass filter beside the linear one
    people_exponent: float = 0.5  # p: how far a touch of a busy person counts for less
    item_exponent: float = 0.5  # q: how far a touch of a popular item counts for less
    neighbours: int = 0  # kept of each item's linear filter; 0 keeps all
    weighted: bool = False  # use confidences; False: every touch alike
    iterations: int = 8  # passes over the data; more come closer to the exact vectors
    oversampling: int = 32  # extra vectors carried along and dropped at the end

    def __post_init__(self) -> None:
        check_positive(factors=self.factors, iterations=self.iterations)
        check_not_negative(
            low_pass=self.low_pass,
            people_exponent=self.people_exponent,
            item_exponent=self.item_exponent,
            neighbours=self.neighbours,
            oversampling=self.oversampling,
        )

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> SpectralModel:
        """Raises InvalidInput where there is no touch at all. A warm start has no meaning here."""
        del warm_start
        require_touches(interactions)
        emphasis = Emphasis(weighted=self.weighted)
        touches = emphasis.matrix(interactions)  # (n_users, n_items)
        scaled, item_scale = _scaled(touches, self.people_exponent, self.item_exponent)
        basis = leading_right_vectors(
            scaled,
            self.factors,
            rng=np.random.default_rng(seed),
            iterations=self.iterations,
            oversampling=self.oversampling,
            progress=progress,
        )
        near = LinearItemModel(_linear_filter(scaled, self.neighbours), emphasis)
        inward = np.divide(basis, item_scale, out=np.zeros_like(basis), where=item_scale > 0)
        outward = np.float32(self.low_pass) * basis * item_scale
        return SpectralModel(near, inward.astype(np.float32), outward.astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class SpectralModel:
    """A sparse matrix plus a low-rank one; an empty history scores 0 everywhere."""

    name: ClassVar[str] = "spectral"

    near: LinearItemModel  # the linear filter, its diagonal included
    inward: NDArray[np.float32]  # (n_items, k), takes a history into the spectrum
    outward: NDArray[np.float32]  # (n_items, k), and back, weighted

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return len(self.inward)

    def score(self, history: History) -> NDArray[np.float32]:
        """Both filters' answers added up, (n_items,)."""
        near = self.near.score(history)
        spectrum = self.near.emphasis.of(history) @ self.inward[history.items]  # (k,)
        return np.asarray(near + self.outward @ spectrum, np.float32)

    def score_many(self, interactions: Interactions) -> NDArray[np.float32]:
        """The same for many people, (n_users, n_items)."""
        touches = self.near.emphasis.matrix(interactions)
        far = (touches @ self.inward) @ self.outward.T  # (n_users, n_items)
        far += (touches @ self.near.weights).toarray()
        return np.asarray(far, np.float32)

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The best items for everybody, by blocks of products."""
        check_people(interactions, self.n_items)
        return rank_in_blocks(self.score_many, interactions, limit, exclude_seen=exclude_seen)

    def similar(self, item: int, limit: int) -> Neighbours:
        """The items that a touch of this one speaks for most."""
        check_item(item, self.n_items)
        row = self.near.weights[[item]].toarray()[0] + self.outward @ self.inward[item]
        others = np.arange(self.n_items) != item
        return best_items(np.asarray(row, np.float32), limit, allowed=others)

    def contributions(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """(h, len(items)): each touch's part of each item's score; columns add up to it."""
        check_history(history, self.n_items)
        check_items(items, self.n_items)
        far = self.inward[history.items] @ self.outward[items].T  # (h, len(items))
        far *= self.near.emphasis.of(history)[:, None]
        return np.asarray(far + self.near.contributions(history, items), np.float32)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The linear filter's arrays and both sides of the low-pass filter."""
        return {**self.near.arrays(), "inward": self.inward, "outward": self.outward}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        return cls(
            LinearItemModel.from_arrays(arrays),
            np.asarray(arrays["inward"], np.float32),
            np.asarray(arrays["outward"], np.float32),
        )


def leading_right_vectors(
    matrix: sparse.csr_array,
    factors: int,
    *,
    rng: np.random.Generator,
    iterations: int = 8,
    oversampling: int = 32,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """The right singular vectors of the largest singular values, (columns, at most `factors`).

    Subspace iteration from a random start: all vectors are multiplied by the matrix and its
    transpose and made orthogonal again, which turns them towards the leading ones.
    """
    n_columns = matrix.shape[1]
    width = min(factors + oversampling, *matrix.shape)
    transposed = sparse.csr_array(matrix.T)
    basis = rng.standard_normal((n_columns, width)).astype(np.float32)
    for done in range(iterations):
        basis = _orthogonal(transposed @ _orthogonal(matrix @ basis))
        if progress is not None:
            progress(done + 1, iterations)
    basis, _ = np.linalg.qr(basis)  # to the last digit, once
    image = matrix @ basis  # (rows, width)
    _, turn = np.linalg.eigh((image.T @ image).astype(np.float64))  # ascending
    kept = turn[:, ::-1][:, :factors].astype(np.float32)
    return np.ascontiguousarray(basis @ kept)


def _orthogonal(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """An orthogonal basis of the same span, several times faster than QR and nearly as exact.

    Directions a thousand times weaker than the strongest are noise in float32 and are dropped.
    """
    gram = (vectors.T @ vectors).astype(np.float64)  # (width, width)
    strength, turn = np.linalg.eigh(gram)
    kept = strength > 1e-6 * strength[-1]
    change = (turn[:, kept] / np.sqrt(strength[kept])).astype(np.float32)
    return np.asarray(vectors @ change, np.float32)


def _scaled(
    touches: sparse.csr_array, people_exponent: float, item_exponent: float
) -> tuple[sparse.csr_array, NDArray[np.float32]]:
    """The matrix divided by the powers of both degrees; the items' powers, (n_items, 1)."""
    n_users, n_items = touches.shape
    users = np.repeat(np.arange(n_users), np.diff(touches.indptr))
    people_scale = np.bincount(users, touches.data, minlength=n_users) ** people_exponent
    item_degree = np.bincount(touches.indices, touches.data, minlength=n_items)
    item_scale = np.where(item_degree > 0, item_degree**item_exponent, 0.0)
    value = touches.data / (people_scale[users] * item_scale[touches.indices])
    scaled = sparse.csr_array(
        (value.astype(np.float32), touches.indices, touches.indptr), shape=touches.shape
    )
    return scaled, item_scale[:, None].astype(np.float32)


def _linear_filter(scaled: sparse.csr_array, neighbours: int) -> sparse.csr_array:
    """RᵀR with its diagonal, each row pruned to its strongest, (n_items, n_items)."""
    by_item = sparse.csr_array(scaled.T)  # (n_items, n_users)

    def rows(start: int, stop: int) -> sparse.csr_array:
        part = sparse.csr_array(by_item[start:stop] @ scaled)
        part.sort_indices()
        return strongest(part, neighbours)

    return by_row_blocks(rows, by_item.shape[0])

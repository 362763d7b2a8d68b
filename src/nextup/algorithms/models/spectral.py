"""Graph filtering: a neighbourhood filter plus an ideal low-pass filter, sharpened.

With R the people x items matrix divided by powers p and q of both sides' degrees (the root, unless
set otherwise) and by its largest singular value, and V its leading right singular vectors, a
history r is answered by r (RᵀR + a D^-q V Vᵀ D^q) exp(-t RᵀR): a linear filter for what is near, a
low-pass filter for what is common to all, and a sharpening filter that takes away again what both
say of everybody. The first two are those of Shen et al., "How Powerful is Graph Convolution for
Recommendation?" (2021), the last is that of Choi et al., "Blurring-Sharpening Process Models for
Collaborative Filtering" (2023), here within the span of V, without a differential equation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

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
    low_pass: float = 0.3  # a: weight of the low-pass filter beside the linear one
    sharpening: float = 0.0  # t: how far what holds for everybody is taken away
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
            sharpening=self.sharpening,
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
        strengths = np.square(scaled @ basis).sum(axis=0)  # (k,), squared singular values
        near = _linear_filter(scaled, self.neighbours)
        near.data /= strengths[0]
        strengths /= strengths[0]
        lost = 1 - np.exp(-self.sharpening * strengths)  # (k,), of each part of the spectrum
        across = basis.T @ (basis * item_scale[:, None])  # (k, k), from a levelled history
        return SpectralModel(
            LinearItemModel(near, emphasis),
            basis,
            np.divide(1, item_scale, out=np.zeros_like(item_scale), where=item_scale > 0),
            np.float32(self.low_pass) * item_scale,
            (-strengths * lost).astype(np.float32),
            (-self.low_pass * across * lost).astype(np.float32),
        )


_ARRAYS: Final = ("basis", "level", "raised", "plain", "levelled")


@dataclass(frozen=True, slots=True, eq=False)
class SpectralModel:
    """A sparse matrix plus one of low rank; an empty history scores 0 everywhere.

    A history enters the spectrum twice: as it is, and levelled, so that its popular items count
    for less; what leaves it is raised again.
    """

    name: ClassVar[str] = "spectral"

    near: LinearItemModel  # the linear filter, its diagonal included
    basis: NDArray[np.float32]  # (n_items, k), orthogonal columns
    level: NDArray[np.float32]  # (n_items,), what a touch is multiplied by
    raised: NDArray[np.float32]  # (n_items,), and an answer; both 0 where nobody touched the item
    plain: NDArray[np.float32]  # (k,), what is made of a history as it is
    levelled: NDArray[np.float32]  # (k, k), and of a levelled one

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return len(self.basis)

    def score(self, history: History) -> NDArray[np.float32]:
        """All filters' answers added up, (n_items,)."""
        near = self.near.score(history)
        emphasis = self.near.emphasis.of(history)[None]  # (1, h)
        entered = self.basis[history.items]  # (h, k)
        level = np.asarray(emphasis * self.level[history.items], np.float32)
        return np.asarray(near + self._far(emphasis @ entered, level @ entered)[0], np.float32)

    def score_many(self, interactions: Interactions) -> NDArray[np.float32]:
        """The same for many people, (n_users, n_items)."""
        touches = self.near.emphasis.matrix(interactions)
        levelled = touches.copy()
        levelled.data *= self.level[touches.indices]
        far = self._far(touches @ self.basis, levelled @ self.basis)
        far += (touches @ self.near.weights).toarray()
        return far

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The best items for everybody, by blocks of products."""
        check_people(interactions, self.n_items)
        return rank_in_blocks(self.score_many, interactions, limit, exclude_seen=exclude_seen)

    def similar(self, item: int, limit: int) -> Neighbours:
        """The items that a touch of this one speaks for most."""
        check_item(item, self.n_items)
        entered = self.basis[[item]]
        row = self._far(entered, entered * self.level[item])[0]
        row += self.near.weights[[item]].toarray()[0]
        others = np.arange(self.n_items) != item
        return best_items(row, limit, allowed=others)

    def contributions(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """(h, len(items)): each touch's part of each item's score; columns add up to it."""
        check_history(history, self.n_items)
        check_items(items, self.n_items)
        entered = self.basis[history.items] * self.near.emphasis.of(history)[:, None]  # (h, k)
        far = self._far(entered, entered * self.level[history.items][:, None], items)
        return np.asarray(far + self.near.contributions(history, items), np.float32)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The linear filter's arrays and those of the others."""
        return {**self.near.arrays(), **{name: getattr(self, name) for name in _ARRAYS}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        own = (np.asarray(arrays[name], np.float32) for name in _ARRAYS)
        return cls(LinearItemModel.from_arrays(arrays), *own)

    def _far(
        self,
        entered: NDArray[np.float32],
        levelled: NDArray[np.float32],
        items: NDArray[np.int32] | slice = slice(None),
    ) -> NDArray[np.float32]:
        """(n, items): what leaves the spectrum of histories that entered it, both (n, k)."""
        basis = self.basis[items]
        far = (levelled @ basis.T) * self.raised[items]
        if self.plain.any():
            far += (entered * self.plain + levelled @ self.levelled) @ basis.T
        return np.asarray(far, np.float32)


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
    """The matrix divided by the powers of both degrees; the items' powers, (n_items,)."""
    n_users, n_items = touches.shape
    users = np.repeat(np.arange(n_users), np.diff(touches.indptr))
    people_scale = np.bincount(users, touches.data, minlength=n_users) ** people_exponent
    item_degree = np.bincount(touches.indices, touches.data, minlength=n_items)
    item_scale = np.where(item_degree > 0, item_degree**item_exponent, 0.0)
    value = touches.data / (people_scale[users] * item_scale[touches.indices])
    scaled = sparse.csr_array(
        (value.astype(np.float32), touches.indices, touches.indptr), shape=touches.shape
    )
    return scaled, item_scale.astype(np.float32)


def _linear_filter(scaled: sparse.csr_array, neighbours: int) -> sparse.csr_array:
    """RᵀR with its diagonal, each row pruned to its strongest, (n_items, n_items)."""
    by_item = sparse.csr_array(scaled.T)  # (n_items, n_users)

    def rows(start: int, stop: int) -> sparse.csr_array:
        part = sparse.csr_array(by_item[start:stop] @ scaled)
        part.sort_indices()
        return strongest(part, neighbours)

    return by_row_blocks(rows, by_item.shape[0])

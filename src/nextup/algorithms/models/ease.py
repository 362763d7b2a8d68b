"""EASE: the linear item model with a closed form, exact on catalogues of some thousand items."""

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
    check_share,
    require_touches,
)
from nextup.algorithms.lists.selection import best_items, rank_in_blocks
from nextup.algorithms.models.emphasis import Emphasis
from nextup.algorithms.models.sparse_ease import SparseEase, SparseEaseModel
from nextup.algorithms.models.spd_inverse import invert_in_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Neighbours, Progress, Ranking
    from nextup.algorithms.interactions import History, Interactions

DOUBLE_UP_TO = 4096  # rows inverted in float64; above, float32 keeps memory at n^2 * 4 bytes
BLOCK = 1024  # rows handled at a time


@dataclass(frozen=True, slots=True)
class Ease:
    """Ridge regression of every item on all others. Deterministic; no use for a warm start.

    Time grows with the cube of the smaller of people and items, memory with the square of the
    catalogue: 0.6 GB for 12,000 items. Above `exact_up_to` items the sparse form is fitted
    instead and its model returned, which says so by its name.
    """

    name: ClassVar[str] = "ease"

    regularization: float = 250.0  # L2 weight
    weighted: bool = False  # use confidences; False: every touch alike
    place_decay: float = 1.0  # each place further back in a history counts this much of the next
    exact_up_to: int = 12_000  # items; a larger catalogue gets the sparse form
    neighbours: int = 100  # of the sparse form

    def __post_init__(self) -> None:
        check_positive(regularization=self.regularization, neighbours=self.neighbours)
        check_not_negative(exact_up_to=self.exact_up_to)
        check_positive(place_decay=self.place_decay)
        check_share(place_decay=self.place_decay)

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> EaseModel | SparseEaseModel:
        """Raises InvalidInput where there is no touch at all."""
        del warm_start
        require_touches(interactions)
        if interactions.n_items > self.exact_up_to:
            smaller = SparseEase(
                regularization=self.regularization,
                neighbours=self.neighbours,
                weighted=self.weighted,
                place_decay=self.place_decay,
            )
            return smaller.fit(interactions, seed=seed, progress=progress)
        touches = Emphasis(weighted=self.weighted).matrix(interactions)  # (n_users, n_items)
        if interactions.n_users < 0.75 * interactions.n_items:  # else products cost what is saved
            weights = _inverse_by_people(touches, self.regularization, progress)
        else:
            weights = _inverse_by_items(touches, self.regularization, progress)
        weights /= -np.diagonal(weights)[None, :].copy()
        np.fill_diagonal(weights, 0.0)
        emphasis = Emphasis(weighted=self.weighted, place_decay=self.place_decay)
        return EaseModel(np.asarray(weights, np.float32), emphasis)


@dataclass(frozen=True, slots=True, eq=False)
class EaseModel:
    """`weights[i, j]`: what a touch of item i says about item j. No history, no scores: all 0."""

    name: ClassVar[str] = "ease"

    weights: NDArray[np.float32]  # (n_items, n_items), zero diagonal
    emphasis: Emphasis

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return len(self.weights)

    def score(self, history: History) -> NDArray[np.float32]:
        """The sum of the rows of the history's items, (n_items,)."""
        check_history(history, self.n_items)
        return np.asarray(self.emphasis.of(history) @ self.weights[history.items], np.float32)

    def score_many(self, interactions: Interactions) -> NDArray[np.float32]:
        """The same for many people, (n_users, n_items)."""
        touches = self.emphasis.matrix(interactions)
        return np.asarray(touches @ self.weights, np.float32)

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The best items for everybody, by blocks of sparse x dense products."""
        check_people(interactions, self.n_items)
        return rank_in_blocks(self.score_many, interactions, limit, exclude_seen=exclude_seen)

    def similar(self, item: int, limit: int) -> Neighbours:
        """The items that a touch of this one speaks for most."""
        check_item(item, self.n_items)
        others = np.arange(self.n_items) != item
        return best_items(np.asarray(self.weights[item]), limit, allowed=others)

    def contributions(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """(h, len(items)): each touch's part of each item's score; columns add up to it."""
        check_history(history, self.n_items)
        check_items(items, self.n_items)
        parts = self.weights[history.items[:, None], items[None, :]]
        return np.asarray(parts * self.emphasis.of(history)[:, None], np.float32)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The matrix and the emphasis."""
        return {"weights": self.weights, "emphasis": self.emphasis.array()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        return cls(
            np.asarray(arrays["weights"], np.float32), Emphasis.from_array(arrays["emphasis"])
        )


def _inverse_by_items(
    touches: sparse.csr_array, regularization: float, progress: Progress | None
) -> NDArray[np.floating]:
    """(XᵀX + l I)^-1, inverted as it stands, (n_items, n_items)."""
    inverse = _gram(sparse.csr_array(touches.T), touches, regularization)
    invert_in_place(inverse, progress=progress)
    return inverse


def _inverse_by_people(
    touches: sparse.csr_array, regularization: float, progress: Progress | None
) -> NDArray[np.floating]:
    """The same by the matrix identity (I - Xᵀ (XXᵀ + l I)^-1 X) / l, cheaper for few people."""
    by_item = sparse.csr_array(touches.T)  # (n_items, n_users)
    kernel = _gram(touches, by_item, regularization)  # (n_users, n_users)
    invert_in_place(kernel, progress=progress)
    n_items = touches.shape[1]
    inverse = np.empty((n_items, n_items), kernel.dtype)
    for start in range(0, n_items, BLOCK):
        stop = min(start + BLOCK, n_items)
        reached = by_item[start:stop] @ kernel  # (block, n_users)
        inverse[start:stop] = (by_item @ np.ascontiguousarray(reached.T)).T
    inverse /= -regularization
    inverse[np.diag_indices(n_items)] += 1.0 / regularization
    return inverse


def _gram(
    rows: sparse.csr_array, columns: sparse.csr_array, regularization: float
) -> NDArray[np.floating]:
    """rows @ columns + l I, dense, filled a block of rows at a time."""
    n = rows.shape[0]
    gram = np.empty((n, n), np.float64 if n <= DOUBLE_UP_TO else np.float32)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        gram[start:stop] = (rows[start:stop] @ columns).toarray()
    gram[np.diag_indices(n)] += regularization
    return gram

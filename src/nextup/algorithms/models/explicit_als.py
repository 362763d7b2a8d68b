"""Explicit alternating least squares: predicts the stars a person would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.components import Factoring, Ranking
from nextup.algorithms.inputs import (
    check_history,
    check_items,
    check_not_negative,
    check_people,
    check_positive,
    require_touches,
)
from nextup.algorithms.lists import topk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Progress
    from nextup.algorithms.interactions import History, Interactions

    Floats = NDArray[np.float32]

START_SCALE = 0.1  # of a random item vector's length
BIAS_TOUCHES = 5.0  # stars of the mean that a row's bias is drawn to it by
EXACT_STEPS = 200
EXACT_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class ExplicitALS:
    """Stars as mean + person's bias + item's bias + product of vectors; weights are the stars.

    Only rated pairs count, and a row's L2 weight grows with its ratings.
    """

    name: ClassVar[str] = "explicit_als"

    factors: int = 32  # length of the vectors
    regularization: float = 0.05  # L2 weight per rating of a row
    iterations: int = 12  # epochs
    steps: int = 4  # conjugate-gradient steps per row and epoch
    threads: int = 0  # 0: all that this process may use

    def __post_init__(self) -> None:
        check_positive(
            factors=self.factors,
            regularization=self.regularization,
            iterations=self.iterations,
            steps=self.steps,
        )
        check_not_negative(threads=self.threads)

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> RatingModel:
        """Train; a warm start from a RatingModel of as many factors continues from its items.

        Any other warm start is ignored. Raises InvalidInput where there is no rating at all.
        """
        require_touches(interactions)
        threads = native.thread_count(self.threads)
        by_user = native.Sparse.of(interactions)
        mean = float(by_user.values.mean(dtype=np.float64))
        by_user = by_user._replace(values=by_user.values - np.float32(mean))
        by_item = by_user.transposed(threads)
        items = self._first_items(interactions.n_items, warm_start, np.random.default_rng(seed))
        users = np.zeros((interactions.n_users, items.shape[1]), np.float32)
        for epoch in range(self.iterations):
            self._solve(by_user, _Side(items, self.factors), users, threads)
            self._solve(by_item, _Side(users, self.factors), items, threads)
            if progress is not None:
                progress(epoch + 1, self.iterations)
        return RatingModel(items, self._scale(interactions, mean), self.threads)

    def asks(self, interactions: Interactions) -> Factoring:
        """Plain matrix factorisation of what mean and biases leave of the stars."""
        require_touches(interactions)
        values = interactions.weights - np.float32(interactions.weights.mean(dtype=np.float64))
        users = interactions.users()
        people, items = _biases(interactions, values)
        values = values - people[users] - items[interactions.items]
        return Factoring(values, self.factors, self.iterations, self.regularization)

    def answered(self, interactions: Interactions, item_vectors: Floats) -> RatingModel:
        """The model of these vectors and of the items' biases."""
        mean = float(interactions.weights.mean(dtype=np.float64))
        _, items = _biases(interactions, interactions.weights - np.float32(mean))
        width = native.padded_width(self.factors + 1)
        vectors = np.zeros((interactions.n_items, width), np.float32)
        vectors[:, : self.factors] = item_vectors
        vectors[:, self.factors] = items
        return RatingModel(vectors, self._scale(interactions, mean), self.threads)

    def _scale(self, interactions: Interactions, mean: float) -> NDArray[np.float64]:
        lowest, highest = float(interactions.weights.min()), float(interactions.weights.max())
        return np.array([mean, lowest, highest, self.regularization, self.factors])

    def _first_items(
        self, n_items: int, warm_start: Fitted | None, rng: np.random.Generator
    ) -> Floats:
        items = np.zeros((n_items, native.padded_width(self.factors + 1)), np.float32)
        scale = START_SCALE / np.sqrt(self.factors)
        items[:, : self.factors] = rng.standard_normal((n_items, self.factors), np.float32) * scale
        if isinstance(warm_start, RatingModel) and warm_start.factors == self.factors:
            known = min(n_items, warm_start.n_items)
            items[:known] = warm_start.item_vectors[:known]
        return items

    def _solve(self, touches: native.Sparse, fixed: _Side, solutions: Floats, threads: int) -> None:
        _solve(touches, fixed, self.regularization, (self.steps, 0.0), solutions, threads)


def _biases(interactions: Interactions, values: Floats) -> tuple[Floats, Floats]:
    """People's and items' biases of stars less the mean, shrunk as if by `BIAS_TOUCHES` stars of
    the mean, (n_users,) and (n_items,)."""
    users, items = interactions.users(), interactions.items
    by_item = _shrunk_means(items, values, interactions.n_items)
    return _shrunk_means(users, values - by_item[items], interactions.n_users), by_item


def _shrunk_means(rows: NDArray[np.int32], values: Floats, n_rows: int) -> Floats:
    sums = np.bincount(rows, weights=values, minlength=n_rows)
    return (sums / (np.bincount(rows, minlength=n_rows) + BIAS_TOUCHES)).astype(np.float32)


class _Side(NamedTuple):
    """One side's vectors with the bias in the column after the factors."""

    vectors: Floats  # (n, width)
    factors: int

    @property
    def biases(self) -> Floats:  # (n,)
        return self.vectors[:, self.factors]

    def with_ones(self) -> Floats:
        """The vectors with 1 for the bias: against them the other side's bias is a factor too."""
        extended = np.array(self.vectors)
        extended[:, self.factors] = 1
        return extended


def _solve(
    touches: native.Sparse,  # values: stars less the mean
    fixed: _Side,
    regularization: float,
    effort: tuple[int, float],  # steps, tolerance
    solutions: Floats,
    threads: int,
) -> None:
    vectors = fixed.with_ones()
    counts = np.diff(touches.indptr)
    native.kernels.solve_rows(
        *touches[:2],
        np.ones(len(touches.indices), np.float32),
        touches.values - fixed.biases[touches.indices],
        0.0,
        vectors,
        np.zeros(vectors.shape[1], np.float32),  # unrated pairs do not count
        (regularization * counts).astype(np.float32),
        1,
        *effort,
        1.0,
        0,
        solutions,
        threads,
    )


@dataclass(frozen=True, slots=True, eq=False)
class RatingModel:
    """Predicted stars; without a history, the mean plus each item's bias."""

    name: ClassVar[str] = "explicit_als"

    item_vectors: NDArray[np.float32]  # (n_items, width): factors, the bias, zeros
    scale: NDArray[np.float64]  # mean, lowest and highest rating, regularization, factors
    threads: int = 0  # for ranking everyone; 0: all there are

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return len(self.item_vectors)

    @property
    def factors(self) -> int:
        """The length of the vectors, biases not counted."""
        return int(self.scale[4])

    def predict(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """The stars for these items, (len(items),), within the scale that was trained on."""
        check_items(items, self.n_items)
        return np.clip(self.score(history)[items], *self.scale[1:3].astype(np.float32))

    def score(self, history: History) -> NDArray[np.float32]:
        """(n_items,) as the model has them, so that a list's order survives the scale's end."""
        check_history(history, self.n_items)
        touches = native.Sparse(
            np.array([0, len(history)], np.int64),
            np.ascontiguousarray(history.items, np.int32),
            np.ascontiguousarray(history.weights, np.float32),
            self.n_items,
        )
        query, level = self._queries(touches)
        scores: NDArray[np.float32] = self.item_vectors @ query[0] + level[0]
        return scores

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The items with the most predicted stars for each person."""
        check_people(interactions, self.n_items)
        queries, levels = self._queries(native.Sparse.of(interactions))
        ranking = topk.best_products(
            queries,
            self.item_vectors,
            limit,
            seen=interactions if exclude_seen else None,
            threads=self.threads,
        )
        return Ranking(ranking.items, ranking.scores + levels[:, None])

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The items' vectors and the scale."""
        return {"item_vectors": self.item_vectors, "scale": self.scale}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`; the arrays are used in place, memory-mapped or not."""
        return cls(
            np.asarray(arrays["item_vectors"], np.float32), np.asarray(arrays["scale"], np.float64)
        )

    def _queries(self, touches: native.Sparse) -> tuple[Floats, Floats]:
        """People's vectors with 1 where items have their bias, and what is added to all items."""
        centred = touches._replace(values=touches.values - np.float32(self.scale[0]))
        users = np.zeros((touches.rows, self.item_vectors.shape[1]), np.float32)
        _solve(
            centred,
            _Side(self.item_vectors, self.factors),
            float(self.scale[3]),
            (EXACT_STEPS, EXACT_TOLERANCE),
            users,
            native.thread_count(self.threads),
        )
        levels = users[:, self.factors] + np.float32(self.scale[0])
        users[:, self.factors] = 1
        return users, levels

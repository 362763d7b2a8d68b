"""Implicit alternating least squares, fast: `ImplicitALS` is fitted to a `FactorModel`.

The objective is that of Hu, Koren and Volinsky (2008) with the frequency-scaled regularisation
and the weight of unobserved pairs of Rendle et al., "Revisiting the Performance of iALS on Item
Recommendation Benchmarks" (2022). The way to its minimum is our own: before each half-step both
sides are rotated into the basis where the fixed side's Gram matrix is diagonal. Then a row's
system is a diagonal plus the few vectors it touched, and two conjugate-gradient steps,
preconditioned by that diagonal, follow exact alternation epoch for epoch. A half-step then goes on
past the best it has found (successive over-relaxation): what a row adds to the objective is
quadratic, so below twice the way it never rises, and half as many epochs come as near the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.components import Factoring
from nextup.algorithms.inputs import (
    check_below,
    check_not_negative,
    check_positive,
    require_touches,
)
from nextup.algorithms.models.factor_model import FactorModel, Objective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Progress
    from nextup.algorithms.interactions import Interactions

    Floats = NDArray[np.float32]

__all__ = ["FactorModel", "ImplicitALS", "Objective"]

WARM_UP_SHARE = 4  # the first epochs see every fourth person
MANY_TOUCHES = 200_000  # below this an epoch is too cheap to be worth a warm-up or rounding
FEW_STEPS = 4  # so many leave more undone than the rounding of the other side's vectors does
START_SCALE = 0.1  # of a random item vector's length
LEAST_UNOBSERVED = 1e-3  # where another's ALS divides by it: a touch counts 1000 times more


@dataclass(frozen=True, slots=True)
class ImplicitALS:
    """Learns vectors of people and items from who touched what, with how much confidence.

    The same input and seed give the same model, whatever the number of threads.
    """

    name: ClassVar[str] = "implicit_als"

    factors: int = 64  # length of the vectors; more is better and slower
    regularization: float = 0.003  # L2 weight, per unit of a row's frequency at exponent 1
    unobserved_weight: float = 0.1  # weight of "not touched" beside a touch's 1
    frequency_exponent: float = 1.0  # 0: the same L2 weight for all rows; 1: by frequency
    confidence: bool = False  # True: unobserved pairs exclude seen ones, as in Hu et al.
    iterations: int = 10  # epochs over everybody
    warm_up: int = 2  # epochs over a quarter of the people before, on larger data
    steps: int = 2  # conjugate-gradient steps per row and epoch
    relaxation: float = 1.7  # of the way to each half-step's best; below 2; 1: just there
    keep_users: bool = True  # keep the vectors of the people trained on
    threads: int = 0  # 0: all that this process may use

    def __post_init__(self) -> None:
        check_positive(
            factors=self.factors,
            regularization=self.regularization,
            iterations=self.iterations,
            steps=self.steps,
            relaxation=self.relaxation,
        )
        check_below(2.0, relaxation=self.relaxation)
        check_not_negative(
            unobserved_weight=self.unobserved_weight,
            frequency_exponent=self.frequency_exponent,
            warm_up=self.warm_up,
            threads=self.threads,
        )

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> FactorModel:
        """Train; a warm start from a FactorModel of as many factors continues from its items.

        Items it does not know start at random, people are found from the items. Any other warm
        start is ignored. Raises InvalidInput where there is no touch at all.
        """
        require_touches(interactions)
        threads = native.thread_count(self.threads)
        rng = np.random.default_rng(seed)
        touches = native.Sparse.of(interactions)
        items = self._first_items(interactions.n_items, warm_start, rng)
        warm_up = self.warm_up if self._wants_warm_up(touches, warm_start) else 0
        schedule = _Schedule(
            warm_up + self.iterations,
            rounds=self.steps <= FEW_STEPS and len(touches.indices) >= MANY_TOUCHES,
            relaxation=self.relaxation,
            progress=progress,
        )
        if warm_up:
            sample = _Alternation(self._objective, _sample(touches, rng), items, self, threads)
            schedule.run(sample, warm_up)
            del sample  # its memory is wanted
        alternation = _Alternation(self._objective, touches, items, self, threads)
        schedule.run(alternation, self.iterations)
        spectrum = alternation.finish(solve_users=self.keep_users)
        return FactorModel(
            alternation.items,
            spectrum,
            self._objective,
            self.factors,
            alternation.users if self.keep_users else None,
            self.threads,
        )

    def asks(self, interactions: Interactions) -> Factoring:
        """Hu, Koren and Volinsky's problem over the unobserved pairs' weight, whose L2 weight by
        touches is in the mean that of this objective."""
        require_touches(interactions)
        weights = interactions.weights.astype(np.float64)
        objective, n_items = self._objective, interactions.n_items
        unobserved = max(self.unobserved_weight, LEAST_UNOBSERVED)
        per_touch = 1.0
        sides = ((interactions.users(), n_items), (interactions.items, interactions.n_users))
        for rows, others in sides:
            touches = np.bincount(rows)
            sums = np.bincount(rows, weights=weights).astype(np.float64)
            ridges = objective.ridges(sums, others)
            per_touch *= float(ridges[touches > 0].sum(dtype=np.float64) / touches.sum())
        return Factoring(
            interactions.weights,
            self.factors,
            self.iterations,
            float(np.sqrt(per_touch)) / unobserved,  # scaling one side up, the other down is free
            1.0 / unobserved,
        )

    def answered(self, interactions: Interactions, item_vectors: Floats) -> FactorModel:
        """The model of these vectors; people are folded into it by this objective."""
        return FactorModel.of_items(item_vectors, self._objective, threads=self.threads)

    @property
    def _objective(self) -> Objective:
        return Objective(
            self.regularization, self.unobserved_weight, self.frequency_exponent, self.confidence
        )

    def _first_items(
        self, n_items: int, warm_start: Fitted | None, rng: np.random.Generator
    ) -> Floats:
        items = native.aligned_zeros(n_items, native.padded_width(self.factors))
        scale = START_SCALE / np.sqrt(self.factors)
        items[:, : self.factors] = rng.standard_normal((n_items, self.factors), np.float32) * scale
        if isinstance(warm_start, FactorModel) and warm_start.factors == self.factors:
            known = min(n_items, warm_start.n_items)
            items[:known] = warm_start.item_vectors[:known]
        return items

    def _wants_warm_up(self, touches: native.Sparse, warm_start: Fitted | None) -> bool:
        return warm_start is None and len(touches.indices) >= MANY_TOUCHES


def _sample(touches: native.Sparse, rng: np.random.Generator) -> native.Sparse:
    size = -(-touches.rows // WARM_UP_SHARE)
    return touches.some_rows(np.sort(rng.choice(touches.rows, size, replace=False)))


class _Schedule:
    """The epochs of a training, counted from its first to its last."""

    def __init__(
        self, total: int, *, rounds: bool, relaxation: float, progress: Progress | None
    ) -> None:
        self._total = total
        self._rounds = rounds
        self._relaxation = relaxation
        self._progress = progress
        self._done = 0

    def run(self, alternation: _Alternation, epochs: int) -> None:
        for epoch in range(epochs):
            self._done += 1
            mends = self._done == self._total  # what rounding and overshooting have left
            begins = epoch == 0  # from people of whom nothing is known
            way = _Way(
                rounded=self._rounds and not mends,
                reach=1.0 if mends or begins else self._relaxation,
            )
            alternation.solve_users(way)
            alternation.solve_items(way)
            if self._progress is not None:
                self._progress(self._done, self._total)


class _Way(NamedTuple):
    """How a half-step goes to the best of one side for the other."""

    rounded: bool  # for the other side rounded, which is faster
    reach: float  # times as far


EXACTLY = _Way(rounded=False, reach=1.0)


class _Alternation:
    """Both sides' vectors on their way, always in the same basis; `items` are moved in place."""

    def __init__(
        self,
        objective: Objective,
        touches: native.Sparse,
        items: Floats,
        config: ImplicitALS,
        threads: int,
    ) -> None:
        self.items = items  # (n_items, width)
        self.users = native.aligned_zeros(touches.rows, items.shape[1])
        self._objective = objective
        self._factors = config.factors
        self._steps = config.steps
        self._threads = threads
        self._by_user = touches
        self._by_item = touches.transposed(threads)
        self._user_ridges = objective.ridges(touches.row_sums(), touches.columns)
        self._item_ridges = objective.ridges(self._by_item.row_sums(), touches.rows)

    def solve_users(self, way: _Way) -> None:
        """The best people for the items."""
        spectrum = self._rotate(self.items)
        self._solve(self._by_user, self.items, spectrum, self._user_ridges, self.users, way)

    def solve_items(self, way: _Way) -> None:
        """The best items for the people."""
        spectrum = self._rotate(self.users)
        self._solve(self._by_item, self.users, spectrum, self._item_ridges, self.items, way)

    def finish(self, *, solve_users: bool) -> Floats:
        """Turn to the basis of the items' Gram matrix, (width,) of which is returned."""
        spectrum = self._rotate(self.items)
        if solve_users:
            self._solve(self._by_user, self.items, spectrum, self._user_ridges, self.users, EXACTLY)
        return spectrum

    def _rotate(self, fixed: Floats) -> Floats:
        gram = np.empty((fixed.shape[1], fixed.shape[1]), np.float32)
        native.kernels.gram(fixed, gram, self._threads)
        basis = np.zeros_like(gram)  # leaves the padding alone
        spectrum = np.zeros(len(gram), np.float32)
        native.kernels.diagonalise(gram, self._factors, basis, spectrum)
        native.kernels.rotate(basis, self.items, self._threads)
        native.kernels.rotate(basis, self.users, self._threads)
        return spectrum

    def _solve(
        self,
        touches: native.Sparse,
        fixed: Floats,
        spectrum: Floats,
        ridges: Floats,
        solutions: Floats,
        way: _Way,
    ) -> None:
        native.kernels.solve_rows(
            *touches[:3],
            touches.values,
            self._objective.target_offset,
            fixed,
            spectrum * np.float32(self._objective.unobserved_weight),
            ridges,
            0,
            self._steps,
            0.0,
            way.reach,
            way.rounded,
            solutions,
            self._threads,
        )

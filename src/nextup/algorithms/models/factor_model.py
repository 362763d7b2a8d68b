"""A fitted factor model of implicit behaviour: people and items as vectors, scores as products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.inputs import (
    check_history,
    check_item,
    check_items,
    check_people,
)
from nextup.algorithms.lists import topk
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.components import Neighbours, Ranking
    from nextup.algorithms.interactions import History, Interactions

EXACT_STEPS = 200  # ends far earlier: the residual's fall stops the iteration
EXACT_TOLERANCE = 1e-6  # as far as float32 goes
MANY_FLOATS = 1 << 23  # 32 MiB take one core over a millisecond to read


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised over person vectors x and item vectors y, seen pairs having weight w:

    sum_seen w (1 - x'y)^2 + a sum_all (x'y)^2 + sum_u r_u |x_u|^2 + sum_i r_i |y_i|^2, where
    r_u = regularization * (sum of u's weights + a * number of items)^frequency_exponent and r_i
    likewise. With `confidence` the seen pairs' term is (w + a) (1 - x'y)^2 and the second sum
    runs over unseen pairs only (Hu, Koren and Volinsky 2008).
    """

    regularization: float
    unobserved_weight: float  # a
    frequency_exponent: float
    confidence: bool

    @property
    def target_offset(self) -> float:
        """What the right-hand side has beyond the weights."""
        return self.unobserved_weight if self.confidence else 0.0

    def ridge(self, weight_sum: float, others: int) -> float:
        """A row's L2 weight, `others` being the number of rows on the other side."""
        frequency = weight_sum + self.unobserved_weight * others
        return float(self.regularization * frequency**self.frequency_exponent)

    def ridges(self, weight_sums: NDArray[np.float64], others: int) -> NDArray[np.float32]:
        """The same for many rows."""
        frequency = weight_sums + self.unobserved_weight * others
        ridges: NDArray[np.float64] = self.regularization * frequency**self.frequency_exponent
        return ridges.astype(np.float32)


@dataclass(frozen=True, eq=False)
class FactorModel:
    """Item vectors in the basis where their Gram matrix is diagonal, so that a person's vector
    is found from their history in microseconds; a person without history has the zero vector.

    Vectors are `width` wide, a multiple of 16; columns beyond `factors` are zero.
    """

    name: ClassVar[str] = "implicit_als"

    item_vectors: NDArray[np.float32]  # (n_items, width)
    spectrum: NDArray[np.float32]  # (width,) the diagonal of item_vectors.T @ item_vectors
    objective: Objective
    factors: int
    user_vectors: NDArray[np.float32] | None = None  # (n_users, width) as training left them
    threads: int = 0  # for ranking everyone; 0: all there are

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return len(self.item_vectors)

    @property
    def item_factors(self) -> NDArray[np.float32]:
        """The items' vectors, (n_items, factors)."""
        return self.item_vectors[:, : self.factors]

    @property
    def user_factors(self) -> NDArray[np.float32] | None:
        """The vectors of the people trained on, (n_users, factors), if they were kept."""
        return None if self.user_vectors is None else self.user_vectors[:, : self.factors]

    def user_vector(self, history: History) -> NDArray[np.float32]:
        """Fold a person in: the vector that training would give this history, (factors,)."""
        return self._wide_vector(history)[: self.factors]

    def user_matrix(self, interactions: Interactions) -> NDArray[np.float32]:
        """Fold many people in at once, (n_users, factors)."""
        return self._wide_matrix(interactions)[:, : self.factors]

    def item_vector(
        self, users: NDArray[np.int32], weights: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Fold an item in from the people of training who touched it, (factors,).

        Raises InvalidInput where the people's vectors were not kept or a person is unknown.
        """
        people = self.user_factors
        if people is None:
            raise InvalidInput(
                "The model has no vectors of people.", cure="Fit it with keep_users=True."
            )
        if len(users) and not (users.min() >= 0 and users.max() < len(people)):
            raise InvalidInput(f"A person lies outside 0..{len(people) - 1}.")
        if len(users) == 0:
            return np.zeros(self.factors, np.float32)
        objective = self.objective
        touched = people[users].astype(np.float64)  # (h, k)
        system = (touched.T * weights) @ touched + objective.unobserved_weight * self._user_gram
        system += np.eye(self.factors) * objective.ridge(float(weights.sum()), len(people))
        target = touched.T @ (weights + objective.target_offset)  # (k,)
        return np.linalg.solve(system, target).astype(np.float32)

    def score(self, history: History) -> NDArray[np.float32]:
        """Every item's product with the folded-in vector, (n_items,); zeros without a history."""
        query = self._wide_vector(history)
        scores = np.empty(self.n_items, np.float32)
        # One thread, because it is one of many such requests, unless memory would be waited for.
        threads = native.thread_count(self.threads) if self.item_vectors.size > MANY_FLOATS else 1
        native.kernels.score(self.item_vectors, query, scores, threads)
        return scores

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """Fold everyone in and rank the whole catalogue for them."""
        check_people(interactions, self.n_items)
        return topk.best_products(
            self._wide_matrix(interactions),
            self.item_vectors,
            limit,
            seen=interactions if exclude_seen else None,
            threads=self.threads,
        )

    def similar(self, item: int, limit: int) -> Neighbours:
        """By the cosine of the vectors. An item that nobody touched is similar to nothing."""
        check_item(item, self.n_items)
        if not self._norms[item]:
            return topk.best(np.full(self.n_items, -np.inf, np.float32), limit)
        cosines = self.item_vectors @ self.item_vectors[item] / self._norms[item]
        found = self._norms > 0
        cosines = np.divide(cosines, self._norms, out=np.full_like(cosines, -np.inf), where=found)
        return topk.best(cosines, limit, excluded=[item])

    def contributions(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """(h, len(items)): y_i' A^-1 y_j times touch j's weight; a column adds up to the score."""
        check_history(history, self.n_items)
        check_items(items, self.n_items)
        parts = np.empty((len(history), len(items)), np.float32)
        native.kernels.trace(
            self.item_vectors,
            history.items,
            history.weights,
            self.objective.target_offset,
            self._dense,
            self.objective.ridge(float(np.add.reduce(history.weights)), self.n_items),
            np.ascontiguousarray(items, np.int32),
            parts,
        )
        return parts

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The vectors and, as small arrays, what else belongs to them."""
        objective = self.objective
        numbers = [objective.regularization, objective.unobserved_weight]
        numbers += [objective.frequency_exponent, objective.confidence, self.factors]
        stored: dict[str, NDArray[np.generic]] = {
            "item_vectors": self.item_vectors,
            "spectrum": self.spectrum,
            "settings": np.array(numbers, np.float64),
        }
        if self.user_vectors is not None:
            stored["user_vectors"] = self.user_vectors
        return stored

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`; the arrays are used in place, memory-mapped or not."""
        regularization, unobserved, exponent, confidence, factors = arrays["settings"].tolist()
        people = arrays.get("user_vectors")
        return cls(
            np.asarray(arrays["item_vectors"], np.float32),
            np.asarray(arrays["spectrum"], np.float32),
            Objective(regularization, unobserved, exponent, bool(confidence)),
            int(factors),
            None if people is None else np.asarray(people, np.float32),
        )

    @classmethod
    def of_items(
        cls, item_vectors: NDArray[np.float32], objective: Objective, *, threads: int = 0
    ) -> Self:
        """The model of vectors in any basis, (n_items, factors); products between them stay."""
        factors = item_vectors.shape[1]
        gram = item_vectors.T.astype(np.float64) @ item_vectors
        lengths, basis = np.linalg.eigh(gram)  # ascending
        turned = native.aligned_zeros(len(item_vectors), native.padded_width(factors))
        turned[:, :factors] = item_vectors @ basis[:, ::-1].astype(np.float32)
        spectrum = np.zeros(turned.shape[1], np.float32)
        spectrum[:factors] = np.maximum(lengths[::-1], 0)
        return cls(turned, spectrum, objective, factors, None, threads)

    def without_people(self) -> Self:
        """The same model, smaller: people are folded in from their histories anyway."""
        return replace(self, user_vectors=None)

    def _wide_vector(self, history: History) -> NDArray[np.float32]:
        vector = np.zeros(len(self.spectrum), np.float32)
        weights = history.weights
        try:
            native.kernels.solve_row(
                history.items,
                weights,
                self.objective.target_offset,
                self.item_vectors,
                self._dense,
                self.objective.ridge(float(np.add.reduce(weights)), self.n_items),
                EXACT_STEPS,
                EXACT_TOLERANCE,
                vector,
            )
        except ValueError:  # the kernel has looked at every item and weight: now say it in words
            check_history(history, self.n_items)
            raise
        return vector

    def _wide_matrix(self, interactions: Interactions) -> NDArray[np.float32]:
        check_people(interactions, self.n_items)
        touches = native.Sparse.of(interactions)
        vectors = np.zeros((touches.rows, len(self.spectrum)), np.float32)
        native.kernels.solve_rows(
            *touches[:3],
            touches.values,
            self.objective.target_offset,
            self.item_vectors,
            self._dense,
            self.objective.ridges(touches.row_sums(), self.n_items),
            0,
            EXACT_STEPS,
            EXACT_TOLERANCE,
            1.0,
            0,
            vectors,
            native.thread_count(self.threads),
        )
        return vectors

    @cached_property
    def _dense(self) -> NDArray[np.float32]:
        return self.spectrum * np.float32(self.objective.unobserved_weight)

    @cached_property
    def _norms(self) -> NDArray[np.float32]:
        norms: NDArray[np.float32] = np.sqrt(
            np.einsum("nk,nk->n", self.item_vectors, self.item_vectors)
        )
        return norms

    @cached_property
    def _user_gram(self) -> NDArray[np.float64]:
        people = self.user_factors
        assert people is not None
        gram: NDArray[np.float32] = people.T @ people  # (k, k)
        return gram.astype(np.float64)

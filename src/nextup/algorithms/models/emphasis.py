"""How much each touch of a history counts when a linear model scores it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.interactions import History, Interactions


class Emphasis(NamedTuple):
    """A touch's weight from its confidence, its age and its place before the last touch.

    Age and place are counted from the person's own newest touch, so a history scores the same
    however long ago it was.
    """

    weighted: bool = False  # count confidences; False: every touch alike
    half_life_seconds: float = math.inf  # so much older than the newest touch counts half
    place_decay: float = 1.0  # each place further back counts this much of the next one

    def of(self, history: History) -> NDArray[np.float32]:
        """(h,), one for each touch of the history, oldest first."""
        h = len(history)
        age = history.times[-1:] - history.times  # seconds; the last is the newest
        return self._of(history.weights, age, np.arange(h - 1, -1, -1))

    def of_everybody(self, interactions: Interactions) -> NDArray[np.float32]:
        """(nnz,), one for each touch, in the order of the matrix."""
        indptr, times = interactions.indptr, interactions.times
        size = np.diff(indptr)
        if self.half_life_seconds == math.inf and self.place_decay == 1.0:
            none = np.zeros(1, np.int64)
            return np.broadcast_to(
                self._of(interactions.weights, none, none), interactions.items.shape
            )
        users = interactions.users()
        order = np.lexsort((times, users))  # oldest first, equal times by item, as in `History`
        last = indptr[1:] - 1
        newest = times[order[last[size > 0]]]
        age = np.repeat(newest, size[size > 0]) - times
        place = np.empty(len(users), np.int64)
        place[order] = np.repeat(last, size) - np.arange(len(users))
        return self._of(interactions.weights, age, place)

    def matrix(self, interactions: Interactions) -> sparse.csr_array:
        """Everybody's emphasised touches, (n_users, n_items)."""
        return sparse.csr_array(
            (self.of_everybody(interactions), interactions.items, interactions.indptr),
            shape=(interactions.n_users, interactions.n_items),
        )

    def array(self) -> NDArray[np.float64]:
        """How it is stored with a model, (3,)."""
        return np.array([self.weighted, self.half_life_seconds, self.place_decay], np.float64)

    @classmethod
    def from_array(cls, array: NDArray[np.generic]) -> Self:
        """The inverse of `array`."""
        weighted, half_life_seconds, place_decay = array.tolist()
        return cls(bool(weighted), half_life_seconds, place_decay)

    def _of(
        self, weights: NDArray[np.float32], age: NDArray[np.int64], place: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        confidence = weights if self.weighted else np.ones(len(weights), np.float32)
        # 2^(-0/inf) and 1^place are one, so the defaults leave every touch alone
        decay = np.exp2(-age / self.half_life_seconds) * np.power(self.place_decay, place)
        return np.asarray(confidence * decay, np.float32)

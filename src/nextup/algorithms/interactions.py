"""Who touched what: the two shapes in which behaviour reaches a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class History:
    """What one person did, oldest first: one row of an interaction matrix, or a live session."""

    items: NDArray[np.int32]  # (h,) item indices, each at most once
    weights: NDArray[np.float32]  # (h,) confidence in each touch, > 0
    times: NDArray[np.int64]  # (h,) unix seconds

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Interactions:
    """Everybody's history: a sparse people x items matrix, by rows (CSR).

    Each pair occurs once and a row's items ascend. Build it with `from_pairs`, which checks its
    input; the constructor trusts.
    """

    indptr: NDArray[np.int64]  # (n_users + 1,)
    items: NDArray[np.int32]  # (nnz,)
    weights: NDArray[np.float32]  # (nnz,) confidence, > 0
    times: NDArray[np.int64]  # (nnz,) unix seconds of the last touch
    n_items: int

    @classmethod
    def from_pairs(
        cls,
        users: ArrayLike,
        items: ArrayLike,
        weights: ArrayLike | None = None,
        times: ArrayLike | None = None,
        *,
        n_users: int,
        n_items: int,
    ) -> Self:
        """Sort and check; a pair that occurs twice gets the sum of its weights and its last time.

        Raises InvalidInput for ids out of range, weights that are not positive and finite, or
        arrays of different lengths.
        """
        user_index = np.asarray(users, dtype=np.int64)
        item_index = np.asarray(items, dtype=np.int64)
        weight = np.ones(len(user_index), np.float32) if weights is None else _floats(weights)
        time = np.zeros(len(user_index), np.int64) if times is None else np.asarray(times, np.int64)
        _check(user_index, item_index, weight, time, n_users, n_items)

        key = user_index * n_items + item_index  # one number per pair; fits: 2^31 x 2^31 < 2^63
        order = np.argsort(key, kind="stable")
        key, weight, time = key[order], weight[order], time[order]
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else key
        if len(first) < len(key):
            weight = np.add.reduceat(weight, first)
            time = np.maximum.reduceat(time, first)
            key = key[first]
        indptr = np.searchsorted(key, np.arange(n_users + 1, dtype=np.int64) * n_items)
        return cls(
            indptr.astype(np.int64),
            (key % max(n_items, 1)).astype(np.int32),
            weight.astype(np.float32, copy=False),
            time,
            n_items,
        )

    @property
    def n_users(self) -> int:
        """How many people, those without a touch included."""
        return len(self.indptr) - 1

    def __len__(self) -> int:
        return len(self.items)

    def history(self, user: int) -> History:
        """One person's row, oldest first; touches of the same second by item index."""
        row = slice(self.indptr[user], self.indptr[user + 1])
        oldest_first = np.argsort(self.times[row], kind="stable")
        return History(
            self.items[row][oldest_first],
            self.weights[row][oldest_first],
            self.times[row][oldest_first],
        )

    def users(self) -> NDArray[np.int32]:
        """The row number of every touch, (nnz,)."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.indptr))


def _floats(values: ArrayLike) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)


def _check(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    weights: NDArray[np.float32],
    times: NDArray[np.int64],
    n_users: int,
    n_items: int,
) -> None:
    if not len(users) == len(items) == len(weights) == len(times):
        raise InvalidInput(
            f"Users, items, weights and times differ in length: {len(users)}, {len(items)}, "
            f"{len(weights)}, {len(times)}."
        )
    for what, values, size in (("user", users, n_users), ("item", items, n_items)):
        if len(values) and not (values.min() >= 0 and values.max() < size):
            raise InvalidInput(f"A {what} index lies outside 0..{size - 1}.")
    if len(weights) and not (np.isfinite(weights).all() and weights.min() > 0):
        raise InvalidInput("Weights must be positive, finite numbers.")

"""What items have in common (genres, makers, ...), and how a candidate fits a person by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np
from scipy import sparse

from nextup.algorithms.inputs import check_people
from nextup.algorithms.lists.selection import BLOCK_BYTES, people_between
from nextup.algorithms.models.emphasis import Emphasis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.interactions import Interactions

    Floats = NDArray[np.float32]
    Times = NDArray[np.int64]

TRAIT_NAMES: Final = ("match", "recent", "days_since")
NEVER_DAYS: Final = 3650.0  # stands for "never", and for anything longer ago
NEVER_AT: Final = -(2**61)  # unix seconds, earlier than any touch
EMPHASES = (
    Emphasis(weighted=True),  # the whole history
    Emphasis(weighted=True, place_decay=0.8),  # its last five touches make two thirds of it
)


@dataclass(frozen=True, slots=True, eq=False)
class ItemTraits:
    """Each item's traits as a row of length 1; an item without any fits nobody."""

    unit: sparse.csr_array  # (n_items, n_traits) float32, above zero where an item has one
    owned: NDArray[np.int32]  # (n_items, most) the same by rows, -1 behind the last
    values: Floats  # (n_items, most)

    @classmethod
    def of(cls, counts: sparse.csr_array) -> Self:
        """From how often, or whether, each item has each trait (`ItemTerms.counts`, say)."""
        matrix = sparse.csr_array(counts, dtype=np.float32, copy=True)
        matrix.eliminate_zeros()
        matrix.sort_indices()
        size = np.diff(matrix.indptr)
        rows = np.repeat(np.arange(matrix.shape[0]), size)
        norm = np.sqrt(np.bincount(rows, matrix.data.astype(np.float64) ** 2, matrix.shape[0]))
        matrix.data = (matrix.data / norm[rows]).astype(np.float32)
        return cls._of_unit(matrix)

    @classmethod
    def _of_unit(cls, matrix: sparse.csr_array) -> Self:
        size = np.diff(matrix.indptr)
        rows = np.repeat(np.arange(matrix.shape[0]), size)
        place = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], size)
        shape = (matrix.shape[0], max(int(size.max(initial=0)), 1))
        owned, values = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
        owned[rows, place], values[rows, place] = matrix.indices, matrix.data
        return cls(matrix, owned, values)

    def fit(self, items: NDArray[np.int32], people: Interactions, at: Times) -> Floats:
        """(people, width, 3): cosine to the whole history, to its end, and days since a touch of
        anything that shares a trait; `at` is when each person asks, (people,) unix seconds.

        Items outside 0..n_items-1 have no traits.
        """
        n_items, n_traits = self.unit.shape
        check_people(people, n_items)
        out = np.zeros((*items.shape, len(TRAIT_NAMES)), np.float32)
        out[..., 2] = NEVER_DAYS
        if n_items == 0 or n_traits == 0:
            return out
        width = items.shape[1] * self.owned.shape[1]
        step = max(1, BLOCK_BYTES // (12 * (n_traits + width)))
        for start in range(0, people.n_users, step):
            stop = min(start + step, people.n_users)
            block = people_between(people, start, stop)
            self._fit(items[start:stop], block, at[start:stop], out[start:stop])
        return out

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """How it is stored."""
        return {
            "indptr": self.unit.indptr,
            "traits": self.unit.indices,
            "values": self.unit.data,
            "n_traits": np.array([self.unit.shape[1]], np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        shape = (len(arrays["indptr"]) - 1, int(arrays["n_traits"].tolist()[0]))
        parts = (arrays["values"], arrays["traits"], arrays["indptr"])
        return cls._of_unit(sparse.csr_array(parts, shape=shape))

    def _fit(self, items: NDArray[np.int32], people: Interactions, at: Times, out: Floats) -> None:
        known = (items >= 0) & (items < len(self.owned))
        item = np.where(known, items, 0)
        traits = self.owned[item]  # (people, width, most)
        has = (traits >= 0) & known[..., None]
        where = (np.arange(people.n_users)[:, None, None], traits)
        values = np.where(has, self.values[item], 0)
        held = self._held(people)
        for place, emphasis in enumerate(EMPHASES):
            liked = self._profiles(people, emphasis, held)[where]
            out[..., place] = np.einsum("uwm,uwm->uw", liked, values)
        newest = np.where(has, self._last_touched(people, held)[where], NEVER_AT).max(axis=2)
        out[..., 2] = days_between(newest, at[:, None])

    def _held(self, people: Interactions) -> _Held:
        owned = self.owned[people.items]  # (nnz, most)
        touch, place = np.nonzero(owned >= 0)
        cell = people.users()[touch] * self.unit.shape[1] + owned[touch, place]
        return _Held(touch, cell, self.values[people.items[touch], place])

    def _profiles(self, people: Interactions, emphasis: Emphasis, held: _Held) -> Floats:
        """What each person's history is about, (people, traits), rows of length 1 or 0."""
        shape = (people.n_users, self.unit.shape[1])
        counts = emphasis.of_everybody(people)[held.touch] * held.value
        # a sparse product would take longer to set up than one person's profile takes
        flat = np.bincount(held.cell, counts, shape[0] * shape[1])
        profile = np.asarray(flat.reshape(shape), np.float32)
        norm = np.sqrt(np.einsum("ut,ut->u", profile, profile))
        profile /= np.maximum(norm, np.float32(1e-12))[:, None]
        return profile

    def _last_touched(self, people: Interactions, held: _Held) -> Times:
        """When each person last touched an item with each trait, (people, traits)."""
        last = np.full((people.n_users, self.unit.shape[1]), NEVER_AT, np.int64)
        np.maximum.at(last.ravel(), held.cell, people.times[held.touch])
        return last


class _Held(NamedTuple):
    """Every trait of every touched item, one after the other."""

    touch: NDArray[np.int64]  # which touch
    cell: NDArray[np.int64]  # user * n_traits + trait
    value: Floats  # of the item's row


def days_between(earlier: Times, later: Times) -> NDArray[np.float64]:
    """Days from one moment to another, NEVER_DAYS at most."""
    return np.minimum((later - earlier) / 86_400.0, NEVER_DAYS)

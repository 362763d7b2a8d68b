"""What several sources propose to many people, laid side by side for a ranker.

Serving one person and ranking everybody go through the same function, so that a ranker sees in
service what it saw in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms.inputs import check_limit, check_not_negative
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.components import Ranking


class Candidates(NamedTuple):
    """Each person's items, every one proposed by at least one source."""

    items: NDArray[np.int32]  # (people, width), -1 behind a person's last
    shares: NDArray[np.float32]  # (sources, people, width) of the source's best score; 0: none
    places: NDArray[np.int32]  # (sources, people, width) in the source's list, from 0; its length
    # for what it does not propose

    @property
    def real(self) -> NDArray[np.bool_]:
        """Where there is a candidate, (people, width)."""
        return self.items >= 0

    def blend(self, weights: Sequence[float]) -> NDArray[np.float32]:
        """The fixed blend: shares added with the sources' weights, (people, width).

        -inf where there is no candidate. Raises InvalidInput for another number of weights.
        """
        if len(weights) != len(self.shares):
            raise InvalidInput(f"{len(self.shares)} sources, but {len(weights)} weights.")
        total = np.zeros(self.items.shape, np.float32)
        for share, weight in zip(self.shares, weights, strict=True):
            check_not_negative(weight=weight)
            total += share * np.float32(weight)
        return np.where(self.real, total, np.float32(-np.inf))

    def best(self, weights: Sequence[float], limit: int) -> Candidates:
        """Only the `limit` best by the fixed blend, best first; ties stay in order."""
        check_limit(limit)
        order = np.argsort(-self.blend(weights), axis=1, kind="stable")[:, :limit]
        return Candidates(
            np.take_along_axis(self.items, order, axis=1),
            np.take_along_axis(self.shares, order[None], axis=2),
            np.take_along_axis(self.places, order[None], axis=2),
        )


def candidates_of(
    rankings: Sequence[Ranking], n_items: int, *, unwanted: NDArray[np.int64] | None = None
) -> Candidates:
    """The union of the sources' lists, one ranking per source with the same people in its rows;
    each person's items ascend.

    A score that is not above zero says nothing and proposes nothing. `unwanted` are pairs that
    may not be candidates: row * n_items + item, ascending.
    """
    if not rankings or len({ranking.items.shape for ranking in rankings}) != 1:
        raise InvalidInput("Candidates need at least one source, and lists of equal shape.")
    people, depth = rankings[0].items.shape
    items = np.concatenate([ranking.items for ranking in rankings], axis=1)  # (people, entries)
    shares = np.concatenate([_shares(ranking) for ranking in rankings], axis=1)
    told = (items >= 0) & (shares > 0)
    if unwanted is not None and len(unwanted):
        keys = np.arange(people)[:, None] * n_items + items
        told &= ~_among(keys, unwanted)

    named = np.where(told, items, n_items)  # what is no candidate sorts behind the last item
    order = np.argsort(named, axis=1, kind="stable")
    ordered = np.take_along_axis(named, order, axis=1)
    first = ordered < n_items
    first[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    column = np.cumsum(first, axis=1) - 1
    width = int(column[:, -1].max(initial=-1)) + 1 if column.size else 0

    shape = (people, max(width, 1))
    pool = np.full(shape, -1, np.int32)
    rows, entries = np.nonzero(ordered < n_items)
    columns, original = column[rows, entries], order[rows, entries]
    pool[rows, columns] = ordered[rows, entries]
    source, place = original // depth, original % depth
    share = np.zeros((len(rankings), *shape), np.float32)
    share[source, rows, columns] = shares[rows, original]
    places = np.full(share.shape, depth, np.int32)
    places[source, rows, columns] = place
    return Candidates(pool, share, places)


def _shares(ranking: Ranking) -> NDArray[np.float32]:
    """Each score's share of the list's best one, 0 for what is not above zero."""
    scores = np.where(ranking.items >= 0, np.maximum(ranking.scores, 0), 0)
    best = np.maximum(scores[:, :1], np.finfo(np.float32).tiny)
    return np.asarray(scores / best, np.float32)


def _among(keys: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    place = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    return np.asarray(ascending[place] == keys)

"""From scores to lists: exact selection, ties to the lower index, memory bounded by blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms.components import Ranking
from nextup.algorithms.inputs import check_limit
from nextup.algorithms.lists.topk import best, best_of_allowed, best_of_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nextup.algorithms.components import Neighbours
    from nextup.algorithms.interactions import Interactions

    ScoreMany = Callable[[Interactions], NDArray[np.float32]]
    """All items' scores for each person given, (people, n_items)."""

BLOCK_BYTES = 64 << 20  # of dense scores at a time: large enough for BLAS, small beside the data


def best_rows(scores: NDArray[np.float32], limit: int) -> Ranking:
    """The best `limit` columns of each row, best first; -inf marks what may not be chosen.

    Rows with fewer candidates, and limits beyond the number of columns, are filled with -1.
    """
    return best_of_rows(scores, limit)


def best_items(
    scores: NDArray[np.float32], limit: int, *, allowed: NDArray[np.bool_] | None = None
) -> Neighbours:
    """The best `limit` of one row of scores, fewer if fewer are allowed."""
    if allowed is None:
        return best(scores, limit)
    return best_of_allowed(scores, allowed, limit)


def rank_in_blocks(
    score_many: ScoreMany,
    interactions: Interactions,
    limit: int,
    *,
    exclude_seen: bool = True,
) -> Ranking:
    """Rank for everybody in `interactions`, a block of people's dense scores at a time."""
    check_limit(limit)
    n_users, n_items = interactions.n_users, interactions.n_items
    ranking = _empty(n_users, limit)
    block = max(1, BLOCK_BYTES // max(4 * n_items, 1))
    for start in range(0, n_users, block):
        stop = min(start + block, n_users)
        people = people_between(interactions, start, stop)
        scores = score_many(people)  # (block, n_items)
        part = best_of_rows(scores, limit, seen=people if exclude_seen else None)
        ranking.items[start:stop] = part.items
        ranking.scores[start:stop] = part.scores
    return ranking


def rank_in_one_order(
    scores: NDArray[np.float32],
    interactions: Interactions,
    limit: int,
    *,
    exclude_seen: bool = True,
) -> Ranking:
    """Rank for everybody when all share the same scores: one sort, then skip what each has seen."""
    check_limit(limit)
    n_users, n_items = interactions.n_users, interactions.n_items
    ranking = _empty(n_users, limit)
    order = np.argsort(-scores, kind="stable").astype(np.int32)
    position = np.empty(n_items, np.int64)
    position[order] = np.arange(n_items)
    # behind the last item lies nothing: what those find who have seen most of them
    items = np.concatenate((order, np.full(limit, -1, np.int32)))
    worth = np.concatenate((scores[order], np.full(limit, -np.inf, np.float32)))
    block = max(1, BLOCK_BYTES // (8 * limit))
    for start in range(0, n_users, block):
        stop = min(start + block, n_users)
        people = people_between(interactions, start, stop)
        place = np.broadcast_to(np.arange(limit), (stop - start, limit))
        if exclude_seen:
            place = place + _seen_before(position, people, limit)
        items.take(place, out=ranking.items[start:stop])
        worth.take(place, out=ranking.scores[start:stop])
    return ranking


def _seen_before(
    position: NDArray[np.int64], people: Interactions, limit: int
) -> NDArray[np.int64]:
    """How many seen items stand before each place of the list of unseen ones, (people, limit).

    A person's n-th seen item, from 0, at position p has p - n unseen ones before it: it moves all
    places from there on.
    """
    users = people.users()
    of_user = users * people.n_items
    ascending = np.sort(of_user + position[people.items]) - of_user
    nth = np.arange(len(users)) - np.repeat(people.indptr[:-1], np.diff(people.indptr))
    moved = ascending - nth
    near = moved < limit
    moves = np.bincount(users[near] * limit + moved[near], minlength=people.n_users * limit)
    return moves.reshape(people.n_users, limit).cumsum(axis=1)


def people_between(interactions: Interactions, start: int, stop: int) -> Interactions:
    """The rows `start` to `stop`, without copying what they hold."""
    indptr = interactions.indptr[start : stop + 1]
    touches = slice(indptr[0], indptr[-1])
    return type(interactions)(
        indptr - indptr[0],
        interactions.items[touches],
        interactions.weights[touches],
        interactions.times[touches],
        interactions.n_items,
    )


def _empty(n_rows: int, limit: int) -> Ranking:
    return Ranking(
        np.full((n_rows, limit), -1, np.int32), np.full((n_rows, limit), -np.inf, np.float32)
    )

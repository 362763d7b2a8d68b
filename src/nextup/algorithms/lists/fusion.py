"""Several models' lists for everybody become one: the blend of serving, for all people at once.

Each model proposes its best candidates for each person; a candidate's score is its share of the
model's best score for that person (0..1), and the shares are added with the models' weights. A
model that does not propose an item gives it nothing.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation.evaluate import rank_everyone
from nextup.algorithms.lists.selection import BLOCK_BYTES, people_between
from nextup.algorithms.lists.topk import best_of_rows
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import Interactions

BLOCK = 4096  # people whose candidates are held at a time, by each worker
MOST_WORKERS = 4  # each holds a block's candidates and its dense scores


class Fused(NamedTuple):
    """The blended lists of some people, and which model gave most to each place."""

    ranking: Ranking
    sources: NDArray[np.int8]  # (people, limit), index into `blended`; -1 where empty


def fuse(
    models: Mapping[str, Fitted],
    weights: Mapping[str, float],
    interactions: Interactions,
    limit: int,
    *,
    candidates: int,
    unwanted: NDArray[np.int64] | None = None,
) -> Fused:
    """The best `limit` unseen items of everybody by the weighted blend.

    `unwanted` are further pairs that may not be listed: user * n_items + item, ascending.
    """
    parts = list(fuse_blocks(models, weights, interactions, limit, candidates, unwanted))
    if not parts:
        empty = np.empty((0, limit))
        return Fused(
            Ranking(empty.astype(np.int32), empty.astype(np.float32)), empty.astype(np.int8)
        )
    return Fused(
        Ranking(
            np.concatenate([part.ranking.items for part in parts]),
            np.concatenate([part.ranking.scores for part in parts]),
        ),
        np.concatenate([part.sources for part in parts]),
    )


def fuse_blocks(
    models: Mapping[str, Fitted],
    weights: Mapping[str, float],
    interactions: Interactions,
    limit: int,
    candidates: int,
    unwanted: NDArray[np.int64] | None = None,
) -> Iterator[Fused]:
    """Like `fuse`, some people at a time, in order; the next ones are ranked meanwhile."""
    names = blended(models, weights)
    if not names:
        raise InvalidInput(
            "No model has a weight in the blend.", cure="Give one a weight in [blend]."
        )

    def block(start: int) -> list[Fused]:
        people = people_between(interactions, start, min(start + BLOCK, interactions.n_users))
        proposals = [
            _shares(weights[name], rank_everyone(models[name], people, max(candidates, limit)))
            for name in names
        ]
        return list(_blend(proposals, start, people, limit, unwanted))

    workers = min(native.thread_count(0), MOST_WORKERS)
    with ThreadPoolExecutor(workers, thread_name_prefix="nextup-fuse") as pool:
        coming: deque[Future[list[Fused]]] = deque()
        for start in range(0, interactions.n_users, BLOCK):
            coming.append(pool.submit(block, start))
            if len(coming) > workers:  # no more in memory than are being made
                yield from coming.popleft().result()
        while coming:
            yield from coming.popleft().result()


def blended(models: Mapping[str, Fitted], weights: Mapping[str, float]) -> tuple[str, ...]:
    """The names of the models that take part: those with a weight, in the order of `models`."""
    return tuple(name for name in models if weights.get(name, 0) > 0)


def _shares(weight: float, ranking: Ranking) -> Ranking:
    """The model's candidates with their weighted share of its best score, 0 where there is none."""
    best = np.maximum(ranking.scores[:, :1], np.finfo(np.float32).tiny)
    shares = np.where(ranking.items >= 0, np.maximum(ranking.scores, 0) / best, 0)
    return Ranking(ranking.items, (weight * shares).astype(np.float32))


def _blend(
    proposals: list[Ranking],
    first: int,
    people: Interactions,
    limit: int,
    unwanted: NDArray[np.int64] | None,
) -> Iterator[Fused]:
    """Add the shares up in dense scores, as many people at a time as fit into BLOCK_BYTES."""
    n_items = people.n_items
    step = max(1, BLOCK_BYTES // (4 * max(n_items, 1) * len(proposals)))
    for start in range(0, people.n_users, step):
        stop = min(start + step, people.n_users)
        parts = np.zeros((len(proposals), stop - start, n_items), np.float32)
        for part, proposal in zip(parts, proposals, strict=True):
            rows, places = np.nonzero(proposal.scores[start:stop] > 0)
            places_of = start + rows, places
            part[rows, proposal.items[places_of]] = proposal.scores[places_of]
        total = parts.sum(axis=0)
        total[total <= 0] = -np.inf
        if unwanted is not None:
            rows, items = _pairs_of(unwanted, first + start, first + stop, n_items)
            total[rows, items] = -np.inf
        best = best_of_rows(total, limit)
        rows = np.arange(stop - start)[:, None]
        sources = parts[:, rows, best.items].argmax(axis=0).astype(np.int8)
        yield Fused(best, np.where(best.items >= 0, sources, np.int8(-1)))


def _pairs_of(
    pairs: NDArray[np.int64], start: int, stop: int, n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows, from `start`, and items of the pairs of the people `start` to `stop`."""
    first, last = np.searchsorted(pairs, [start * n_items, stop * n_items])
    return pairs[first:last] // n_items - start, pairs[first:last] % n_items

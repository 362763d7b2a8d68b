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
from nextup.algorithms.lists.selection import people_between
from nextup.algorithms.lists.topk import NOTHING
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import Interactions

BLOCK = 4096  # people whose candidates are held at a time, by each worker
MOST_WORKERS = 4  # each holds a block's candidates


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
        return Fused(_empty_ranking(0, limit), np.empty((0, limit), np.int8))
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

    def block(start: int) -> Fused:
        people = people_between(interactions, start, min(start + BLOCK, interactions.n_users))
        shape = len(names), people.n_users, max(candidates, limit)
        proposed = _empty_ranking(*shape)
        for part, name in enumerate(names):
            ranking = rank_everyone(models[name], people, shape[-1])
            proposed.items[part], proposed.scores[part] = ranking
        fused = Fused(
            _empty_ranking(people.n_users, limit), np.empty((people.n_users, limit), np.int8)
        )
        native.kernels.blend(
            *proposed,
            np.array([weights[name] for name in names], np.float32),
            people.n_items,
            *_pairs_of(unwanted, start, people),
            *fused.ranking,
            fused.sources,
            native.thread_count(0),
        )
        return fused

    workers = min(native.thread_count(0), MOST_WORKERS)
    with ThreadPoolExecutor(workers, thread_name_prefix="nextup-fuse") as pool:
        coming: deque[Future[Fused]] = deque()
        for start in range(0, interactions.n_users, BLOCK):
            coming.append(pool.submit(block, start))
            if len(coming) > workers:  # no more in memory than are being made
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def blended(models: Mapping[str, Fitted], weights: Mapping[str, float]) -> tuple[str, ...]:
    """The names of the models that take part: those with a weight, in the order of `models`."""
    return tuple(name for name in models if weights.get(name, 0) > 0)


def _empty_ranking(*shape: int) -> Ranking:
    return Ranking(np.empty(shape, np.int32), np.empty(shape, np.float32))


def _pairs_of(
    pairs: NDArray[np.int64] | None, start: int, people: Interactions
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The items that these people, from `start` on, have in the pairs, as compressed rows."""
    if pairs is None:
        return np.zeros(people.n_users + 1, np.int64), NOTHING
    firsts = (start + np.arange(people.n_users + 1)) * people.n_items
    bounds = np.searchsorted(pairs, firsts)
    items = pairs[bounds[0] : bounds[-1]] % max(people.n_items, 1)
    return (bounds - bounds[0]).astype(np.int64), items.astype(np.int32)

"""Several models' lists for everybody become one: the blend of serving, for all people at once.

Each model proposes its best candidates for each person; a candidate's score is its share of the
model's best score for that person (0..1), and the shares are added with the models' weights. A
model that does not propose an item gives it nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation import rank_everyone
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import Interactions

BLOCK = 8192  # people at a time: bounds the memory of the candidates


class Fused(NamedTuple):
    """The blended lists of some people, and which model gave most to each place."""

    ranking: Ranking
    sources: NDArray[np.int8]  # (people, limit), index into the models' names; -1 where empty


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
    """Like `fuse`, a block of people at a time, in order."""
    used = {name: fitted for name, fitted in models.items() if weights.get(name, 0) > 0}
    if not used:
        raise InvalidInput("No model has a weight in the blend.", cure="Set one of blend_*.")
    for start in range(0, interactions.n_users, BLOCK):
        block = _people(interactions, start, min(start + BLOCK, interactions.n_users))
        proposals = [
            (weights[name], rank_everyone(fitted, block, max(candidates, limit)))
            for name, fitted in used.items()
        ]
        keys, parts = _shares(proposals, interactions.n_items)
        scores = parts.sum(axis=0)
        if unwanted is not None:
            scores[_contains(unwanted, keys + start * interactions.n_items)] = -np.inf
        yield _best(keys, scores, parts, block.n_users, interactions.n_items, limit)


def _shares(
    proposals: list[tuple[float, Ranking]], n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """All proposed pairs, ascending, (p,), and each model's weighted share of each, (models, p)."""
    pairs, values = [], []
    for weight, ranking in proposals:
        people = np.arange(len(ranking.items), dtype=np.int64)[:, None]
        found = (ranking.items >= 0) & (ranking.scores > 0)
        best = np.maximum(ranking.scores[:, :1], np.finfo(np.float32).tiny)
        pairs.append((people * n_items + ranking.items)[found])
        values.append((weight * ranking.scores / best)[found])
    keys = np.unique(np.concatenate(pairs))
    parts = np.zeros((len(proposals), len(keys)), np.float32)
    for model, (pair, value) in enumerate(zip(pairs, values, strict=True)):
        parts[model, np.searchsorted(keys, pair)] = value
    return keys, parts


def _best(
    keys: NDArray[np.int64],
    scores: NDArray[np.float32],
    parts: NDArray[np.float32],
    n_users: int,
    n_items: int,
    limit: int,
) -> Fused:
    order = np.lexsort((-scores, keys // n_items))  # stable, so equal scores stay by item
    order = order[np.isfinite(scores[order])]
    people = keys[order] // n_items
    place = np.arange(len(order)) - np.searchsorted(people, np.arange(n_users))[people]
    kept = place < limit
    order, people, place = order[kept], people[kept], place[kept]
    items = np.full((n_users, limit), -1, np.int32)
    best = np.full((n_users, limit), -np.inf, np.float32)
    sources = np.full((n_users, limit), -1, np.int8)
    items[people, place] = keys[order] % n_items
    best[people, place] = scores[order]
    sources[people, place] = parts[:, order].argmax(axis=0)
    return Fused(Ranking(items, best), sources)


def _contains(ascending: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(keys), np.bool_)
    at = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    return np.asarray(ascending[at] == keys)


def _people(interactions: Interactions, start: int, stop: int) -> Interactions:
    """The rows `start` to `stop`, without copying what they hold."""
    first, last = interactions.indptr[start], interactions.indptr[stop]
    return type(interactions)(
        interactions.indptr[start : stop + 1] - first,
        interactions.items[first:last],
        interactions.weights[first:last],
        interactions.times[first:last],
        interactions.n_items,
    )

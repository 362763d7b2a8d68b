"""Lists in a learned order: for everybody when lists are published, for one person when served.

Both look at candidates as training did. The sources' blend chooses the candidates and gives the
scores; the ranker decides who gets which. People without a history keep the blend's order:
the ranker has learned nothing about them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation.evaluate import rank_everyone
from nextup.algorithms.inputs import check_limit
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.lists.fusion import Fused
from nextup.algorithms.lists.selection import people_between
from nextup.algorithms.lists.topk import best_of_rows
from nextup.algorithms.reranking.candidates import Candidates, candidates_of
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import History
    from nextup.algorithms.reranking.reranker import FittedReranker

BLOCK_PEOPLE = 1024  # whose features a worker holds at a time: about 30 MB at 200 candidates
MOST_WORKERS = 4  # each holds a block's candidates and features


def learned_lists(
    ranker: FittedReranker,
    models: Mapping[str, Fitted],
    interactions: Interactions,
    limit: int,
    *,
    moment: int,
    unwanted: NDArray[np.int64] | None = None,
) -> Fused:
    """The best `limit` unseen items of everybody, as `fuse` gives them, in the learned order.

    Beyond the ranker's pool lists go on in the blend's order. `interactions` must lie before
    `moment` (unix seconds); `unwanted` as in `fuse`. Raises InvalidInput for a missing source.
    """
    check_limit(limit)
    missing = [name for name in ranker.features.sources if name not in models]
    if missing:
        raise InvalidInput(f"The ranker's sources {', '.join(missing)} are not there.")
    n_users, n_items = interactions.n_users, interactions.n_items
    items = np.full((n_users, limit), -1, np.int32)
    scores = np.full((n_users, limit), -np.inf, np.float32)
    sources = np.full((n_users, limit), -1, np.int8)

    def block(start: int) -> None:
        stop = min(start + BLOCK_PEOPLE, n_users)
        people = people_between(interactions, start, stop)
        rankings = [
            rank_everyone(models[name], people, ranker.features.depth)
            for name in ranker.features.sources
        ]
        own = None
        if unwanted is not None:
            first, last = np.searchsorted(unwanted, [start * n_items, stop * n_items])
            own = unwanted[first:last] - start * n_items
        candidates = candidates_of(rankings, n_items, unwanted=own)
        candidates = candidates.best(ranker.features.weights, max(limit, ranker.features.pool))
        order = _order(ranker, candidates, people, moment)[:, :limit]
        width = order.shape[1]
        items[start:stop, :width] = np.take_along_axis(candidates.items, order, axis=1)
        scores[start:stop, :width] = candidates.blend(ranker.features.weights)[:, :width]
        sources[start:stop, :width] = _strongest(ranker, candidates, order)

    workers = min(native.thread_count(0), MOST_WORKERS)
    with ThreadPoolExecutor(workers, thread_name_prefix="nextup-lists") as pool:
        for _ in pool.map(block, range(0, n_users, BLOCK_PEOPLE)):  # raises what a block raised
            pass
    return Fused(Ranking(items, scores), sources)


def learned_totals(
    ranker: FittedReranker,
    scores: Mapping[str, NDArray[np.float32]],
    total: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    history: History,
    *,
    now: int,
) -> NDArray[np.float32]:
    """One person's blended scores, (n_items,), given out anew in the learned order.

    `scores` are the sources' own, by the ranker's names, (n_items,) each; a source that could
    not be asked is one of zeros, or left out. A touch of this very second counts as past, and a
    clock that runs behind the last training or touch as having caught up.
    """
    if not ranker.learned or not len(history):
        return total
    silent = np.zeros(len(total), np.float32)
    rankings = [
        best_of_rows(
            np.where(allowed, scores.get(name, silent), np.float32(-np.inf))[None],
            ranker.features.depth,
        )
        for name in ranker.features.sources
    ]
    candidates = candidates_of(rankings, len(total))
    candidates = candidates.best(ranker.features.weights, ranker.features.pool)
    people = Interactions.from_pairs(
        np.zeros(len(history), np.int64),
        history.items,
        history.weights,
        history.times,
        n_users=1,
        n_items=ranker.n_items,
    )
    moment = max(now, int(history.times.max()) + 1, ranker.statistics.moment)
    order = _order(ranker, candidates, people, moment)
    items = np.take_along_axis(candidates.items, order, axis=1)[0]
    items = items[items >= 0]
    given = np.array(total)
    given[items] = np.sort(total[items])[::-1]
    return given


def _order(
    ranker: FittedReranker, candidates: Candidates, people: Interactions, moment: int
) -> NDArray[np.int64]:
    """(people, width): the places of candidates that are in the blend's order."""
    width, pool = candidates.items.shape[1], ranker.features.pool
    order = np.tile(np.arange(width), (people.n_users, 1))
    if not ranker.learned:
        return order
    head = Candidates(
        candidates.items[:, :pool], candidates.shares[..., :pool], candidates.places[..., :pool]
    )
    active = np.diff(people.indptr) > 0
    order[active, :pool] = ranker.order(head, people, moment)[active]
    return order


def _strongest(
    ranker: FittedReranker, candidates: Candidates, order: NDArray[np.int64]
) -> NDArray[np.int8]:
    """Which source gave most to each place, -1 where it is empty."""
    weights = np.array(list(ranker.features.weights), np.float32)[:, None, None]
    given = np.take_along_axis(candidates.shares * weights, order[None], axis=2).argmax(axis=0)
    real = np.take_along_axis(candidates.real, order, axis=1)
    return np.where(real, given, -1).astype(np.int8)

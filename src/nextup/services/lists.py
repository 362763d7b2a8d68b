"""Lists for many people, as they are served: the blend, in a learned order where there is one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nextup.algorithms.lists.fusion import blended, fuse
from nextup.algorithms.reranking.learned_lists import learned_lists
from nextup.domain import tables as t
from nextup.domain.recommendations import PublishedList, Scored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import Interactions
    from nextup.algorithms.lists.fusion import Fused
    from nextup.algorithms.reranking.reranker import FittedReranker


# tuple's own constructor, past the named tuple's Python one: there are millions of places
_scored: Callable[[Iterable[Any]], Scored] = partial(tuple.__new__, Scored)


def decides(ranker: FittedReranker | None, blend: Mapping[str, float]) -> bool:
    """Whether the ranker learned something, and learned it over this very blend."""
    if ranker is None or not ranker.learned:
        return False
    return dict(zip(ranker.features.sources, ranker.features.weights, strict=True)) == dict(blend)


def lists_for(
    models: Mapping[str, Fitted],
    blend: Mapping[str, float],
    ranker: FittedReranker | None,
    interactions: Interactions,
    limit: int,
    *,
    candidates: int,
    unwanted: NDArray[np.int64] | None = None,
    newest: int | None = None,
) -> tuple[Fused, Sequence[str]]:
    """The best `limit` unseen items of everybody, and the names that `Fused.sources` counts in.

    They are asked as of just after the newest touch, or after the ranker's last training where
    that is later. `unwanted` as in `fuse`; `newest` is the newest touch (unix seconds) where
    these are only some of the people.
    """
    if ranker is None or not decides(ranker, blend):
        fused = fuse(models, blend, interactions, limit, candidates=candidates, unwanted=unwanted)
        return fused, blended(models, blend)
    if newest is None:
        newest = int(interactions.times.max(initial=0))
    fused = learned_lists(
        ranker,
        models,
        interactions,
        limit,
        moment=max(newest + 1, ranker.statistics.moment),
        unwanted=unwanted,
    )
    return fused, ranker.features.sources


def list_starts(rows: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Where each person's list begins, in rows by person and rank."""
    users = rows[t.USER_ID]
    return np.flatnonzero(np.r_[True, users[1:] != users[:-1]]) if len(users) else np.arange(0)


def lists_of_rows(rows: Mapping[str, NDArray[Any]]) -> Iterator[PublishedList]:
    """The lists in rows of `gold.recommendations`, by person and rank."""
    starts = list_starts(rows).tolist()
    for start, end in zip(starts, [*starts[1:], len(rows[t.USER_ID])], strict=True):
        place = slice(start, end)
        columns = (rows[name][place].tolist() for name in (t.ITEM_ID, t.SCORE, t.SOURCE))
        yield PublishedList(
            str(rows[t.USER_ID][start]), tuple(map(_scored, zip(*columns, strict=True)))
        )

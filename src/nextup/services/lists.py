"""Lists for many people, as they are served: the blend, in a learned order where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextup.algorithms.lists.fusion import blended, fuse
from nextup.algorithms.reranking.learned_lists import learned_lists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import Interactions
    from nextup.algorithms.lists.fusion import Fused
    from nextup.algorithms.reranking.reranker import FittedReranker


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
) -> tuple[Fused, Sequence[str]]:
    """The best `limit` unseen items of everybody, and the names that `Fused.sources` counts in.

    They are asked as of just after the newest touch, or after the ranker's last training where
    that is later. `unwanted` as in `fuse`.
    """
    if ranker is None or not decides(ranker, blend):
        fused = fuse(models, blend, interactions, limit, candidates=candidates, unwanted=unwanted)
        return fused, blended(models, blend)
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

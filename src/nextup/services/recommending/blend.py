"""Several opinions become one: each source is scaled to its best candidate, weighted, added.

Scaling is linear, so that a score's parts add up and each part can be traced to its touches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.reranking.learned_lists import learned_totals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.interactions import History
    from nextup.algorithms.reranking.reranker import FittedReranker
    from nextup.services.recommending.sources import Source


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """The common score, and how each source got into it."""

    total: NDArray[np.float32]  # (n_items,)
    sources: Sequence[Source]
    scales: Sequence[float]  # multiplied with a source's scores: weight / best candidate
    moved: NDArray[np.float32] | None = None  # (n_items,) what a learned order added; None: there
    # is none

    def parts(self, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Each source's part of the items' scores, (sources, rows)."""
        return np.array(
            [
                np.maximum(source.scores[rows], 0.0) * np.float32(scale)
                for source, scale in zip(self.sources, self.scales, strict=True)
            ],
            np.float32,
        ).reshape(len(self.sources), len(rows))


def blend(sources: Sequence[Source], allowed: NDArray[np.bool_]) -> Blend:
    """Add the sources up. One that has no good word for any allowed item adds nothing."""
    total = np.zeros(len(allowed), np.float32)
    scales = [
        native.kernels.add_opinion(source.scores, allowed, source.weight, total)
        for source in sources
    ]
    return Blend(total, sources, scales)


def in_learned_order(
    blended: Blend,
    ranker: FittedReranker | None,
    allowed: NDArray[np.bool_],
    history: History,
    now: int,
) -> Blend:
    """The blend's scores given out anew, so that the learned order is theirs.

    What each source said stays as it is; what the order added to an item's score, or took from
    it, is kept beside. `now` in unix seconds. Without a ranker nothing changes.
    """
    if ranker is None:
        return blended
    scores = {source.name: source.scores for source in blended.sources}
    total = learned_totals(ranker, scores, blended.total, allowed, history, now=now)
    return replace(blended, total=total, moved=total - blended.total)

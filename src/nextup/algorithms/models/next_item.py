"""What comes next: transitions from item to item, read from the end of a history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nextup.algorithms.inputs import (
    check_not_negative,
    check_positive,
    check_share,
    require_touches,
)
from nextup.algorithms.models.emphasis import Emphasis
from nextup.algorithms.models.linear_items import LinearItemModel, strongest, without_diagonal
from nextup.algorithms.models.sessions import pair_counts

if TYPE_CHECKING:
    from nextup.algorithms.components import Fitted, Progress
    from nextup.algorithms.interactions import Interactions


@dataclass(frozen=True, slots=True)
class NextItem:
    """Decayed transition counts. Deterministic without a seed; no use for a warm start."""

    name: ClassVar[str] = "next_item"

    session_gap_seconds: float = 7 * 86_400.0  # a longer silence ends a session
    span: int = 10  # a touch leads to at most so many later ones
    lag_decay: float = 0.7  # a transition over one more place counts this much
    half_life_seconds: float = 90 * 86_400.0  # a transition so much older than the newest: half
    place_decay: float = 0.7  # of a history's touches, each one further back counts this much
    popularity_penalty: float = 0.3  # 0: popular next items win, 1: rare ones do
    shrinkage: float = 1.0  # transitions from anywhere, added to every row before dividing
    neighbours: int = 200  # kept for each item; 0 keeps all

    def __post_init__(self) -> None:
        check_positive(
            span=self.span,
            lag_decay=self.lag_decay,
            half_life_seconds=self.half_life_seconds,
            place_decay=self.place_decay,
        )
        check_not_negative(
            session_gap_seconds=self.session_gap_seconds,
            shrinkage=self.shrinkage,
            neighbours=self.neighbours,
        )
        check_share(
            lag_decay=self.lag_decay,
            place_decay=self.place_decay,
            popularity_penalty=self.popularity_penalty,
        )

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> NextItemModel:
        """Raises InvalidInput where there is no touch at all."""
        del seed, warm_start
        require_touches(interactions)
        counts = without_diagonal(
            pair_counts(
                interactions,
                span=self.span,
                gap_seconds=self.session_gap_seconds,
                lag_decay=self.lag_decay,
                half_life_seconds=self.half_life_seconds,
                progress=progress,
            )
        )
        leaving = np.asarray(counts.sum(axis=1), np.float64)  # (n_items,)
        arriving = np.asarray(counts.sum(axis=0), np.float64)  # (n_items,)
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        share = counts.data / (leaving[rows] + self.shrinkage)
        rarity = np.power(arriving[counts.indices], -self.popularity_penalty)
        counts.data = (share * rarity).astype(np.float32)
        emphasis = Emphasis(place_decay=self.place_decay)
        return NextItemModel(strongest(counts, self.neighbours), emphasis)


class NextItemModel(LinearItemModel):
    """What followed the last items of a history, the very last one counting most.

    `similar` gives what people turn to after an item, which is not symmetric.
    """

    __slots__ = ()
    name: ClassVar[str] = "next_item"

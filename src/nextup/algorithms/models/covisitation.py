"""Items touched in the same session belong together, recent sessions more than old ones."""

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
class Covisitation:
    """Counts pairs within sessions. Deterministic without a seed; no use for a warm start."""

    name: ClassVar[str] = "covisitation"

    session_gap_seconds: float = 86_400.0  # a longer silence ends a session
    span: int = 20  # touches are paired with at most so many later ones of their session
    lag_decay: float = 0.9  # a pair one place further apart counts this much
    half_life_seconds: float = 90 * 86_400.0  # a pair so much older than the newest counts half
    history_half_life_seconds: float = 30 * 86_400.0  # the same for touches of a history
    popularity_penalty: float = 0.5  # 0: popular items win, 0.5: cosine, 1: rare ones win
    neighbours: int = 200  # kept for each item; 0 keeps all

    def __post_init__(self) -> None:
        check_positive(span=self.span, lag_decay=self.lag_decay)
        check_not_negative(session_gap_seconds=self.session_gap_seconds, neighbours=self.neighbours)
        check_positive(
            half_life_seconds=self.half_life_seconds,
            history_half_life_seconds=self.history_half_life_seconds,
        )
        check_share(lag_decay=self.lag_decay, popularity_penalty=self.popularity_penalty)

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> CovisitationModel:
        """Raises InvalidInput where there is no touch at all."""
        del seed, warm_start
        require_touches(interactions)
        before = pair_counts(
            interactions,
            span=self.span,
            gap_seconds=self.session_gap_seconds,
            lag_decay=self.lag_decay,
            half_life_seconds=self.half_life_seconds,
            progress=progress,
        )
        together = without_diagonal((before + before.T).tocsr())
        reach = np.asarray(together.sum(axis=1), np.float64)  # (n_items,)
        damped = np.power(
            reach, -self.popularity_penalty, where=reach > 0, out=np.zeros(len(reach))
        )
        rows = np.repeat(np.arange(len(reach)), np.diff(together.indptr))
        together.data = (together.data * damped[rows] * damped[together.indices]).astype(np.float32)
        emphasis = Emphasis(half_life_seconds=self.history_half_life_seconds)
        return CovisitationModel(strongest(together, self.neighbours), emphasis)


class CovisitationModel(LinearItemModel):
    """What is touched together with a history's items, its newest touches first of all."""

    __slots__ = ()
    name: ClassVar[str] = "covisitation"

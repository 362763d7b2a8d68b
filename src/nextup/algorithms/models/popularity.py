"""What everybody likes: the floor under every list, and the model the gate must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from nextup.algorithms.inputs import check_history, check_people, require_touches
from nextup.algorithms.lists.selection import best_items, rank_in_one_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Neighbours, Progress, Ranking
    from nextup.algorithms.interactions import History, Interactions


@dataclass(frozen=True, slots=True)
class Popularity:
    """Counts who touched what. Deterministic without a seed; a warm start has no meaning here."""

    name: ClassVar[str] = "popularity"

    weighted: bool = True  # add up confidences; False counts people, each once

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> PopularityModel:
        """Raises InvalidInput where there is no touch at all."""
        del seed, warm_start, progress
        require_touches(interactions)
        weights = interactions.weights if self.weighted else None
        counts = np.bincount(interactions.items, weights, minlength=interactions.n_items)
        return PopularityModel(counts.astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class PopularityModel:
    """One score per item, the same for everybody; an empty history changes nothing."""

    name: ClassVar[str] = "popularity"

    scores: NDArray[np.float32]  # (n_items,)

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return len(self.scores)

    def score(self, history: History) -> NDArray[np.float32]:
        """The same scores whatever the history, (n_items,)."""
        check_history(history, self.n_items)
        return np.array(self.scores)  # a copy: the caller may write into it

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The most popular items that each person has not seen."""
        check_people(interactions, self.n_items)
        return rank_in_one_order(self.scores, interactions, limit, exclude_seen=exclude_seen)

    def top(self, limit: int, *, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """The list for nobody in particular, within `allowed` (a category, say) if given."""
        return best_items(self.scores, limit, allowed=allowed)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The scores."""
        return {"scores": self.scores}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        return cls(np.asarray(arrays["scores"], np.float32))

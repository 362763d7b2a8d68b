"""Item-item neighbours: what people who touched this item touched as well, by cosine or BM25."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from nextup.algorithms import native
from nextup.algorithms.components import Neighbours, Ranking
from nextup.algorithms.inputs import (
    check_history,
    check_item,
    check_items,
    check_limit,
    check_people,
    check_positive,
    check_share,
    require_touches,
)
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Progress
    from nextup.algorithms.interactions import History, Interactions


@dataclass(frozen=True, slots=True)
class ItemItem:
    """Keeps each item's nearest neighbours. Deterministic; seed and warm start are ignored.

    Memory: the neighbour lists and one row of sums per thread, never all pairs.
    """

    name: ClassVar[str] = "item_item"

    weighting: Literal["bm25", "cosine"] = "bm25"  # how much a touch says about an item
    neighbours: int = 100  # kept per item
    saturation: float = 1.2  # BM25's k1: how far a heavier touch counts for more
    length_share: float = 0.75  # BM25's b: how far a popular item's touches count for less
    threads: int = 0  # 0: all that this process may use

    def __post_init__(self) -> None:
        check_positive(neighbours=self.neighbours, saturation=self.saturation)
        check_share(length_share=self.length_share)
        if self.weighting not in {"bm25", "cosine"}:
            raise InvalidInput(
                f"There is no weighting {self.weighting!r}.", cure="There are bm25 and cosine."
            )

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> ItemItemModel:
        """Raises InvalidInput where there is no touch at all."""
        del seed, warm_start
        require_touches(interactions)
        threads = native.thread_count(self.threads)
        by_user = native.Sparse.of(interactions)
        weigh = self._bm25 if self.weighting == "bm25" else _unit_length
        by_user = by_user._replace(values=weigh(by_user))
        by_item = by_user.transposed(threads)
        shape = (interactions.n_items, min(self.neighbours, interactions.n_items))
        items, similarities = np.empty(shape, np.int32), np.empty(shape, np.float32)
        native.kernels.neighbours(*by_item[:3], *by_user[:3], items, similarities, threads)
        if progress is not None:
            progress(1, 1)
        return ItemItemModel(items, similarities, self.threads)

    def _bm25(self, by_user: native.Sparse) -> NDArray[np.float32]:
        counts = np.diff(by_user.indptr)  # (n_users,)
        # A person's rarity stays positive even for one who touched everything.
        rarity = np.log1p(by_user.columns / (1 + counts)).astype(np.float32)  # (n_users,)
        lengths = np.bincount(by_user.indices, by_user.values, minlength=by_user.columns)
        share = self.length_share
        norm = 1 - share + share * lengths / lengths.mean()  # (n_items,)
        norm = (self.saturation * norm).astype(np.float32)
        weights = by_user.values
        saturated = weights * np.float32(self.saturation + 1) / (norm[by_user.indices] + weights)
        weighted: NDArray[np.float32] = saturated * np.repeat(rarity, counts)
        return weighted


def _unit_length(by_user: native.Sparse) -> NDArray[np.float32]:
    squares = np.bincount(by_user.indices, by_user.values**2, minlength=by_user.columns)
    lengths = np.sqrt(squares).astype(np.float32)  # (n_items,)
    return by_user.values / lengths[by_user.indices]


@dataclass(frozen=True, slots=True, eq=False)
class ItemItemModel:
    """A person's score for an item: the touches' weights times their similarity to it, added up.

    An item in no neighbour list of the history scores 0, so all items do for an empty history.
    """

    name: ClassVar[str] = "item_item"

    neighbours: NDArray[np.int32]  # (n_items, n) best first, -1 ends a list
    similarities: NDArray[np.float32]  # (n_items, n), -inf beside a -1
    threads: int = 0  # for ranking everyone; 0: all there are

    @property
    def n_items(self) -> int:
        """How many items the model knows."""
        return len(self.neighbours)

    def score(self, history: History) -> NDArray[np.float32]:
        """(n_items,)"""
        check_history(history, self.n_items)
        scores = np.zeros(self.n_items, np.float32)
        native.kernels.add_neighbours(
            history.items, history.weights, self.neighbours, self.similarities, scores
        )
        return scores

    def rank(self, interactions: Interactions, limit: int, *, exclude_seen: bool = True) -> Ranking:
        """The best items for each person; those that no list reaches come last, by index."""
        check_people(interactions, self.n_items)
        check_limit(limit)
        shape = (interactions.n_users, limit)
        ranking = Ranking(np.empty(shape, np.int32), np.empty(shape, np.float32))
        native.kernels.rank_neighbours(
            interactions.indptr,
            interactions.items,
            interactions.weights,
            self.neighbours,
            self.similarities,
            int(exclude_seen),
            *ranking,
            native.thread_count(self.threads),
        )
        return ranking

    def similar(self, item: int, limit: int) -> Neighbours:
        """At most as many as were kept."""
        check_item(item, self.n_items)
        check_limit(limit)
        items, similarities = self.neighbours[item, :limit], self.similarities[item, :limit]
        return Neighbours(items[items >= 0], similarities[items >= 0])

    def contributions(self, history: History, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """(h, len(items)): weight times similarity; a column adds up to the score."""
        check_history(history, self.n_items)
        check_items(items, self.n_items)
        parts = np.empty((len(history), len(items)), np.float32)
        native.kernels.neighbour_parts(
            history.items,
            history.weights,
            self.neighbours,
            self.similarities,
            np.ascontiguousarray(items, np.int32),
            parts,
        )
        return parts

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The neighbour lists."""
        return {"neighbours": self.neighbours, "similarities": self.similarities}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`; the arrays are used in place, memory-mapped or not."""
        return cls(
            np.asarray(arrays["neighbours"], np.int32),
            np.asarray(arrays["similarities"], np.float32),
        )

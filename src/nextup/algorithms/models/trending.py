"""What people turn to now: counts in which a touch loses half its weight every half-life."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nextup.algorithms.inputs import check_items, check_positive, require_touches
from nextup.algorithms.lists.selection import best_items
from nextup.algorithms.models.popularity import PopularityModel
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from nextup.algorithms.components import Fitted, Neighbours, Progress
    from nextup.algorithms.interactions import Interactions


@dataclass(frozen=True, slots=True)
class Trending:
    """Popularity that forgets. Deterministic without a seed; a warm start has no meaning here."""

    name: ClassVar[str] = "trending"

    half_life_seconds: float = 7 * 86_400.0  # after so long a touch counts half
    window_seconds: float = math.inf  # touches older than this do not count at all
    now: int | None = None  # unix seconds to look back from; None: the newest touch of the data

    def __post_init__(self) -> None:
        check_positive(half_life_seconds=self.half_life_seconds)
        if not self.window_seconds > 0:
            raise InvalidInput(f"window_seconds must be positive, not {self.window_seconds}.")

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> TrendingModel:
        """Raises InvalidInput where there is no touch at all."""
        del seed, warm_start, progress
        require_touches(interactions)
        now = int(interactions.times.max()) if self.now is None else self.now
        scores = decayed_counts(
            interactions.items,
            interactions.times,
            interactions.weights,
            n_items=interactions.n_items,
            now=now,
            half_life_seconds=self.half_life_seconds,
            window_seconds=self.window_seconds,
        )
        return TrendingModel(scores.astype(np.float32))


class TrendingModel(PopularityModel):
    """One score per item, the same for everybody; an empty history changes nothing."""

    __slots__ = ()
    name: ClassVar[str] = "trending"


def decayed_counts(
    items: NDArray[np.integer],
    times: NDArray[np.integer],
    weights: NDArray[np.floating],
    *,
    n_items: int,
    now: int,
    half_life_seconds: float,
    window_seconds: float = math.inf,
) -> NDArray[np.float64]:
    """Each item's touches, weighted by confidence and age at `now`, (n_items,).

    Touches after `now` do not count yet, so that nothing is computed from the future; those
    older than the window no longer do.
    """
    check_positive(half_life_seconds=half_life_seconds)
    check_items(items, n_items)
    age = now - np.asarray(times, np.float64)  # seconds
    counts = (age >= 0) & (age <= window_seconds)
    decay = np.exp2(-age[counts] / half_life_seconds)
    total = np.bincount(items[counts], weights[counts] * decay, minlength=n_items)
    return total.astype(np.float64)  # integers where nothing counts


def decayed_buckets(
    counts: ArrayLike,
    started_at: ArrayLike,
    *,
    now: float,
    half_life_seconds: float,
    bucket_seconds: float = 3600.0,
) -> NDArray[np.float64]:
    """The same from live counters that only keep counts per bucket of time (an hour), (n,).

    `counts` is (buckets, n), `started_at` (buckets,) in unix seconds. A touch is taken to have
    happened in the middle of its bucket, so the error is at most half a bucket; the current,
    unfinished bucket counts in full. Buckets that start after `now` do not count.
    """
    check_positive(half_life_seconds=half_life_seconds, bucket_seconds=bucket_seconds)
    count = np.asarray(counts, np.float64)  # (buckets, n)
    start = np.asarray(started_at, np.float64)  # (buckets,)
    if count.ndim != 2 or count.shape[0] != len(start):
        raise InvalidInput(f"{len(start)} buckets, but counts of shape {count.shape}.")
    age = np.maximum(now - (start + bucket_seconds / 2), 0.0)  # seconds
    decay = np.where(start <= now, np.exp2(-age / half_life_seconds), 0.0)
    return np.asarray(decay @ count, np.float64)


def trending_by_category(
    scores: NDArray[np.floating], categories: NDArray[np.bool_], limit: int
) -> list[Neighbours]:
    """The best items of each category; `categories` is (n_categories, n_items).

    Items without any touch in the window are left out, so a quiet category's list is short or
    empty rather than arbitrary.
    """
    score = np.asarray(scores, np.float32)
    if categories.ndim != 2 or categories.shape[1] != len(score):
        raise InvalidInput(f"{len(score)} items, but categories of shape {categories.shape}.")
    alive = score > 0
    return [best_items(score, limit, allowed=members & alive) for members in categories]

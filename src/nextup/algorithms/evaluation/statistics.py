"""How sure a figure is: intervals, paired tests between two models, and figures by segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.interactions import Interactions

CHUNK = 1 << 22  # random numbers drawn at a time: 32 MB


class Interval(NamedTuple):
    """A mean over people and where it may lie, had other people been asked."""

    mean: float
    low: float
    high: float
    n: int  # people with a figure


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one model is than another for the same people."""

    mean: float  # of (first - second) over people
    low: float
    high: float
    p_value: float  # two-sided: how often chance alone gives a difference as large
    n: int  # people with a figure from both
    confidence: float

    @property
    def is_real(self) -> bool:
        """Whether interval and test agree that the two differ."""
        return (self.low > 0 or self.high < 0) and self.p_value < 1 - self.confidence

    @property
    def is_worse(self) -> bool:
        """Whether the first is worse, beyond doubt."""
        return self.is_real and self.mean < 0

    @property
    def is_better(self) -> bool:
        """Whether the first is better, beyond doubt."""
        return self.is_real and self.mean > 0


def bootstrap_interval(
    values: NDArray[np.floating],
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """The mean over people and its percentile bootstrap interval.

    NaN (people without truth) are left out. One person gives an interval of no width; nobody
    raises InvalidInput.
    """
    known = _known(values)
    _check(confidence, resamples)
    means = _resampled_means(known, rng, resamples)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(known.mean()), float(low), float(high), len(known))


def paired_difference(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Difference:
    """Compare two models on the same people, row by row.

    The interval is the paired bootstrap's; the p-value a randomisation test's, which swaps the
    two models at random for each person. People without a figure from both are left out.
    """
    if first.shape != second.shape:
        raise InvalidInput(
            f"Two models' figures must be of the same people, row by row; got {len(first)} and "
            f"{len(second)}."
        )
    known = _known(np.asarray(first, np.float64) - np.asarray(second, np.float64))
    interval = bootstrap_interval(known, rng=rng, resamples=resamples, confidence=confidence)
    p_value = _sign_flip_p_value(known, rng, resamples)
    return Difference(interval.mean, interval.low, interval.high, p_value, interval.n, confidence)


def people_segments(
    history: Interactions, *, light_at_most: int | None = None
) -> dict[str, NDArray[np.bool_]]:
    """New (no touch), light and heavy people, as masks over the rows of `history`.

    `light_at_most` touches make a person light; None takes the median of those with any.
    """
    size = np.diff(history.indptr)
    active = size[size > 0]
    if light_at_most is None:
        light_at_most = int(np.median(active)) if len(active) else 0
    return {
        "new": size == 0,
        "light": (size > 0) & (size <= light_at_most),
        "heavy": size > light_at_most,
    }


def item_segments(train: Interactions, *, new_at_most: int = 5) -> dict[str, NDArray[np.bool_]]:
    """New items (touched at most `new_at_most` times in train) and old ones, as masks."""
    touches = np.bincount(train.items, minlength=train.n_items)
    return {"new": touches <= new_at_most, "old": touches > new_at_most}


def by_segment(
    values: NDArray[np.floating],
    segments: dict[str, NDArray[np.bool_]],
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """The interval of each segment that has anybody with a figure."""
    found = {}
    for name, members in segments.items():
        part = np.asarray(values, np.float64)[members]
        if not np.isnan(part).all():
            found[name] = bootstrap_interval(
                part, rng=rng, resamples=resamples, confidence=confidence
            )
    return found


def _known(values: NDArray[np.floating]) -> NDArray[np.float64]:
    value = np.asarray(values, np.float64)
    known = value[~np.isnan(value)]
    if value.ndim != 1 or len(known) == 0:
        raise InvalidInput("There is no figure of any person to average.")
    return known


def _check(confidence: float, resamples: int) -> None:
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence must lie between 0 and 1, not {confidence}.")
    if resamples < 100:
        raise InvalidInput(f"At least 100 resamples are needed, not {resamples}.")


def _resampled_means(
    values: NDArray[np.float64], rng: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Means of `resamples` samples of people drawn with replacement, (resamples,).

    Per-person metrics take few distinct values, so it is enough to draw how often each value
    occurs: the same distribution, far fewer random numbers than one per person.
    """
    distinct, count = np.unique(values, return_counts=True)
    n = len(values)
    chance = count / n
    means = np.empty(resamples)
    step = max(1, CHUNK // len(distinct))
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = rng.multinomial(n, chance, size=stop - start)  # (step, distinct)
        means[start:stop] = drawn @ distinct / n
    return means


def _sign_flip_p_value(
    differences: NDArray[np.float64], rng: np.random.Generator, resamples: int
) -> float:
    """Two-sided; the observed order counts as one of the random ones, so never 0.

    People with a difference of the same size are flipped together, by a binomial number.
    """
    size, count = np.unique(np.abs(differences), return_counts=True)
    observed = abs(differences.sum())
    tolerance = 1e-9 * max(np.abs(differences).sum(), 1e-300)  # sums in another order
    as_large = 0
    step = max(1, CHUNK // len(size))
    for start in range(0, resamples, step):
        kept = rng.binomial(count, 0.5, size=(min(step, resamples - start), len(size)))
        total = (2 * kept - count) @ size
        as_large += int(np.count_nonzero(np.abs(total) >= observed - tolerance))
    return (as_large + 1) / (resamples + 1)

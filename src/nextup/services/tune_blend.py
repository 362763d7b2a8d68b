"""Which models a blend needs, one more at a time, and what each step costs and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextup.algorithms.models.blend_weights import blends_of_rankings
from nextup.services.train import POPULARITY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextup.algorithms.components import Ranking
    from nextup.algorithms.interactions import Interactions

WORTH_A_MODEL = 0.005  # of the quality so far: what one more model must add, or it is left out
CLEARLY = 0.01  # better by this share of the quality so far
FLOOR = 0.01  # popularity's least weight: people without a past get a list


@dataclass(frozen=True, slots=True)
class Point:
    """A model or blend, how good it is on the validation part, and what it costs."""

    blend: Mapping[str, float]
    quality: float
    fit_seconds: float
    size: int  # bytes

    @property
    def cost(self) -> tuple[float, int]:
        """Seconds to train, bytes to keep."""
        return self.fit_seconds, self.size


def blend_in_steps(
    lists: Mapping[str, Ranking],
    costs: Mapping[str, tuple[float, int]],
    truth: Interactions,
    k: int,
) -> list[Point]:
    """The best model by itself, then with the model that adds most, and so on.

    Each step's weights are found anew. The last step is the best blend: no further model adds
    what is worth it. `lists` must hold popularity.
    """
    names = list(lists)
    found = blends_of_rankings(
        [lists[name] for name in names], truth, cutoff=k, worth=WORTH_A_MODEL
    )
    steps = []
    for step in found:
        blend = {
            name: weight for name, weight in zip(names, step.weights, strict=True) if weight > 0
        }
        blend[POPULARITY] = max(blend.get(POPULARITY, 0.0), FLOOR)
        seconds = sum(costs[name][0] for name in blend)
        steps.append(Point(blend, step.ndcg, seconds, sum(costs[name][1] for name in blend)))
    return steps


def frontier(points: Sequence[Point]) -> list[Point]:
    """Those that no other one beats in quality, seconds and bytes at once, cheap ones first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda one: (-one.quality, one.cost)):
        if not any(
            other.fit_seconds <= point.fit_seconds and other.size <= point.size for other in kept
        ):
            kept.append(point)
    return sorted(kept, key=lambda one: one.cost)


def outline(points: Sequence[Point]) -> list[Point]:
    """The frontier as a person reads it: each next point is dearer and clearly better."""
    shown: list[Point] = []
    best = max((point.quality for point in points), default=0.0)
    for point in points:
        reached = max((one.quality for one in shown), default=0.0)
        if point.quality > reached * (1 + CLEARLY) or (point.quality == best > reached):
            shown.append(point)
    return shown

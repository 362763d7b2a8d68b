"""Show a few new items where good ones would stand, and remember how likely that was.

The propensity logged beside each place is the chance that this item would be shown there given
the places before it. With it the outcome of lists that were never shown can be estimated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms.inputs import check_limit, check_share
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Explored(NamedTuple):
    """A list in which some places may have been given to new items."""

    items: NDArray[np.int32]  # (n,) at most the limit, each item once
    propensities: NDArray[np.float64]  # (n,) chance of this item at this place, in (0, 1]
    explored: NDArray[np.bool_]  # (n,) whether the place was drawn


def explore(
    ranked: NDArray[np.integer],
    pool: NDArray[np.integer],
    limit: int,
    *,
    share: float,
    rng: np.random.Generator,
    pool_weights: NDArray[np.floating] | None = None,
) -> Explored:
    """Give each place, with chance `share`, to an item drawn from the pool of new ones.

    The other places take the best ranked item that is not listed yet. The pool is drawn from by
    its weights (equal if not given) without repeats. Where one side is exhausted the other
    fills up; a list may come out shorter than the limit.
    """
    check_limit(limit)
    check_share(share=share)
    chance = _chances(pool, pool_weights)
    queue = [int(item) for item in ranked]
    free = np.ones(len(pool), np.bool_)
    items: list[int] = []
    propensities: list[float] = []
    explored: list[bool] = []
    listed: set[int] = set()
    while len(items) < limit:
        while queue and queue[0] in listed:
            queue.pop(0)
        mass = float(chance[free].sum())
        drawing = share if mass > 0 and queue else float(mass > 0)
        if not queue and mass == 0:
            break
        drawn = bool(rng.random() < drawing)
        if drawn:
            candidates = np.flatnonzero(free)
            item = int(pool[rng.choice(candidates, p=chance[candidates] / mass)])
        else:
            item = queue[0]
        place = np.flatnonzero(free & (pool == item))
        by_draw = drawing * float(chance[place].sum()) / mass if mass > 0 else 0.0
        by_rank = (1.0 - drawing) * float(bool(queue) and queue[0] == item)
        items.append(item)
        propensities.append(by_draw + by_rank)
        explored.append(drawn)
        listed.add(item)
        free[place] = False
    return Explored(
        np.array(items, np.int32), np.array(propensities, np.float64), np.array(explored, np.bool_)
    )


def newness(touches: NDArray[np.integer]) -> NDArray[np.float64]:
    """Weights for the pool: an item counts the less the more touches it has had, (n,)."""
    return 1.0 / (1.0 + np.asarray(touches, np.float64))


def self_normalised_estimate(
    rewards: NDArray[np.floating],
    propensities: NDArray[np.floating],
    target: NDArray[np.floating] | None = None,
    *,
    largest_weight: float = 100.0,
) -> float:
    """The mean reward another policy would have had, from what was shown with propensities.

    `target` is the other policy's own chance of each shown item (default: 1, every logged
    choice alike). Weights are clipped at `largest_weight`: less variance for a little bias.
    Raises InvalidInput without any sample, or for a propensity outside (0, 1].
    """
    if len(rewards) == 0 or len(rewards) != len(propensities):
        raise InvalidInput(f"{len(rewards)} rewards and {len(propensities)} propensities.")
    if not (propensities.min() > 0 and propensities.max() <= 1 + 1e-9):
        raise InvalidInput("A propensity lies outside (0, 1].")
    wanted = np.ones(len(rewards)) if target is None else np.asarray(target, np.float64)
    weight = np.minimum(wanted / propensities, largest_weight)
    if weight.sum() == 0:
        raise InvalidInput("The other policy would have shown none of the logged items.")
    return float(weight @ np.asarray(rewards, np.float64) / weight.sum())


def _chances(
    pool: NDArray[np.integer], weights: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    if weights is None:
        return np.ones(len(pool))
    chance = np.asarray(weights, np.float64)
    if len(chance) != len(pool) or not np.isfinite(chance).all() or (chance < 0).any():
        raise InvalidInput("Each item of the pool needs a weight that is finite, not negative.")
    return chance

"""Simulated people in front of lists: when they come, what they look at, what they do with it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms.audience.behaviour import BY_HOUR, click_chance, like_chance
from nextup.domain.events import EventType

if TYPE_CHECKING:
    from nextup.algorithms.audience.behaviour import Floats, Ints

ON = 0.9  # of those who looked at a place, the share that looks at the next one
DISMISSES = 0.15  # chance that something without any appeal is dismissed
RATES = 0.3  # of what is chosen
SPREAD = 0.12  # of pleasure around affinity: no two people like quite the same


class Curve(StrEnum):
    """How arrivals spread over the run."""

    DAY = "day"  # a day passes: few at night, a peak in the evening
    FLAT = "flat"


class Deed(NamedTuple):
    """What somebody does with a place of a list."""

    place: int  # from 0
    type: EventType
    value: float | None = None  # stars


def arrivals(rng: np.random.Generator, seconds: float, per_second: float, curve: Curve) -> Floats:
    """The moments, in seconds after the start, at which somebody comes; ascending."""
    busy = np.array(BY_HOUR) if curve is Curve.DAY else np.ones(1)
    edges = np.linspace(0, seconds, len(busy) + 1)
    arrived = np.r_[0, np.cumsum(busy)] / busy.sum()
    moments = np.interp(rng.random(rng.poisson(seconds * per_second)), arrived, edges)
    result: Floats = np.sort(moments)
    return result


def looked_at(rng: np.random.Generator, places: int) -> int:
    """How many places are looked at, from the top."""
    return int(min(rng.geometric(1 - ON), places))


def deeds(rng: np.random.Generator, affinity: Floats) -> list[Deed]:
    """What comes of the places that were looked at, by how much each is wanted, 0..1."""
    pleasure = affinity + SPREAD * rng.standard_normal(len(affinity))
    clicks = rng.random(len(affinity)) < click_chance(pleasure)
    likes = clicks & (rng.random(len(affinity)) < like_chance(pleasure))
    rates = clicks & (rng.random(len(affinity)) < RATES)
    dismisses = ~clicks & (rng.random(len(affinity)) < DISMISSES * (1 - affinity))
    stars = np.clip(np.round((1.3 + 3 * pleasure) * 2) / 2, 0.5, 5)  # in halves
    done: list[Deed] = []
    for place in range(len(affinity)):
        done += [Deed(place, EventType.CLICK)] if clicks[place] else []
        done += [Deed(place, EventType.LIKE)] if likes[place] else []
        done += [Deed(place, EventType.RATING, float(stars[place]))] if rates[place] else []
        done += [Deed(place, EventType.DISMISS)] if dismisses[place] else []
    return done


def regret(affinity: Floats, shown: Ints, known: Ints) -> float:
    """How much better, on average, the best places could have been than those shown, 0..1.

    `affinity` is of every item, `shown` are rows of items, `known` those that may not be shown.
    """
    left = np.delete(affinity, known) if len(known) else affinity
    size = min(len(shown), len(left))
    if size == 0:
        return 0.0
    best = np.partition(left, len(left) - size)[len(left) - size :]
    return float(max(best.mean() - affinity[shown].mean(), 0.0))

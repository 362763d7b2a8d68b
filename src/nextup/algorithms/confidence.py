"""One person's touches, weighed: what `transforms` does for everybody, for live serving."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.domain.events import EventType
from nextup.domain.weighing import UNIT, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from nextup.domain.recommendations import Touch
    from nextup.domain.weighing import Weighing


class Confidences(NamedTuple):
    """What one person wants, as far as their touches tell; oldest last touch first."""

    items: list[str]  # (h,) those with confidence, each once
    weights: NDArray[np.float32]  # (h,) confidence, > 0
    times: NDArray[np.int64]  # (h,) unix seconds of the last touch
    consumed: frozenset[str]  # every item with a view, click, like or rating
    dismissed: frozenset[str]


@dataclass(slots=True)
class _Pair:
    """One item's touches so far."""

    counts: dict[str, int] = field(default_factory=dict)  # type -> fading count, in units
    rating: tuple[int, int, float] | None = None  # when, offset, value of the last one
    verdict: tuple[int, int, str] | None = None  # when, offset, type of the last one
    last_at: int = -(2**63)  # microseconds


def confidences(touches: Iterable[Touch], weighing: Weighing, now: int) -> Confidences:
    """Weigh a person's touches, in any order, as of `now` (microseconds since the epoch).

    The same numbers as `gold.user_item` has for the same events. Touches after `now`, of a clock
    that runs ahead, count as of now.
    """
    pairs: dict[str, _Pair] = {}
    counted = weighing.counted  # made anew each time it is asked for
    for touch in _standing(touches):
        if touch.type != EventType.IMPRESSION:
            pair = pairs.get(touch.item_id)
            if pair is None:
                pair = pairs[touch.item_id] = _Pair()
            _add(pair, touch, weighing, counted, now)
    dismissed = frozenset(item for item, pair in pairs.items() if _is_dismissed(pair))
    weighed = [
        (pair.last_at, item, _confidence(pair, weighing, counted, now))
        for item, pair in pairs.items()
        if item not in dismissed
    ]
    wanted = sorted(entry for entry in weighed if np.float32(entry[2]) > 0)
    return Confidences(
        items=[item for _, item, _ in wanted],
        weights=np.array([weight for _, _, weight in wanted], np.float32),
        times=np.array([at // 1_000_000 for at, _, _ in wanted], np.int64),
        consumed=frozenset(item for item, pair in pairs.items() if _is_consumed(pair)),
        dismissed=dismissed,
    )


def _standing(touches: Iterable[Touch]) -> Iterable[Touch]:
    """Those that were not taken back later."""
    touches = list(touches)
    retracted: dict[str, int] = {}  # item -> when it was last taken back
    for touch in touches:
        if touch.type == EventType.RETRACT:
            last = retracted.get(touch.item_id, touch.occurred_at)
            retracted[touch.item_id] = max(last, touch.occurred_at)
    if not retracted:
        return touches
    never = -(2**63)
    return [touch for touch in touches if touch.occurred_at > retracted.get(touch.item_id, never)]


def _add(
    pair: _Pair, touch: Touch, weighing: Weighing, counted: Mapping[str, float], now: int
) -> None:
    kind = str(touch.type)
    if kind in counted:
        units = round(_fading(touch.occurred_at, weighing, now) / UNIT)
        pair.counts[kind] = pair.counts.get(kind, 0) + units
    place = (touch.occurred_at, touch.offset)
    if kind == EventType.RATING and (pair.rating is None or place > pair.rating[:2]):
        pair.rating = (*place, touch.value if touch.value is not None else -math.inf)
    if kind in VERDICTS and (pair.verdict is None or place > pair.verdict[:2]):
        pair.verdict = (*place, kind)
    pair.last_at = max(pair.last_at, touch.occurred_at)


def _fading(occurred_at: int, weighing: Weighing, now: int) -> float:
    if weighing.half_life_seconds <= 0:
        return 1.0
    age = max(now - occurred_at, 0) / 1e6  # seconds
    return math.pow(0.5, age / weighing.half_life_seconds)


def _confidence(pair: _Pair, weighing: Weighing, counted: Mapping[str, float], now: int) -> float:
    total = 0.0
    for kind, weight in counted.items():
        if kind in pair.counts:  # the logarithm of the others is 0
            total += weight * math.log2(1.0 + pair.counts[kind] * UNIT)
    if pair.rating is not None:
        at, _, value = pair.rating
        liking = (value - weighing.neutral_rating) / weighing.rating_span
        total += weighing.rating * min(max(liking, 0.0), 1.0) * _fading(at, weighing, now)
    return total


def _is_dismissed(pair: _Pair) -> bool:
    return pair.verdict is not None and pair.verdict[2] == EventType.DISMISS


def _is_consumed(pair: _Pair) -> bool:
    return bool(pair.counts) or pair.rating is not None

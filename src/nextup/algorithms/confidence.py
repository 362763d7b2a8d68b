"""One person's touches, weighed: what `transforms` does for everybody, for live serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from nextup.domain.events import EventType
from nextup.domain.weighing import UNIT, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def confidences(touches: Iterable[Touch], weighing: Weighing, now: int) -> Confidences:
    """Weigh a person's touches, in any order, as of `now` (microseconds since the epoch).

    The same numbers as `gold.user_item` has for the same events. Touches after `now`, of a clock
    that runs ahead, count as of now.
    """
    told = [touch for touch in _standing(touches) if touch.type != EventType.IMPRESSION]
    if not told:
        return Confidences(
            [], np.empty(0, np.float32), np.empty(0, np.int64), frozenset(), frozenset()
        )
    acts = _Acts.of(told)
    fading = _fading(acts.at, weighing, now)
    weights = (_counted(acts, weighing, fading) + _rated(acts, weighing, fading)).astype(np.float32)
    dismissed = _is_dismissed(acts)
    wanted = np.flatnonzero(~dismissed & (weights > 0)).tolist()
    last_at = acts.last(np.ones(len(told), bool), acts.at)
    names = acts.names
    wanted.sort(key=lambda item: (last_at[item], names[item]))
    return Confidences(
        items=[names[item] for item in wanted],
        weights=weights[wanted],
        times=last_at[wanted] // 1_000_000,
        consumed=acts.named(np.bincount(acts.item, acts.kind <= RATED, len(names)) > 0),
        dismissed=acts.named(dismissed),
    )


NUMBERS: Final = {
    str(kind): number
    for number, kind in enumerate(
        (EventType.VIEW, EventType.CLICK, EventType.LIKE, EventType.RATING, EventType.DISMISS)
    )
}
RATED, DISMISSED, OTHER = NUMBERS[EventType.RATING], NUMBERS[EventType.DISMISS], len(NUMBERS)
FIRST_VERDICT: Final = min(NUMBERS[kind] for kind in VERDICTS)  # all after it are verdicts, too


class _Acts(NamedTuple):
    """A person's touches in columns, by time and then by offset in the log."""

    names: list[str]  # the items
    item: NDArray[np.int64]  # (touches,) rows of `names`
    kind: NDArray[np.int64]  # (touches,) as in `NUMBERS`
    value: NDArray[np.float64]  # (touches,) of a rating; NaN where there is none
    at: NDArray[np.int64]  # (touches,) microseconds

    @classmethod
    def of(cls, touches: Sequence[Touch]) -> _Acts:
        item_ids, kinds, values, times, offsets = zip(*touches, strict=True)
        rows: dict[str, int] = {}
        item = np.array([rows.setdefault(item_id, len(rows)) for item_id in item_ids])
        kind = np.array([NUMBERS.get(each, OTHER) for each in kinds])
        value = np.array(values, np.float64)  # None becomes NaN
        at = np.array(times, np.int64)
        order = np.lexsort((np.array(offsets), at))
        return cls(list(rows), item[order], kind[order], value[order], at[order])

    def last(self, chosen: NDArray[np.bool_], column: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each item, the column's value in the last of the chosen touches; -1: none is."""
        found = np.full(len(self.names), -1)
        found[self.item[chosen]] = column[chosen]  # of those for one place, the last stays
        return found

    def named(self, items: NDArray[np.bool_]) -> frozenset[str]:
        """The names of those items."""
        return frozenset([self.names[row] for row in np.flatnonzero(items).tolist()])


def _counted(acts: _Acts, weighing: Weighing, fading: NDArray[np.float64]) -> NDArray[np.float64]:
    """What views, clicks and likes say, by item."""
    total = np.zeros(len(acts.names))
    units = np.rint(fading / UNIT)  # whole numbers far below 2 ** 53: their sums are exact
    for kind, weight in weighing.counted.items():
        chosen = acts.kind == NUMBERS[kind]
        if chosen.any():
            count = np.bincount(acts.item[chosen], units[chosen], len(total))
            total += weight * np.log2(1.0 + count * UNIT)
    return total


def _rated(acts: _Acts, weighing: Weighing, fading: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the last ratings say, by item."""
    total = np.zeros(len(acts.names))
    last = acts.last(acts.kind == RATED, np.arange(len(acts.kind)))
    rated = np.flatnonzero(last >= 0)
    liking = (acts.value[last[rated]] - weighing.neutral_rating) / weighing.rating_span
    liking = np.minimum(np.fmax(liking, 0.0), 1.0)  # one without a value likes nothing
    total[rated] = weighing.rating * liking * fading[last[rated]]
    return total


def _is_dismissed(acts: _Acts) -> NDArray[np.bool_]:
    """Whether the last verdict on each item is a dismissal."""
    verdicts = (acts.kind >= FIRST_VERDICT) & (acts.kind < OTHER)
    dismissed: NDArray[np.bool_] = acts.last(verdicts, acts.kind) == DISMISSED
    return dismissed


def _fading(at: NDArray[np.int64], weighing: Weighing, now: int) -> NDArray[np.float64]:
    """How much of a touch is left, 0..1."""
    if weighing.half_life_seconds <= 0:
        return np.ones(len(at))
    age = np.maximum(now - at, 0) / 1e6  # seconds
    fading: NDArray[np.float64] = np.power(0.5, age / weighing.half_life_seconds)
    return fading


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

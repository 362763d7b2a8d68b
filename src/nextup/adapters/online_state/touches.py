"""What every backend of the online state does alike: which rows are new, and what they add."""

from __future__ import annotations

from collections import Counter, defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from nextup.domain.events import EventType, LogRow, Position, from_microseconds, to_microseconds
from nextup.domain.recommendations import Tally, Touch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

MICROSECONDS_PER_HOUR = 3_600_000_000
HOURS_PER_DAY = 24

_offset = attrgetter("offset")


class Remembered(NamedTuple):
    """What is kept of one person."""

    partition: str | None  # of the log; None while only a load with several partitions is known
    last_offset: int  # rows up to this one have been applied
    touches: list[Touch]  # by offset


NOBODY = Remembered(None, -1, [])


class Cell(NamedTuple):
    """A counter: how often something was done with an item in one hour."""

    hour: int  # since the epoch, of when it occurred
    item_id: str
    type: str


def by_person(rows: Iterable[LogRow]) -> dict[str, list[LogRow]]:
    """The rows that are acts of people. Having been shown something is not an act."""
    people: defaultdict[str, list[LogRow]] = defaultdict(list)
    for row in rows:
        if row.type != EventType.IMPRESSION:
            people[row.user_id].append(row)
    return people


def applied(known: Remembered, rows: Iterable[LogRow]) -> tuple[Remembered, list[LogRow]]:
    """The person after the rows, and those rows that were not applied before."""
    partition, last_offset, _ = known
    new: list[LogRow] = []
    for row in rows:
        if row.offset > last_offset:
            partition, last_offset = row.partition, row.offset
            new.append(row)
    added = [Touch(row.item_id, row.type, row.value, row.occurred_at, row.offset) for row in new]
    return Remembered(partition, last_offset, known.touches + added), new


def loaded(known: Remembered, base: Sequence[Touch], position: Position) -> Remembered:
    """The person with `base` as all that the log holds up to `position`.

    Touches from beyond the position stay. Where the person's partition is not known (several
    partitions, and nothing of the person's applied yet), beyond means after the last of `base`.
    """
    partition = known.partition
    if partition is None and len(position) == 1:
        partition = next(iter(position))
    touches = sorted(base, key=_offset)
    last_of_base = touches[-1].offset if touches else -1
    reached = last_of_base if partition is None else position.get(partition, 0) - 1
    beyond = [touch for touch in known.touches if touch.offset > reached]
    if beyond:  # the base may reach further than the position: an offset counts once
        merged = {touch.offset: touch for touch in (*touches, *beyond)}
        touches = sorted(merged.values(), key=_offset)
    return Remembered(partition, max(known.last_offset, reached, last_of_base), touches)


def is_ahead(position: Position, of: Position) -> bool:
    """Whether there is anything between the two that a reader at `of` has not read."""
    return any(offset > of.get(partition, 0) for partition, offset in position.items())


def later(one: Position, other: Position) -> dict[str, int]:
    """The further of the two in each partition: a replay never moves a reader back."""
    return {
        partition: max(one.get(partition, 0), other.get(partition, 0))
        for partition in sorted({*one, *other})
    }


def counted(rows: Iterable[LogRow], weights: Mapping[str, float]) -> Counter[Cell]:
    """How often each counter goes up. What weighs nothing is not counted."""
    return Counter(
        Cell(row.occurred_at // MICROSECONDS_PER_HOUR, row.item_id, row.type)
        for row in rows
        if weights.get(row.type, 0) > 0
    )


def counted_beyond(
    people: Iterable[Remembered], position: Position, weights: Mapping[str, float]
) -> Counter[Cell]:
    """What touches from beyond the position add to the counters."""
    return Counter(
        Cell(touch.occurred_at // MICROSECONDS_PER_HOUR, touch.item_id, touch.type)
        for person in people
        if person.partition is not None  # else nothing but a load is known of them
        for touch in person.touches
        if touch.offset >= position.get(person.partition, 0) and weights.get(touch.type, 0) > 0
    )


def told(tallies: Iterable[Tally], weights: Mapping[str, float]) -> Counter[Cell]:
    """Tallies as counters; what weighs nothing is left out."""
    counters: Counter[Cell] = Counter()
    for item_id, kind, hour, times in tallies:
        if weights.get(kind, 0) > 0:
            counters[Cell(hour, item_id, kind)] += times
    return counters


def oldest_kept(newest_hour: int, now: datetime, window_days: float) -> int:
    """The hour from which counters are kept.

    Reckoned from the newest hour counted, so that a replay of old events keeps the same counters
    as their first run; but never from a later one than now, so that one event from a client whose
    clock is years ahead does not wipe out everybody else's.
    """
    this_hour = to_microseconds(now) // MICROSECONDS_PER_HOUR
    return min(newest_hour, this_hour) - int(window_days * HOURS_PER_DAY)


def hours_between(since: datetime, until: datetime) -> tuple[int, int]:
    """The first and the last hour that share a moment with [since, until); none: last < first."""
    first = to_microseconds(since) // MICROSECONDS_PER_HOUR
    last = (to_microseconds(until) - 1) // MICROSECONDS_PER_HOUR
    return first, last if since < until else first - 1


def weighed(
    cells: Iterable[tuple[tuple[int, str, str], int]], weights: Mapping[str, float]
) -> dict[str, list[tuple[datetime, float]]]:
    """Per item the hours in order, each with its weight.

    Counts are stored and weighed when read, so that sums are exact whatever the batches were, and
    a changed weight counts for the past too.
    """
    items: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for (hour, item_id, kind), times in sorted(cells):
        hours = items[item_id]
        hours[hour] = hours.get(hour, 0.0) + times * weights.get(kind, 0.0)
    began = {
        hour: hour_began(hour) for hour in {hour for hours in items.values() for hour in hours}
    }
    return {
        item_id: [(began[hour], weight) for hour, weight in hours.items() if weight > 0]
        for item_id, hours in items.items()
    }


def hour_began(hour: int) -> datetime:
    """The moment an hour since the epoch began."""
    return from_microseconds(hour * MICROSECONDS_PER_HOUR)

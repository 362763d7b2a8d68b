"""Events for the suites of what follows the log, and what must come of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from tests.contract.backends import WEIGHTS

from nextup.domain.events import LogRow, to_microseconds
from nextup.domain.recommendations import Tally, Touch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(
    offset: int,
    user_id: str = "ada",
    item_id: str = "film",
    *,
    type: str = "view",  # noqa: A002 - as the log calls it
    at: datetime = NOON,
    value: float | None = None,
    partition: str = "0",
) -> LogRow:
    moment = to_microseconds(at)
    return LogRow(
        partition,
        offset,
        moment,
        f"e{partition}-{offset}",
        type,
        user_id,
        item_id,
        moment,
        value,
        None,
        None,
        None,
    )


def touch(one: LogRow) -> Touch:
    return Touch(one.item_id, one.type, one.value, one.occurred_at, one.offset)


def after(rows: Sequence[LogRow]) -> dict[str, int]:
    """The position behind all of the rows."""
    position: dict[str, int] = {}
    for one in rows:
        position[one.partition] = max(position.get(one.partition, 0), one.offset + 1)
    return position


def histories(rows: Sequence[LogRow]) -> dict[str, list[Touch]]:
    people: defaultdict[str, list[Touch]] = defaultdict(list)
    for one in rows:
        if one.type != "impression":
            people[one.user_id].append(touch(one))
    return people


def tallies(rows: Sequence[LogRow]) -> list[Tally]:
    times = Counter((one.item_id, one.type, one.occurred_at // 3_600_000_000) for one in rows)
    return [Tally(*key, number) for key, number in times.items()]


acts = st.tuples(
    st.integers(0, 3),  # whose
    st.sampled_from("abc"),
    st.sampled_from([*WEIGHTS, "impression"]),
    st.integers(-200, 200),  # minutes from noon
    st.none() | st.floats(0.5, 5),
    st.integers(1, 3),  # offsets to the next one: a log may have gaps
)


def log(drawn: Sequence[tuple[int, str, str, int, float | None, int]]) -> list[LogRow]:
    """Two partitions in the order in which they were appended to."""
    next_offset = {"p0": 0, "p1": 2}
    rows = []
    for person, item_id, kind, minutes, value, step in drawn:
        partition = f"p{person % 2}"
        rows.append(
            row(
                next_offset[partition],
                f"user-{person}",
                item_id,
                type=kind,
                at=NOON + timedelta(minutes=minutes),
                value=value,
                partition=partition,
            )
        )
        next_offset[partition] += step
    return rows


streams = st.lists(acts, max_size=25).map(log)
cuts = st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), max_size=6)


def portions(rows: Sequence[LogRow], cuts: Sequence[tuple[int, int]]) -> Iterator[Sequence[LogRow]]:
    """What a reader gets that is killed and starts again from somewhere before."""
    reached = 0
    for back, forth in [*cuts, (0, len(rows))]:
        start = max(0, reached - back)
        reached = min(len(rows), max(reached, start + forth))
        yield rows[start:reached]


def counters(rows: Sequence[LogRow]) -> dict[str, dict[datetime, float]]:
    times = Counter(
        (one.item_id, one.type, one.occurred_at // 3_600_000_000)
        for one in rows
        if WEIGHTS.get(one.type, 0) > 0
    )
    expected: defaultdict[str, defaultdict[datetime, float]]
    expected = defaultdict(lambda: defaultdict(float))
    for (item_id, kind, hour), number in times.items():
        expected[item_id][datetime.fromtimestamp(hour * 3600, UTC)] += number * WEIGHTS[kind]
    return {item_id: dict(hours) for item_id, hours in expected.items()}

"""Bring the online state's histories up to date with the lake, in bulk.

After a large import the updater would read the whole log event by event; the lake has it in
columns already. What people did since then is kept: the state tells both apart by the offset.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from math import isnan
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from nextup.domain import tables as t
from nextup.domain.events import EventType, from_microseconds
from nextup.domain.recommendations import Tally, Touch
from nextup.domain.tables import Table
from nextup.services.collect import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nextup.domain.events import Position
    from nextup.ports.engine import Engine
    from nextup.ports.lake import Lake
    from nextup.ports.online_state import OnlineState
    from nextup.services.train import Report

MICROSECONDS_PER_HOUR = 3_600_000_000
# tuple's own constructor, past the named tuple's Python one: there are millions of touches
_touch: Callable[[Iterable[Any]], Touch] = partial(tuple.__new__, Touch)
_COLUMNS = (t.USER_ID, t.ITEM_ID, t.TYPE, t.VALUE, t.OCCURRED_AT, t.OFFSET)


def load_histories(
    engine: Engine,
    lake: Lake,
    state: OnlineState,
    *,
    window_days: float,
    report: Report | None = None,
) -> int:
    """Load everything silver knows, unless the state has read the log further already.

    The counters of what trends get the last `window_days`.
    """
    position = lake.position(Table.INTERACTIONS, SOURCE)
    if not is_ahead(position, state.position()):
        return 0
    tallies = _tallies(engine, window_days)
    return state.load_histories(_histories(engine, report), position, tallies)


def is_ahead(position: Position, other: Position) -> bool:
    """Whether `position` lies beyond `other` in any partition."""
    return any(offset > other.get(partition, 0) for partition, offset in position.items())


def _tallies(engine: Engine, window_days: float) -> Iterator[Tally]:
    """What was done with each item in each hour of the window, which ends with the last event."""
    events = engine.scan(Table.INTERACTIONS)
    (newest,) = engine.arrays(events.select(nw.col(t.OCCURRED_AT).max())).values()
    if not len(newest) or newest[0] is None or newest[0] != newest[0]:
        return
    start = from_microseconds(int(newest[0])) - timedelta(days=window_days)
    hours = events.filter(nw.col(t.OCCURRED_AT) >= start).with_columns(
        nw.col(t.OCCURRED_AT).dt.truncate("1h")
    )
    keys = (t.ITEM_ID, t.TYPE, t.OCCURRED_AT)
    counts = engine.arrays(hours.group_by(*keys).agg(nw.len().alias(t.TOUCHES)))
    began = counts[t.OCCURRED_AT] // MICROSECONDS_PER_HOUR
    columns = (counts[t.ITEM_ID], counts[t.TYPE], began, counts[t.TOUCHES])
    yield from map(Tally, *(column.tolist() for column in columns))


def _histories(engine: Engine, report: Report | None) -> Iterator[tuple[str, Sequence[Touch]]]:
    parts = engine.slices(Table.INTERACTIONS, t.USER_ID)
    for number, part in enumerate(parts, start=1):
        acts = part.filter(nw.col(t.TYPE) != EventType.IMPRESSION.value)
        rows = engine.arrays(acts.select(*_COLUMNS).sort(t.USER_ID, t.OFFSET))
        yield from _by_person(rows)
        if report is not None:
            report("histories", number, len(parts))


def _by_person(rows: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[tuple[str, Sequence[Touch]]]:
    users = rows[t.USER_ID]
    if not len(users):  # nobody did anything but see impressions
        return
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]]).tolist()
    for start, stop in zip(starts, [*starts[1:], len(users)], strict=True):
        yield str(users[start]), _touches(rows, slice(start, stop))


def _touches(rows: Mapping[str, np.ndarray[Any, Any]], of: slice) -> list[Touch]:
    values = [None if isnan(value) else value for value in rows[t.VALUE][of].tolist()]
    columns = (
        rows[t.ITEM_ID][of].tolist(),
        rows[t.TYPE][of].tolist(),
        values,
        rows[t.OCCURRED_AT][of].tolist(),
        rows[t.OFFSET][of].tolist(),
    )
    return list(map(_touch, zip(*columns, strict=True)))

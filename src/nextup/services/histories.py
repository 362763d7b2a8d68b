"""Bring the online state's histories up to date with the lake, in bulk.

After a large import the updater would read the whole log event by event; the lake has it in
columns already. What people did since then is kept: the state tells both apart by the offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from nextup.domain import tables as t
from nextup.domain.events import EventType
from nextup.domain.recommendations import Touch
from nextup.domain.tables import Table
from nextup.services.collect import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nextup.domain.events import Position
    from nextup.ports.engine import Engine
    from nextup.ports.lake import Lake
    from nextup.ports.online_state import OnlineState
    from nextup.services.train import Report

_COLUMNS = (t.USER_ID, t.ITEM_ID, t.TYPE, t.VALUE, t.OCCURRED_AT, t.OFFSET)


def load_histories(
    engine: Engine, lake: Lake, state: OnlineState, *, report: Report | None = None
) -> int:
    """Load everything silver knows, unless the state has read the log further already."""
    position = lake.position(Table.INTERACTIONS, SOURCE)
    if not is_ahead(position, state.position()):
        return 0
    return state.load_histories(_histories(engine, report), position)


def is_ahead(position: Position, other: Position) -> bool:
    """Whether `position` lies beyond `other` in any partition."""
    return any(offset > other.get(partition, 0) for partition, offset in position.items())


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
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]]).tolist() if len(users) else []
    for start, stop in zip(starts, [*starts[1:], len(users)], strict=True):
        yield str(users[start]), _touches(rows, slice(start, stop))


def _touches(rows: Mapping[str, np.ndarray[Any, Any]], of: slice) -> list[Touch]:
    values = [None if value != value else value for value in rows[t.VALUE][of].tolist()]  # NaN
    return list(
        map(
            Touch,
            rows[t.ITEM_ID][of].tolist(),
            rows[t.TYPE][of].tolist(),
            values,
            rows[t.OCCURRED_AT][of].tolist(),
            rows[t.OFFSET][of].tolist(),
        )
    )

"""From what arrived to what can be relied on. Narwhals expressions: one text, two engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw

from nextup.domain.tables import COLUMNS, EVENT_ID, OFFSET, PARTITION, Table

if TYPE_CHECKING:
    from collections.abc import Mapping


def log_window(
    frame: nw.LazyFrame[Any], start: Mapping[str, int], end: Mapping[str, int]
) -> nw.LazyFrame[Any]:
    """The rows of each partition in `end` with start <= offset < end; a start not given is 0."""
    windows = [
        (nw.col(PARTITION) == partition)
        & (nw.col(OFFSET) >= start.get(partition, 0))
        & (nw.col(OFFSET) < stop)
        for partition, stop in end.items()
    ]
    if not windows:
        return frame.head(0)
    return frame.filter(nw.any_horizontal(*windows, ignore_nulls=False))


def interactions(events: nw.LazyFrame[Any], known: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The events that silver does not have yet, each once: the first in log order stays.

    `known` needs no more than the event ids that silver has; it may be far larger than `events`.
    """
    first = events.unique(subset=[EVENT_ID], keep="first", order_by=[PARTITION, OFFSET])
    # Two joins, so that the large side only streams past: first which of these few are known ...
    seen = known.select(EVENT_ID).join(events.select(EVENT_ID), on=EVENT_ID, how="semi")
    # ... then the others.
    fresh = first.join(seen, on=EVENT_ID, how="anti")
    return fresh.select(*COLUMNS[Table.INTERACTIONS])

"""The log into bronze: every event and every rejected record, exactly once.

Where it stands is written in the table itself, in the transaction that adds the rows. A kill at
any moment loses nothing: the next call goes on from what the tables say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nextup.domain.errors import Conflict
from nextup.domain.events import LogRow
from nextup.domain.tables import RECEIVED_AT, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    import narwhals as nw

    from nextup.domain.events import Position
    from nextup.ports.engine import Engine
    from nextup.ports.event_log import EventBatch, EventLog, RejectedBatch

    Report = Callable[[str, int, int], None]
    """Called as `report(what, done, total)`."""

SOURCE: Final = "events"  # whose position the lake's tables keep
ATTEMPTS: Final = 20  # to get in between another collector's transactions
PAGE_ROWS: Final = 20_000  # read at once: rows as Python objects take about 1 kB each
_DAY: Final = 86_400_000_000  # microseconds
_RECEIVED_AT: Final = LogRow._fields.index(RECEIVED_AT)


@dataclass(frozen=True, slots=True)
class _Source:
    """One of the log's two streams and the table it goes to."""

    table: Table
    read: Callable[[Position, int], EventBatch | RejectedBatch]
    until: Position | None  # None: as far as it goes
    share: Collection[str] | None = None  # of the partitions; None: all


def collect(
    log: EventLog,
    engine: Engine,
    *,
    batch_rows: int,
    until: Position | None = None,
    report: Report | None = None,
) -> dict[str, int]:
    """Move what the log holds into bronze and return how many rows when there is no more.

    Events are taken up to `until` (default: the log's head now, so that a busy log cannot keep
    this from ending). Another collector may be at work on the same lake: whoever comes second
    goes on from where the first got to.
    """
    head = log.head() if until is None else until
    events = _Source(Table.EVENTS, log.read, head)
    rejected = _Source(Table.QUARANTINE, log.read_rejected, None)
    return {
        "events": _drain_beside_others(events, engine, batch_rows, report),
        "rejected": _drain_beside_others(rejected, engine, batch_rows, report),
    }


def collect_share(
    partitions: Collection[str],
    read: Callable[[Position, int], EventBatch],
    engine: Engine,
    *,
    batch_rows: int,
) -> Position | None:
    """Move one transaction's worth of some partitions into bronze; returns where they stand, or
    None when there was nothing to move.

    Raises Conflict if somebody else has moved one of them meanwhile: a partition changes hands in
    the middle of a batch, and then what the tables say counts.
    """
    source = _Source(Table.EVENTS, read, None, partitions)
    start = _start(source, engine)
    for pages, position in _batches(source, engine, start, batch_rows):
        engine.append(source.table, pages, source=SOURCE, position=position, after=start)
        return position
    return None


def collect_rejected(log: EventLog, engine: Engine, *, batch_rows: int) -> int:
    """Move the log's rejected records into bronze; returns how many."""
    source = _Source(Table.QUARANTINE, log.read_rejected, None)
    return _drain_beside_others(source, engine, batch_rows, None)


def _drain_beside_others(
    source: _Source, engine: Engine, batch_rows: int, report: Report | None
) -> int:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _drain(source, engine, batch_rows, report)
        except Conflict:  # each time the other one has moved on, so this ends
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _drain(source: _Source, engine: Engine, batch_rows: int, report: Report | None) -> int:
    start = _start(source, engine)
    goal = _ahead(start, source.until or {})
    total = 0
    for pages, position in _batches(source, engine, start, batch_rows):
        written = engine.append(source.table, pages, source=SOURCE, position=position, after=start)
        total += written
        start = position
        if report is not None and source.until is not None:
            report(source.table.value, goal - _ahead(start, source.until), goal)
    return total


def _start(source: _Source, engine: Engine) -> Position:
    reached = engine.position(source.table, SOURCE)
    if source.share is None:
        return reached
    return {partition: reached.get(partition, 0) for partition in source.share}


def _batches(
    source: _Source, engine: Engine, start: Position, batch_rows: int
) -> Iterator[tuple[list[nw.LazyFrame[Any]], Position]]:
    """Pages of the log as frames, gathered until they make a transaction's worth."""
    pages: list[nw.LazyFrame[Any]] = []
    rows, position, told = 0, start, start
    while source.until is None or _ahead(position, source.until):
        batch = source.read(position, min(PAGE_ROWS, batch_rows - rows))
        position = batch.position  # moves on without rows over events that were sent twice
        if not batch.rows:
            break
        pages.append(engine.rows(source.table, _table_rows(source.table, batch.rows)))
        rows += len(batch.rows)
        if rows >= batch_rows:
            yield pages, position
            pages, rows, told = [], 0, position
    if pages or position != told:
        yield pages or [engine.rows(source.table, [])], position


def _ahead(position: Position, until: Position) -> int:
    """How many offsets are still to come."""
    return sum(max(offset - position.get(partition, 0), 0) for partition, offset in until.items())


def _table_rows(table: Table, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    if table is Table.EVENTS:
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        days = [received_at // _DAY for received_at in columns[_RECEIVED_AT]]
        return list(zip(*columns, days, strict=True))
    return [(*row, None) for row in rows]  # not readmitted

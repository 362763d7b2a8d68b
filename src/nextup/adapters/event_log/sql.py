"""The event log in a SQL database: one partition, consecutive offsets, group commit."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select

from nextup.adapters.event_log.group_commit import GroupCommit
from nextup.adapters.event_log.naming import names_person
from nextup.adapters.event_log.sql_statements import Heads, NewRows
from nextup.adapters.event_log.sql_tables import EVENTS, REJECTED, LogTables
from nextup.adapters.sql import IN_CHUNK, Database
from nextup.adapters.sql_backup import SqlBackup
from nextup.adapters.sql_schema import Schema
from nextup.adapters.sql_trial import SqlTrial
from nextup.domain import tables as t
from nextup.domain.errors import InvalidInput
from nextup.domain.events import (
    Appended,
    Event,
    LogRow,
    Position,
    Rejected,
    RejectedRow,
    to_microseconds,
)
from nextup.ports.event_log import EventBatch, RejectedBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Table

    from nextup.adapters.event_log.mirror import Mirror

PARTITION: Final = "0"  # the only one: a single writer at a time keeps everybody's order
GROUP_EVENTS: Final = 50_000  # of several appends in one transaction

_NEW: Final = False  # not a duplicate

# tuple's own constructor, past the named tuple's Python one: a third of the time per row
_receipt: Callable[[Iterable[Any]], Appended] = partial(tuple.__new__, Appended)
_log_row: Callable[[Iterable[Any]], LogRow] = partial(tuple.__new__, LogRow)


def _now() -> datetime:
    return datetime.now(UTC)


class _Append:
    """One caller's events, checked and with their times as integers, in the caller's thread."""

    def __init__(self, events: Sequence[Event]) -> None:
        try:
            self.times = [to_microseconds(event.occurred_at) for event in events]
        except TypeError as error:
            raise InvalidInput(
                "An event's time has no time zone.", cure="Send times like 2024-05-01T12:00:00Z."
            ) from error
        if not all(event.value is None or math.isfinite(event.value) for event in events):
            raise InvalidInput("An event's value is not a finite number.")
        self.events = events


class SqlEventLog(SqlBackup, SqlTrial):
    """An EventLog, with SupportsErasure, in SQLite or PostgreSQL.

    Takes the database over: closing the log closes it. `clock` gives `received_at`, which stays
    where it was while the clock is behind it. A `mirror` writes in the log's transactions.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime] = _now,
        mirror: Mirror | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._mirror = mirror
        self._tables = LogTables(database.table_name)
        self._metadata = self._tables.metadata
        Schema(database, "event_log").prepare(self._metadata)
        self._create_heads()
        if mirror is not None:
            mirror.make()
        self._heads = Heads(database, self._tables.heads)
        self._events = self._rows_of(self._tables.events, t.EVENT_ID)
        self._rejected = self._rows_of(self._tables.rejected, t.REJECTED_ID)
        self._group = GroupCommit[_Append, list[Appended]](
            self._write, weigh=lambda append: len(append.events), most=GROUP_EVENTS
        )

    def append(self, events: Sequence[Event]) -> list[Appended]:
        """As in the port; appends of several threads share transactions."""
        if self._mirror is not None:
            self._mirror.check(events)
        return self._group.submit(_Append(events)) if events else []

    def read(self, position: Position, limit: int) -> EventBatch:
        """As in the port. Raises InvalidInput for a position in another log's partitions."""
        rows = list(map(_log_row, self._rows(self._events, position, limit)))
        return EventBatch(rows, _after(rows, position))

    def head(self) -> Position:
        """As in the port; it stays where it is when the last events are erased."""
        with self._database.connect() as connection:
            offset = self._head(connection, EVENTS)
        return {PARTITION: offset} if offset else {}

    def reject(self, records: Sequence[Rejected]) -> int:
        """As in the port."""
        if not records:
            return 0
        ids = [record.rejected_id for record in records]
        rows = [(*record[:5], to_microseconds(record.rejected_at)) for record in records]
        with self._database.writing() as connection:
            start, _ = self._heads.lock(connection, REJECTED)
            first = _first_places(ids)
            numbered = [(start + n, *rows[at]) for n, at in enumerate(first.values())]
            self._rejected.put(connection, numbered)
            new = self._rejected.since(connection, start)
            self._heads.move(connection, REJECTED, max(new.values(), default=start - 1) + 1)
        return len(new)

    def read_rejected(self, position: Position, limit: int) -> RejectedBatch:
        """As in the port. Raises InvalidInput for a position in another log's partitions."""
        rows = [RejectedRow._make(row) for row in self._rows(self._rejected, position, limit)]
        return RejectedBatch(rows, _after(rows, position))

    def committed(self, group: str) -> Position:
        """As in the port."""
        table = self._tables.consumers
        query = select(table.c[t.PARTITION], table.c[t.OFFSET]).where(
            table.c.consumer_group == group
        )
        with self._database.connect() as connection:
            return dict(connection.execute(query).all())

    def commit(self, group: str, position: Position) -> None:
        """As in the port; a position before the last one moves the group back."""
        table = self._tables.consumers
        rows = [(group, partition, offset) for partition, offset in position.items()]
        with self._database.begin() as connection:
            connection.execute(delete(table).where(table.c.consumer_group == group))
            for row in rows:
                connection.execute(table.insert().values(row))

    def erase(self, user_id: str) -> int:
        """As in the port. A rejected record names the person if it is JSON with a field such as
        `user_id`, `userId` or `user` of this value, at any depth. SQLite's file is left without
        the erased bytes."""
        with self._database.connect() as connection:  # the long search, before the lock
            seen = {log: self._head(connection, log) for log in (EVENTS, REJECTED)}
            found = self._about(connection, user_id, {EVENTS: 0, REJECTED: 0})
        with self._database.begin() as connection:
            if self._database.is_sqlite:
                connection.exec_driver_sql("PRAGMA secure_delete = ON")  # overwrite, not unlink
            later = self._about(connection, user_id, seen)
            gone = self._delete(connection, self._tables.events, found[0] | later[0])
            gone += self._delete(connection, self._tables.rejected, found[1] | later[1])
            if self._mirror is not None:
                self._mirror.erase(connection, user_id)
        if gone:
            self._database.checkpoint()
        return gone

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    def _create_heads(self) -> None:
        heads = self._tables.heads
        with self._database.connect() as connection:
            if len(connection.execute(select(heads.c.log)).all()) == 2:
                return
        rows = [{"log": log, "next_offset": 0, "last_at": 0} for log in (EVENTS, REJECTED)]
        with self._database.begin() as connection:
            connection.execute(self._database.insert(heads).on_conflict_do_nothing(), rows)

    def _write(self, appends: list[_Append]) -> list[list[Appended]]:
        """All of the appends in one transaction; their receipts, in order."""
        if len(appends) == 1:
            return [self._write_events(appends[0].events, appends[0].times)]
        receipts = self._write_events(
            [event for append in appends for event in append.events],
            [time for append in appends for time in append.times],
        )
        parts: list[list[Appended]] = []
        taken = 0
        for append in appends:
            parts.append(receipts[taken : taken + len(append.events)])
            taken += len(append.events)
        return parts

    def _write_events(self, events: Sequence[Event], times: Sequence[int]) -> list[Appended]:
        if self._mirror is None:
            with self._database.writing() as connection:
                return self._append(connection, events, times)[0]
        with self._database.begin() as through_sqlalchemy:
            connection = through_sqlalchemy.connection.driver_connection
            receipts, written = self._append(connection, events, times)
            self._mirror.follow(through_sqlalchemy, written)
            return receipts

    def _append(
        self, connection: Any, events: Sequence[Event], times: Sequence[int]
    ) -> tuple[list[Appended], Sequence[Event]]:
        """The receipts, and those events that were written."""
        ids = [event.event_id for event in events]
        first = _first_places(ids)
        start, last_at = self._heads.lock(connection, EVENTS)
        received_at = max(last_at, to_microseconds(self._clock()))
        if len(first) < len(ids):
            events = [events[at] for at in first.values()]
            times = [times[at] for at in first.values()]
        written = self._events.put(connection, _numbered(events, times, start, received_at))
        if written == len(ids):  # nothing was a duplicate, here or in the log
            end = start + written
            self._heads.move(connection, EVENTS, end, received_at)
            news = zip(ids, repeat(PARTITION), range(start, end), repeat(_NEW))
            return list(map(_receipt, news)), events
        offsets = self._events.since(connection, start)
        end = max(offsets.values(), default=start - 1) + 1
        self._heads.move(connection, EVENTS, end, received_at)
        events = [event for event in events if event.event_id in offsets]
        absent = [event_id for event_id in first if event_id not in offsets]
        offsets |= self._events.offsets(connection, absent)
        receipts = [
            Appended(event_id, PARTITION, offset, offset < start or first[event_id] != at)
            for at, event_id in enumerate(ids)
            for offset in (offsets[event_id],)
        ]
        return receipts, events

    def _rows_of(self, table: Table, key: str) -> NewRows:
        columns = table.c
        return NewRows(
            self._database, table, key=columns[key], offset=columns[t.OFFSET], name=PARTITION
        )

    def _rows(self, rows: NewRows, position: Position, limit: int) -> Sequence[Sequence[Any]]:
        strangers = set(position) - {PARTITION}
        if strangers:
            raise InvalidInput(
                f"This log has no partition '{min(strangers)}': the position is another log's.",
                cure="Start the consumer group from the beginning, or where `migrate` put it.",
            )
        with self._database.driver() as connection:
            return rows.read(connection, position.get(PARTITION, 0), limit)

    def _head(self, connection: Connection, log: str) -> int:
        heads = self._tables.heads
        query = select(heads.c.next_offset).where(heads.c.log == log)
        offset: int = connection.execute(query).scalar_one()
        return offset

    def _about(
        self, connection: Connection, user_id: str, since: Mapping[str, int]
    ) -> tuple[set[int], set[int]]:
        """The offsets of the person's events and rejected records, from the given ones on."""
        events, rejected = self._tables.events.c, self._tables.rejected.c
        own = select(events[t.OFFSET]).where(
            events[t.OFFSET] >= since[EVENTS], events[t.USER_ID] == user_id
        )
        record = rejected[t.RECORD]
        # A superset that the database can find: the name as it is, or something escaped.
        naming = select(rejected[t.OFFSET], record).where(
            rejected[t.OFFSET] >= since[REJECTED],
            record.contains(user_id, autoescape=True) | record.contains("\\", autoescape=True),
        )
        return (
            set(connection.execute(own).scalars()),
            {at for at, text in connection.execute(naming) if names_person(text, user_id)},
        )

    def _delete(self, connection: Connection, table: Table, offsets: set[int]) -> int:
        gone, ordered = 0, sorted(offsets)
        for begin in range(0, len(ordered), IN_CHUNK):
            chunk = ordered[begin : begin + IN_CHUNK]
            gone += connection.execute(delete(table).where(table.c[t.OFFSET].in_(chunk))).rowcount
        return gone


def _numbered(
    events: Sequence[Event], times: Sequence[int], start: int, received_at: int
) -> list[tuple[Any, ...]]:
    """Rows of the events' table."""
    offsets = range(start, start + len(events))
    return [
        (
            offset,
            received_at,
            event_id,
            kind,
            user_id,
            item_id,
            time,
            value,
            session,
            served,
            context,
        )
        for offset, time, event in zip(offsets, times, events, strict=True)
        for event_id, kind, user_id, item_id, _, value, session, served, context in (event,)
    ]


def _first_places(ids: Sequence[str]) -> dict[str, int]:
    """Each id, in the order they first occur, with the place where it does."""
    places: dict[str, int] = {}
    for at, name in enumerate(ids):
        places.setdefault(name, at)
    return places


def _after(rows: Sequence[LogRow] | Sequence[RejectedRow], position: Position) -> Position:
    return {PARTITION: rows[-1].offset + 1} if rows else position

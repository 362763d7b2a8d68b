"""The online state in SQLite or PostgreSQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    select,
)

from nextup.adapters.online_state.packing import StatePacker
from nextup.adapters.online_state.sql_statements import (
    CounterStatements,
    HistoryStatements,
    ReachedStatements,
)
from nextup.adapters.online_state.touches import (
    NOBODY,
    Cell,
    Remembered,
    applied,
    by_person,
    counted,
    counted_beyond,
    hours_between,
    is_ahead,
    later,
    loaded,
    oldest_kept,
    told,
    weighed,
)
from nextup.adapters.sql import Id
from nextup.adapters.sql_backup import SqlBackup
from nextup.adapters.sql_schema import Schema
from nextup.adapters.sql_trial import SqlTrial
from nextup.domain.events import to_microseconds
from nextup.domain.tables import ITEM_ID, PARTITION, TOUCHES, TYPE, USER_ID

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nextup.adapters.sql import Database
    from nextup.domain.events import LogRow, Position
    from nextup.domain.recommendations import ServedList, Tally, Touch

PEOPLE_PER_TRANSACTION: Final = 2_000  # of a bulk load; events are applied in between
EXPIRED_PER_SAVE: Final = 100  # served lists removed in passing: no request pays for many
_SLOT: Final = 0  # of the only row that says how far the log has been applied


class SqlOnlineState(SqlBackup, SqlTrial):
    """A person's whole history is one row, read and written anew with each batch of events.

    `weights` says how much each type of event adds to a counter; a type that it lacks adds
    nothing. Counters of hours more than `window_days` old are forgotten. Writers queue at the row
    with the position, so that what is applied and how far are always one.
    """

    def __init__(
        self, database: Database, *, weights: Mapping[str, float], window_days: float
    ) -> None:
        self._database = database
        self._weights = dict(weights)
        self._window_days = window_days
        self._packer = StatePacker()
        self._nothing = ("", *NOBODY[:2], self._packer.pack_touches([]))  # of somebody new
        metadata = self._metadata = MetaData()
        self._reached = Table(
            database.table_name("online_position"),
            metadata,
            Column("slot", Integer, primary_key=True, autoincrement=False),
            Column("position", Text, nullable=False),
        )
        self._histories = Table(
            database.table_name("online_histories"),
            metadata,
            Column(USER_ID, Id, primary_key=True),
            Column(PARTITION, Text),
            Column("last_offset", BigInteger, nullable=False),
            Column(TOUCHES, LargeBinary, nullable=False),
        )
        self._counters = Table(
            database.table_name("online_counters"),
            metadata,
            Column("hour", BigInteger, primary_key=True, autoincrement=False),
            Column(ITEM_ID, Id, primary_key=True),
            Column(TYPE, Id, primary_key=True),
            Column("times", BigInteger, nullable=False),
            sqlite_with_rowid=False,
        )
        self._served = Table(
            database.table_name("online_served"),
            metadata,
            Column("token", Id, primary_key=True),
            Column(USER_ID, Id, nullable=False, index=True),
            Column("expires_at", BigInteger, nullable=False, index=True),
            Column("list", Text, nullable=False),
        )
        self._position = ReachedStatements(database, self._reached)
        self._people = HistoryStatements(database, self._histories)
        self._counts = CounterStatements(database, self._counters)
        Schema(database, "online_state").prepare(metadata)
        self._make_slot()

    def position(self) -> Position:
        """How far the log has been applied."""
        row = self._database.first_row(self._position.read)
        return _read_position(None if row is None else row[0])

    def apply(self, rows: Sequence[LogRow], position: Position) -> None:
        """Add events and move to `position`; a replay changes nothing and moves nothing back."""
        people = by_person(rows)
        with self._database.writing() as connection:
            before = self._lock_position(connection)
            kept = {row[0]: row for row in self._people.find(connection, list(people))}
            changed: list[tuple[Any, ...]] = []
            counters: list[LogRow] = []
            for user_id, theirs in people.items():
                _, partition, last, touches = kept.get(user_id) or self._nothing
                (partition, last, added), new = applied(Remembered(partition, last, []), theirs)
                if new:
                    touches = self._packer.extend_touches(user_id, touches, added)
                    changed.append((user_id, partition, last, touches))
                    counters += new
            self._people.put(connection, changed)
            self._count(connection, counted(counters, self._weights))
            self._move(connection, before, position)

    def history(self, user_id: str) -> list[Touch]:
        """Everything the person did, in log order; empty for an unknown one."""
        row = self._database.first_row(self._people.read, (user_id,))
        return [] if row is None else self._packer.unpack_touches(user_id, row[0])

    def load_histories(
        self,
        histories: Iterable[tuple[str, Sequence[Touch]]],
        position: Position,
        tallies: Iterable[Tally] = (),
    ) -> int:
        """Put in what the log holds up to `position`; see the port.

        Some thousand people become durable at a time; the counters and the position come last,
        so that after a kill a second load makes everything right.
        """
        news = is_ahead(position, self.position())
        people = 0
        rest = iter(histories)
        while batch := list(islice(rest, PEOPLE_PER_TRANSACTION)):
            with self._database.writing() as connection:
                self._lock_position(connection)
                known = self._remembered(connection, [user_id for user_id, _ in batch])
                for user_id, base in batch:
                    known[user_id] = loaded(known.get(user_id, NOBODY), base, position)
                self._put_histories(connection, known)
            people += len(batch)
        with self._database.writing() as connection:
            before = self._lock_position(connection)
            if news:
                self._recount(connection, position, tallies)
            self._move(connection, before, position)
        return people

    def trending(
        self, since: datetime, until: datetime
    ) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """Per item the hours that share a moment with [since, until), and the weight in each."""
        with self._database.driver() as connection:
            found = self._counts.between(connection, *hours_between(since, until))
        return weighed(
            (((hour, item, kind), times) for hour, item, kind, times in found), self._weights
        )

    def save_served(self, served: ServedList, expires_at: datetime) -> None:
        """Keep a served list; the same token replaces. Some expired ones go in passing."""
        self.save_many_served([(served, expires_at)])

    def save_many_served(self, lists: Sequence[tuple[ServedList, datetime]]) -> None:
        """Keep many in one transaction; of equal tokens the last counts."""
        rows = {
            served.token: {
                "token": served.token,
                USER_ID: served.user_id,
                "expires_at": to_microseconds(expires_at),
                "list": self._packer.pack_served(served),
            }
            for served, expires_at in lists
        }
        if not rows:
            return
        kept = self._served.c
        put = self._database.insert(self._served)
        names = (USER_ID, "expires_at", "list")
        put = put.on_conflict_do_update(
            index_elements=[kept.token], set_={name: put.excluded[name] for name in names}
        )
        limit = EXPIRED_PER_SAVE * len(rows)
        expired = select(kept.token).where(kept.expires_at <= _now()).limit(limit)
        with self._database.begin() as connection:
            connection.execute(delete(self._served).where(kept.token.in_(expired)))
            connection.execute(put, list(rows.values()))

    def served(self, token: str) -> ServedList | None:
        """The list, unless it is unknown or has expired."""
        kept = self._served.c
        query = select(kept["list"]).where(kept.token == token, kept.expires_at > _now())
        with self._database.connect() as connection:
            packed = connection.execute(query).scalar()
        return None if packed is None else self._packer.unpack_served(token, packed)

    def erase(self, user_id: str) -> int:
        """Forget the person. Returns how many: one for the history, and each served list."""
        with self._database.begin() as connection:
            # A batch under way would write the history again.
            self._lock_position(connection.connection.driver_connection)
            return sum(
                connection.execute(delete(table).where(table.c[USER_ID] == user_id)).rowcount
                for table in (self._histories, self._served)
            )

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    def _make_slot(self) -> None:
        """The row with the position is always there, so that writers can queue at it."""
        with self._database.connect() as connection:
            if connection.execute(select(self._reached.c.slot)).first() is not None:
                return
        with self._database.begin() as connection:
            connection.execute(
                self._database.insert(self._reached).on_conflict_do_nothing(),
                {"slot": _SLOT, "position": "{}"},
            )

    def _lock_position(self, connection: Any) -> dict[str, int]:
        """Where the state stands; no other writer can go on until the transaction ends."""
        return _read_position(self._position.lock(connection))

    def _move(self, connection: Any, before: Position, position: Position) -> None:
        after = later(before, position)
        if after != before:
            self._position.move(connection, json.dumps(after))

    def _remembered(self, connection: Any, people: Sequence[str]) -> dict[str, Remembered]:
        """What is kept of those people who are known."""
        return {
            user_id: Remembered(partition, last, self._packer.unpack_touches(user_id, touches))
            for user_id, partition, last, touches in self._people.find(connection, people)
        }

    def _put_histories(self, connection: Any, people: Mapping[str, Remembered]) -> None:
        pack = self._packer.pack_touches
        rows = [
            (user_id, partition, last, pack(touches))
            for user_id, (partition, last, touches) in people.items()
        ]
        self._people.put(connection, rows)

    def _recount(self, connection: Any, position: Position, tallies: Iterable[Tally]) -> None:
        """The counters become the tallies and what was applied from beyond the position."""
        active = self._active_since(connection, position)
        beyond = counted_beyond(active, position, self._weights)
        self._counts.clear(connection)
        self._count(connection, told(tallies, self._weights) + beyond)

    def _active_since(self, connection: Any, position: Position) -> Iterator[Remembered]:
        """The people of whom something from beyond the position was applied."""
        first = min(position.values(), default=0)
        for user_id, partition, last, touches in self._people.since(connection, first):
            yield Remembered(partition, last, self._packer.unpack_touches(user_id, touches))

    def _count(self, connection: Any, cells: Counter[Cell]) -> None:
        """Add to the counters, and forget those that are older than the window."""
        if not cells:
            return
        self._counts.add(connection, [(*cell, times) for cell, times in cells.items()])
        first, newest = self._counts.hours(connection)
        oldest = oldest_kept(newest, datetime.now(UTC), self._window_days)
        if first < oldest:
            self._counts.forget(connection, oldest)


def _read_position(packed: str | None) -> dict[str, int]:
    return json.loads(packed) if packed else {}


def _now() -> int:
    return to_microseconds(datetime.now(UTC))

"""What applying events to the online state asks and says, on the driver's own connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, select, update

from nextup.adapters.sql_hot import FindRows, PutRows
from nextup.domain.tables import ITEM_ID, PARTITION, TOUCHES, TYPE, USER_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Table

    from nextup.adapters.sql import Database


class ReachedStatements:
    """The only row of the table with the position, at which writers queue."""

    def __init__(self, database: Database, reached: Table) -> None:
        query = select(reached.c.position)
        self._lock = database.driver_sql(query.with_for_update())
        self._move = database.driver_sql(update(reached).values(position=bindparam("to")))
        self.read = database.driver_sql(query)

    def lock(self, connection: Any) -> str | None:
        """The position; no other writer can go on until the transaction ends."""
        row = connection.execute(self._lock).fetchone()
        return None if row is None else row[0]

    def move(self, connection: Any, to: str) -> None:
        """Put it elsewhere."""
        connection.execute(self._move, (to,))


class HistoryStatements:
    """A row for each person: id, partition, last offset, packed touches."""

    def __init__(self, database: Database, histories: Table) -> None:
        kept = histories.c
        query = select(kept[USER_ID], kept[PARTITION], kept.last_offset, kept[TOUCHES])
        self._find = FindRows(database, query, kept[USER_ID])
        put = database.insert(histories)
        self._put = PutRows(
            database,
            put.on_conflict_do_update(
                index_elements=[kept[USER_ID]],
                set_={name: put.excluded[name] for name in (PARTITION, "last_offset", TOUCHES)},
            ),
        )
        active = query.where(kept.last_offset >= bindparam("first"))
        self._since = database.driver_sql(active)
        one = select(kept[TOUCHES]).where(kept[USER_ID] == bindparam("who"))
        self.read = database.driver_sql(one)

    def find(self, connection: Any, people: Sequence[str]) -> Iterator[Sequence[Any]]:
        """The rows of those people who have one."""
        return self._find.run(connection, people)

    def since(self, connection: Any, first: int) -> Iterator[Sequence[Any]]:
        """The rows whose last offset is this one or a later one."""
        yield from connection.execute(self._since, (first,))

    def put(self, connection: Any, rows: Sequence[Sequence[Any]]) -> None:
        """Insert or replace."""
        self._put.run(connection, rows)


class CounterStatements:
    """A row for each counter: hour, item, type, how many times."""

    def __init__(self, database: Database, counters: Table) -> None:
        kept = counters.c
        put = database.insert(counters)
        self._add = PutRows(
            database,
            put.on_conflict_do_update(
                index_elements=[kept.hour, kept[ITEM_ID], kept[TYPE]],
                set_={"times": kept.times + put.excluded["times"]},
            ),
        )
        # One look at either end of the index; of both at once it would be one at every row.
        ends = (select(end(kept.hour)).scalar_subquery() for end in (func.min, func.max))
        self._hours = database.driver_sql(select(*ends))
        hours = kept.hour.between(bindparam("first"), bindparam("last"))
        self._between = database.driver_sql(select(counters).where(hours).order_by(*kept[:3]))
        self._clear = database.driver_sql(delete(counters))
        self._forget = database.driver_sql(delete(counters).where(kept.hour < bindparam("hour")))

    def add(self, connection: Any, rows: Sequence[Sequence[Any]]) -> None:
        """Add to the counters; each is named once."""
        self._add.run(connection, rows)

    def hours(self, connection: Any) -> tuple[int, int]:
        """The oldest and the newest, where there are counters."""
        oldest, newest = connection.execute(self._hours).fetchone()
        return oldest, newest

    def between(self, connection: Any, first: int, last: int) -> Sequence[Sequence[Any]]:
        """The rows of these hours, both included, in order."""
        rows: Sequence[Sequence[Any]] = connection.execute(self._between, (first, last)).fetchall()
        return rows

    def clear(self, connection: Any) -> None:
        """Remove all."""
        connection.execute(self._clear)

    def forget(self, connection: Any, before_hour: int) -> None:
        """Remove those of older hours."""
        connection.execute(self._forget, (before_hour,))

"""What the event log in a SQL database asks and says, on the driver's own connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, literal_column, select, update

from nextup.adapters.sql_hot import FindRows, PutRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, Table

    from nextup.adapters.sql import Database


class Heads:
    """The row that says how far a table reaches: whoever has it is the only writer."""

    def __init__(self, database: Database, heads: Table) -> None:
        mine = heads.c.log == bindparam("name")
        self._lock = database.driver_sql(
            select(heads.c.next_offset, heads.c.last_at).where(mine).with_for_update()
        )
        to: dict[str, Any] = {"next_offset": bindparam("offset"), "last_at": bindparam("at")}
        self._move = database.driver_sql(update(heads).where(mine).values(to))

    def lock(self, connection: Any, log: str) -> tuple[int, int]:
        """The next offset and the last time, and nobody else gets them before the commit."""
        next_offset, last_at = connection.execute(self._lock, (log,)).fetchone()
        return next_offset, last_at

    def move(self, connection: Any, log: str, offset: int, at: int = 0) -> None:
        """Let the table reach to `offset`."""
        connection.execute(self._move, (offset, at, log))


class NewRows:
    """One table with an id and an offset."""

    def __init__(
        self, database: Database, table: Table, *, key: Column[Any], offset: Column[Any], name: str
    ) -> None:
        """`name` is that of the partition, which the table does not have."""
        self._put = PutRows(database, database.insert(table).on_conflict_do_nothing())
        self._find = FindRows(database, select(key, offset), key)
        later = offset >= bindparam("start")
        self._since = database.driver_sql(select(key, offset).where(later))
        rows = select(literal_column(f"'{name}'"), *table.c).where(later).order_by(offset)
        self._read = database.driver_sql(rows)

    def put(self, connection: Any, rows: Sequence[Sequence[Any]]) -> int:
        """Write those whose ids are new; returns how many that were."""
        return self._put.run(connection, rows)

    def since(self, connection: Any, start: int) -> dict[str, int]:
        """The ids that this transaction wrote, with their offsets."""
        return dict(connection.execute(self._since, (start,)).fetchall())

    def offsets(self, connection: Any, ids: Sequence[str]) -> dict[str, int]:
        """Those of the ids that are in the table, with their offsets."""
        found: dict[str, int] = dict(self._find.run(connection, ids))
        return found

    def read(self, connection: Any, start: int, limit: int) -> Sequence[Sequence[Any]]:
        """Plain tuples in order of their offsets, with the partition in front."""
        found = connection.execute(f"{self._read} LIMIT {max(limit, 0)}", (start,))
        rows: Sequence[Sequence[Any]] = found.fetchall()
        return rows

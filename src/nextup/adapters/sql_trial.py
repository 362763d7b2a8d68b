"""SupportsTrial for adapters that keep everything in one SQL database."""

from __future__ import annotations

import secrets
import sqlite3
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, String, Table, delete, insert, select, text

from nextup.adapters.migrations.revisions import COLUMN, VERSION_TABLE
from nextup.domain.errors import CorruptData
from nextup.ports.trial import Trial

if TYPE_CHECKING:
    from nextup.adapters.sql import Database

_SERVER: Final = "SELECT current_setting('server_version'), clock_timestamp()"


class SqlTrial:
    """The row lives within one transaction, so that nobody else ever sees it."""

    _database: Database

    def trial(self) -> Trial:
        """A row in the table of revisions, which every part has."""
        table = Table(
            self._database.table_name(VERSION_TABLE),
            MetaData(),
            Column(COLUMN, String(32), primary_key=True),
        )
        return row_trial(self._database, table.c[COLUMN])


def row_trial(database: Database, column: Column[str]) -> Trial:
    """A row of the column's table, in which no other must be given."""
    table = column.table
    name = f"doctor {secrets.token_hex(8)}"
    mine = column == name
    with database.begin() as connection:
        connection.execute(insert(table), {column.name: name})
        found = connection.execute(select(column).where(mine)).all()
        removed = connection.execute(delete(table).where(mine)).rowcount
        if (len(found), removed) != (1, 1):
            raise CorruptData(f"{database.url} does not give back what it was given.")
        if database.is_sqlite:
            return Trial(f"SQLite {sqlite3.sqlite_version}")
        version, clock = connection.execute(text(_SERVER)).one()
    return Trial(f"PostgreSQL {version.partition(' ')[0]}", clock)

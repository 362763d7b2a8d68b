"""SupportsBackup and SupportsCopying for adapters that keep everything in one SQL database.

SQLite's file is copied as it is. On a server, which others may use too, each table of the port is
written by PostgreSQL's COPY, in the order of its key: equal rows give equal files.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from sqlalchemy import select

from nextup.adapters.sql_copy import copy_tables
from nextup.domain.errors import ConfigurationError, CorruptData

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection, MetaData, Table

    from nextup.adapters.sql import Database
    from nextup.adapters.sql_copy import Report
    from nextup.ports.backup import CopiedTable

COPY = "copy.db"
COLUMNS: Final = "columns.json"  # of each table, in the order of its file
PAGES = 4096  # copied at a time; writers get their turn in between
PIECE: Final = 1 << 20  # bytes sent at a time
NO_LIMIT: Final = "SET LOCAL statement_timeout = 0"  # a whole table may take long


class SqlBackup:
    """Copies while others read and write; the copy is one moment of the database."""

    uncopied: ClassVar[tuple[str, ...]] = ()
    """Tables that say what goes on at this moment, which is over when a copy is taken back in."""

    _database: Database
    _metadata: MetaData

    def backup(self, folder: Path) -> None:
        """All tables of the port, and of this tenant alone where the database is a server's."""
        if self._database.is_sqlite:
            with (
                self._database.driver() as source,
                closing(sqlite3.connect(folder / COPY)) as target,
            ):
                source.backup(target, pages=PAGES)
            return
        columns = {}
        with self._database.connect() as connection:
            connection.exec_driver_sql(NO_LIMIT)
            for table in self._copied():
                columns[self._name(table)] = [str(column.name) for column in table.columns]
                _write_table(connection, table, folder / f"{self._name(table)}.copy")
        (folder / COLUMNS).write_bytes(msgspec.json.encode(columns))

    def restore(self, folder: Path) -> None:
        """In one transaction: after a kill the database is as it was. Raises CorruptData for a
        copy that is damaged, before anything is changed, and ConfigurationError for one of another
        kind of database."""
        if (folder / COPY).is_file() != self._database.is_sqlite:
            raise ConfigurationError(
                f"The copy was not made of a database such as {self._database.url}.",
                cure="Restore it to the kind of database that it was made of.",
            )
        if self._database.is_sqlite:
            self._restore_file(folder / COPY)
        else:
            self._restore_tables(folder)

    def _restore_file(self, file: Path) -> None:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as source:
            if source.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise CorruptData("The copy of a database is damaged; nothing was changed.")
            with self._database.driver() as target:
                source.backup(target)

    def _restore_tables(self, folder: Path) -> None:
        columns = msgspec.json.decode((folder / COLUMNS).read_bytes(), type=dict[str, list[str]])
        tables = self._copied()
        unknown = set(columns) - {self._name(table) for table in tables}
        if unknown:
            raise CorruptData(
                f"The copy holds tables that this version does not know: {', '.join(unknown)}.",
                cure="Restore it with the version of Nextup that made it.",
            )
        with self._database.begin() as connection:
            connection.exec_driver_sql(NO_LIMIT)
            names = ", ".join(_quoted(table.name) for table in tables)
            connection.exec_driver_sql(f"TRUNCATE {names}")
            for table in tables:
                if name := self._name(table) * (self._name(table) in columns):
                    _read_table(connection, table, columns[name], folder / f"{name}.copy")

    def copy_to(self, other: object, report: Report | None = None) -> Sequence[CopiedTable]:
        """As in the port."""
        if not isinstance(other, type(self)):
            raise ConfigurationError(
                f"A {type(self).__name__} cannot be copied into a {type(other).__name__}.",
                cure="Name a SQL database: postgresql://... or sqlite:///...",
            )
        return copy_tables(self._database, other._database, self._copied(), report)

    def _copied(self) -> Sequence[Table]:
        """Those that others refer to first."""
        tables = self._metadata.sorted_tables
        return [table for table in tables if self._name(table) not in self.uncopied]

    def _name(self, table: Table) -> str:
        """Without the tenant's prefix: the copy may become another tenant's."""
        return str(table.name).removeprefix(self._database.prefix)


def _write_table(connection: Connection, table: Table, file: Path) -> None:
    rows = str(select(table).order_by(*table.primary_key).compile(connection))
    with (
        _cursor(connection) as cursor,
        file.open("wb") as target,
        cursor.copy(f"COPY ({rows}) TO STDOUT") as source,
    ):
        for piece in source:
            target.write(piece)


def _read_table(connection: Connection, table: Table, columns: Sequence[str], file: Path) -> None:
    names = ", ".join(_quoted(name) for name in columns)
    with (
        _cursor(connection) as cursor,
        file.open("rb") as source,
        cursor.copy(f"COPY {_quoted(table.name)} ({names}) FROM STDIN") as target,
    ):
        while piece := source.read(PIECE):
            target.write(piece)


def _cursor(connection: Connection) -> Any:
    """The driver's own: SQL as SQLAlchemy speaks it has no COPY."""
    return connection.connection.cursor()


def _quoted(name: str) -> str:
    return f'"{name}"'

"""Statements that are asked very often: written once, and run on the driver's own connection.

Every step of a driver lets go of the interpreter, and under load a thread waits longer to get it
back than the database needs. So many rows are one statement here, not one each.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import literal_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.sql.elements import ClauseElement

    from nextup.adapters.sql import Database

ROWS: Final = 100  # in one statement: a connection keeps many, one for each number of rows
_PARTS = re.compile(r"(.* VALUES )(\(.*\))( ON CONFLICT .*)", re.DOTALL)
_PLACES: Final = "@places@"


class PutRows:
    """`INSERT ... ON CONFLICT ...` of any number of rows."""

    def __init__(self, database: Database, insert: ClauseElement) -> None:
        parts = _PARTS.fullmatch(database.driver_sql(insert))
        assert parts is not None  # an INSERT that says what is to become of a conflict
        self._begin, self._row, self._end = parts.groups()

    def run(self, connection: Any, rows: Sequence[Sequence[Any]]) -> int:
        """Write tuples in the order of the table's columns; returns how many were written."""
        written = 0
        for start in range(0, len(rows), ROWS):
            chunk = rows[start : start + ROWS]
            statement = self._begin + ", ".join([self._row] * len(chunk)) + self._end
            written += connection.execute(statement, [*chain.from_iterable(chunk)]).rowcount
        return written


class FindRows:
    """`SELECT ... WHERE key IN (...)` with any number of keys."""

    def __init__(self, database: Database, query: Select[Any], key: ColumnElement[Any]) -> None:
        found = database.driver_sql(query.where(key.in_([literal_column(_PLACES)])))
        self._begin, _, self._end = found.partition(_PLACES)
        self._place = "?" if database.is_sqlite else "%s"

    def run(self, connection: Any, keys: Sequence[Any]) -> Iterator[Any]:
        """The rows of those keys that there are, as plain tuples."""
        for start in range(0, len(keys), ROWS):
            chunk = keys[start : start + ROWS]
            statement = self._begin + ", ".join([self._place] * len(chunk)) + self._end
            yield from connection.execute(statement, chunk).fetchall()

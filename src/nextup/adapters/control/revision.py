"""One number, read before every request: on a connection of its own, without any ceremony."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from nextup.adapters.sql import Database


class Revision:
    """Reads the number that counts changes; 0 while there is none.

    SQLite answers from the memory that its processes share, in 2 microseconds; a server takes a
    round trip. Either way the answer is of this moment: nothing is polled.
    """

    def __init__(self, database: Database, table: str) -> None:
        self._database = database
        self._query = f'SELECT revision FROM "{table}" WHERE id = 1'  # noqa: S608 (a name of ours)
        self._reading = threading.Lock()
        self._pinned = ExitStack()
        self._connection: Any = None  # the driver's own, kept open

    def read(self) -> int:
        """Raises BackendUnavailable when the database does not answer."""
        with self._reading:
            try:
                row = self._pin().execute(self._query).fetchone()
            except Exception:  # whatever the driver calls it; the other way gives it its name
                self._unpin()
                row = self._read_anew()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Give the connection back. Closing twice does nothing."""
        with self._reading:
            self._unpin()

    def _pin(self) -> Any:
        if self._connection is None:
            connection: Any = self._pinned.enter_context(self._database.driver())
            if not self._database.is_sqlite:  # there a forgotten transaction would see the past
                connection.autocommit = True
            self._connection = connection
        return self._connection

    def _unpin(self) -> None:
        connection, self._connection = self._connection, None
        with suppress(Exception):  # a connection that is broken is thrown away by the pool
            if connection is not None and not self._database.is_sqlite:
                connection.autocommit = False  # as the pool lends it
            self._pinned.close()

    def _read_anew(self) -> Any:
        with self._database.connect() as connection:
            return connection.execute(text(self._query)).fetchone()

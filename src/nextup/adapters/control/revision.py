"""One number, read before every request: on a connection of its own, without any ceremony."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

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
            except Exception as error:  # whatever it is called; the other way gives it its name
                self._unpin(error)
                row = self._read_anew()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Give the connection back. Closing twice does nothing."""
        with self._reading:
            self._unpin()

    def _pin(self) -> Any:
        if self._connection is None:
            self._connection = self._pinned.enter_context(self._database.driver())
        return self._connection

    def _unpin(self, met: Exception | None = None) -> None:
        self._connection = None
        with suppress(Exception):  # what it met is known
            if met is None:
                self._pinned.close()
            else:
                self._pinned.__exit__(type(met), met, met.__traceback__)

    def _read_anew(self) -> Any:
        return self._database.first_row(self._query)

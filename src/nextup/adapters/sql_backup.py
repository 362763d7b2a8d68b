"""SupportsBackup for adapters that keep everything in one SQLite database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from nextup.domain.errors import ConfigurationError, CorruptData

if TYPE_CHECKING:
    from pathlib import Path

    from nextup.adapters.sql import Database

COPY = "copy.db"
PAGES = 4096  # copied at a time; writers get their turn in between


class SqlBackup:
    """Copies page by page while others read and write; the copy is one moment of the database."""

    _database: Database

    def backup(self, folder: Path) -> None:
        """Raises ConfigurationError for a server, which has tools of its own."""
        self._require_sqlite()
        with self._database.driver() as source, closing(sqlite3.connect(folder / COPY)) as target:
            source.backup(target, pages=PAGES)

    def restore(self, folder: Path) -> None:
        """In one transaction: after a kill the database is as it was. Raises CorruptData for a
        copy that is damaged, before anything is changed."""
        self._require_sqlite()
        with closing(sqlite3.connect(f"file:{folder / COPY}?mode=ro", uri=True)) as source:
            if source.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise CorruptData("The copy of a database is damaged; nothing was changed.")
            with self._database.driver() as target:
                source.backup(target)

    def _require_sqlite(self) -> None:
        if not self._database.is_sqlite:
            raise ConfigurationError(
                f"{self._database.url} is a server; Nextup cannot copy it yet.",
                cure="Use the server's own tool, such as pg_dump.",
            )

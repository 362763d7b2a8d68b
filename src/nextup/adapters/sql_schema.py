"""The tables of a SQL database: made, recognised, and brought up to date.

A table beside them notes the revision of each part. Where it notes what this version needs, which
one query tells, nothing else happens. Otherwise:

- no table of the part is there: all are made as they are needed today;
- they are there without a note, made by a version that did not take notes: they count as the first
  revision;
- they are older: an embedded database is migrated at once; a server is its operator's, who says
  when, by `nextup db upgrade`;
- they are newer: nothing is touched.
"""

from __future__ import annotations

from contextlib import closing, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sqlalchemy import Column, MetaData, String, Table, delete, inspect, select, text

from nextup.adapters.migrations.revisions import COLUMN, PARTS, VERSION_TABLE
from nextup.adapters.sql import open_database
from nextup.domain.errors import BackendUnavailable, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from nextup.adapters.sql import Database
    from nextup.settings import Settings

SCHEMA_LOCK: Final = 0x6E657874  # any number; serialises changes of tables on PostgreSQL


class Schema:
    """One part's tables in one database, of one tenant."""

    def __init__(self, database: Database, part: str) -> None:
        self.part = part
        self.place = database.url
        self.prefix = database.prefix
        self._sign, self._revisions = PARTS[part]
        self._database = database
        self._noted = Table(
            database.table_name(VERSION_TABLE),
            MetaData(),
            Column(COLUMN, String(32), primary_key=True),
        )

    @property
    def wanted(self) -> str:
        """What this version of Nextup needs."""
        return self._revisions[-1]

    def prepare(self, metadata: MetaData) -> None:
        """Make the tables or bring them up to date, for an adapter that is opened.

        Raises ConfigurationError for tables that are newer than this version of Nextup, or that
        an operator must migrate.
        """
        with self._database.connect() as connection:
            if self.wanted in self._notes(connection):
                return
            present = set(inspect(connection).get_table_names())
        complete = present.issuperset(metadata.tables) and len(self._revisions) == 1
        # a database that cannot be written and lacks no more than the note can still be read
        with suppress(BackendUnavailable) if complete else nullcontext():
            self._prepare(metadata)

    def current(self) -> str | None:
        """The revision of the tables; None where there are none."""
        with self._database.connect() as connection:
            return self._found(connection)

    def upgrade(self) -> str | None:
        """Migrate to what this version needs, or make the tables; returns the revision before."""
        with self._changing() as connection:
            before = self._found(connection)
            self._refuse_newer(before)
            if before != self.wanted or before not in self._notes(connection):
                self._migrate(connection, before)
        return before

    def _prepare(self, metadata: MetaData) -> None:
        with self._changing() as connection:
            before = self._found(connection)
            self._refuse_newer(before)
            if before in {None, self.wanted}:
                metadata.create_all(connection)
                self._note(connection, self.wanted)
            else:
                self._refuse_unasked(before)
                self._migrate(connection, before)

    def _migrate(self, connection: Connection, before: str | None) -> None:
        from nextup.adapters.migrations.running import upgrade  # noqa: PLC0415 - slow to load

        if before is not None:
            self._note(connection, before)
        upgrade(connection, self.prefix, self.part)

    def _found(self, connection: Connection) -> str | None:
        """What is noted; the first revision where there are tables and no note."""
        mine = f"{self.part}_"
        noted = next((note for note in self._notes(connection) if note.startswith(mine)), None)
        if noted is None and inspect(connection).has_table(f"{self.prefix}{self._sign}"):
            return self._revisions[0]
        return noted

    def _notes(self, connection: Connection) -> set[str]:
        if not inspect(connection).has_table(self._noted.name):
            return set()
        return set(connection.execute(select(self._noted.c[COLUMN])).scalars())

    def _note(self, connection: Connection, revision: str) -> None:
        self._noted.create(connection, checkfirst=True)
        mine = self._noted.c[COLUMN].in_(self._revisions)
        connection.execute(delete(self._noted).where(mine))
        connection.execute(self._noted.insert(), {COLUMN: revision})

    def _refuse_newer(self, found: str | None) -> None:
        if found is not None and found not in self._revisions:
            raise ConfigurationError(
                f"The tables of {self.part} in {self.place} are of a newer version of Nextup "
                f"({found}); nothing was changed.",
                cure="Install that version, or restore a backup from before the upgrade.",
            )

    def _refuse_unasked(self, found: str | None) -> None:
        if not self._database.is_sqlite:
            raise ConfigurationError(
                f"The tables of {self.part} in {self.place} are of an older version of Nextup "
                f"({found}; needed is {self.wanted}).",
                cure="Back up the database, then run `nextup db upgrade`.",
            )

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        """One at a time. SQLite has one writer at a time by itself."""
        with self._database.begin() as connection:
            if not self._database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": SCHEMA_LOCK})
                _make_namespace(connection)
            yield connection


def _make_namespace(connection: Connection) -> None:
    """The schema of PostgreSQL that the settings name; where it is there, nothing."""
    here, path = connection.execute(
        text("SELECT current_schema(), current_setting('search_path')")
    ).one()
    if here is None and path.isidentifier():
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {path}"))


def tenants_of(database: Database) -> list[str]:
    """The prefixes of all tenants whose tables in the database are noted."""
    with database.connect() as connection:
        names = inspect(connection).get_table_names()
    return sorted(
        name.removesuffix(VERSION_TABLE)
        for name in names
        if name == VERSION_TABLE or name.endswith(f"_{VERSION_TABLE}")
    )


def schemas(settings: Settings, prefix: str) -> Iterator[Schema]:
    """Of every part whose URL names a SQL database: the tables with this prefix, and where it is
    empty those of all tenants that are noted. Each is open until the next is asked for."""
    for part in PARTS:
        shared = part == "clients"  # of all tenants, beside the control data
        url = str(getattr(settings, "control_url" if shared else f"{part}_url"))
        if urlsplit(url).scheme.split("+")[0] not in {"sqlite", "postgresql"}:
            continue
        if part == "catalog" and settings.shared_tables.catalog:
            continue  # other programs' tables are not ours to change
        prefixes = {"" if shared else prefix}
        if not prefix and not shared:
            with closing(_open(settings, url, prefix)) as database:
                prefixes.update(tenants_of(database))
        for each in sorted(prefixes):
            with closing(_open(settings, url, each)) as database:
                yield Schema(database, part)


def _open(settings: Settings, url: str, prefix: str) -> Database:
    return open_database(url, settings.home, prefix, connections=settings.connections)

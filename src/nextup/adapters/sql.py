"""One SQL database behind a URL: connections, transactions, tables, and errors in our words.

SQLite and PostgreSQL are the same code here. What differs is in three small places: how a
connection is prepared, how a write transaction begins, and how a server is reached.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    Engine,
    Integer,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from nextup.adapters.sql_errors import shown, translate
from nextup.adapters.sql_postgresql import postgresql_engine
from nextup.domain.errors import BackendUnavailable, ConfigurationError, StorageFull
from nextup.settings_servers import Connections

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Table
    from sqlalchemy.dialects.postgresql import Insert
    from sqlalchemy.engine.default import DefaultDialect
    from sqlalchemy.sql.elements import ClauseElement

MEMORY: Final = ":memory:"
BUSY_SECONDS: Final = 30.0  # how long a writer queues behind others before it gives up
LOCK_PAUSE_SECONDS: Final = 0.02  # between tries where SQLite does not queue by itself
IN_CHUNK: Final = 5_000  # ids per IN (...): below every supported database's limit of parameters
KEPT_CONNECTIONS: Final = 16  # to a file; more, of a crowd, are opened and closed again
WAL_PAGES: Final = 4_000  # of 4 KiB; the write-ahead log is folded into the file when it has these
KEPT_WAL_BYTES: Final = 64 << 20  # a log that grew beyond is cut back after a checkpoint

SERVERS: Final = Connections()
_BEGIN: Final = "nextup_begin"  # execution option: how a connection's transactions begin
_PREFIX = re.compile(r"[a-z0-9_]*")

# Ids compare and sort by code point everywhere, whatever language the server is set to.
Id = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
# 64 bits; SQLite wants a primary key to be called INTEGER to make it the row's own number.
Number = BigInteger().with_variant(Integer(), "sqlite")


class Database:
    """Connections to one database, and the prefix of every table name in it.

    Safe to share between threads. Errors of the driver leave it as those of `domain.errors`.
    """

    def __init__(self, engine: Engine, prefix: str, *, keeper: sqlite3.Connection | None) -> None:
        self.prefix = prefix
        self.url = shown(engine.url)  # for people: without credentials
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._engine = engine
        event.listen(engine, "begin", _begin)
        # All statements of a transaction see the same moment, as on SQLite by itself.
        write, read = "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"
        if self.is_sqlite:
            write, read = "BEGIN IMMEDIATE", "BEGIN"
        self._begin_write = write
        self._writing = engine.execution_options(**{_BEGIN: write})
        self._reading = engine.execution_options(**{_BEGIN: read})
        self._keeper = keeper  # an in-memory database lives as long as one connection is open
        self._closed = False

    def table_name(self, name: str) -> str:
        """The name with the tenant's prefix."""
        return f"{self.prefix}{name}"

    def insert(self, table: Table) -> Insert:
        """An INSERT that can take `on_conflict_do_nothing` and `on_conflict_do_update`."""
        if self.is_sqlite:
            # The two dialects' classes have the same methods but no common base that has them.
            return sqlite.insert(table)  # type: ignore[return-value]
        return postgresql.insert(table)

    def driver_sql(self, statement: ClauseElement) -> str:
        """The statement as text for `Connection.exec_driver_sql`, whose rows are then plain
        tuples in the order of the table's columns: three times as fast as dictionaries. What is
        asked very often is better written once, too."""
        dialect_class = cast("type[DefaultDialect]", type(self._engine.dialect))
        dialect = dialect_class(paramstyle="qmark" if self.is_sqlite else "format")
        return str(statement.compile(dialect=dialect))

    def first_row(self, statement: str, parameters: Sequence[Any] = ()) -> Sequence[Any] | None:
        """What a single question, as of `driver_sql`, is answered with first. It sees one moment by
        itself: on a server it needs no round trips for a transaction."""
        with self.driver() as connection:
            row: Sequence[Any] | None = connection.execute(statement, parameters).fetchone()
            return row

    @contextmanager
    def driver(self) -> Iterator[Any]:
        """The driver's own connection, in no transaction, for what must be fast and what SQL has
        no words for."""
        with self._at_the_wall():
            connection = self._engine.raw_connection()
            try:
                yield connection.driver_connection
            except BaseException:
                connection.invalidate()  # nobody knows what it was in the middle of
                raise
            finally:
                connection.close()

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """Like `begin`, on the driver's own connection: for the few transactions whose price is
        that of SQLAlchemy, not of the database."""
        with self.driver() as connection:
            connection.execute(self._begin_write)
            yield connection
            connection.commit()

    def checkpoint(self) -> None:
        """Fold SQLite's write-ahead log into the file and empty it; elsewhere do nothing."""
        if not self.is_sqlite:
            return
        with self.driver() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction: durable when the block ends, undone when it raises.

        On SQLite writers queue here, not at their first statement, so that none fails midway.
        """
        with self._at_the_wall(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """One consistent view for reading; writers do not disturb it."""
        with self._at_the_wall(), self._reading.begin() as connection:
            yield connection

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._closed = True
        self._engine.dispose()
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    @contextmanager
    def _at_the_wall(self) -> Iterator[None]:
        if self._closed:
            raise BackendUnavailable(f"{self.url} was closed.", cure="Open the platform again.")
        try:
            yield
        except Exception as error:
            translated = translate(error, self._engine.url)
            if translated is None:
                raise
            raise translated from error


def open_database(
    url: str,
    home: Path,
    prefix: str = "",
    *,
    durable: bool = True,
    cache_mebibytes: int = 32,
    connections: Connections = SERVERS,
) -> Database:
    """Prepare the database at `url`; the first use connects.

    A relative SQLite path starts at `home`, and its folder is made; `sqlite:///:memory:` is a
    new database of its own, gone when closed. With `durable=False` SQLite may lose the latest
    transactions when the power fails (not when the process is killed), which suits what can be
    rebuilt. `cache_mebibytes` is per connection, SQLite only; `connections` is for servers.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"'{prefix}' cannot begin a table's name.", cure="Use a-z, 0-9 and _."
        )
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, home, prefix, durable, cache_mebibytes)
    return Database(postgresql_engine(parsed, connections), prefix, keeper=None)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        backend = ""
    if backend not in {"sqlite", "postgresql"}:
        raise ConfigurationError(
            "A database URL cannot be read.",  # not shown: it may hold a password
            cure="Write sqlite:///path/to/file.db or postgresql://user:password@host/database.",
        )
    return parsed.set(drivername="postgresql+psycopg") if backend == "postgresql" else parsed


def _open_sqlite(
    url: URL, home: Path, prefix: str, durable: bool, cache_mebibytes: int
) -> Database:
    keeper: sqlite3.Connection | None = None
    if url.database in {None, "", MEMORY}:
        # Every connection to this name sees the same memory, as if it were a file.
        name = f"file:/nextup-{uuid.uuid4().hex}?vfs=memdb"
        keeper = sqlite3.connect(name, uri=True, check_same_thread=False)
        url = url.set(database=MEMORY)
    else:
        name = str(home / str(url.database))
        _make_folder(Path(name).parent)
        url = url.set(database=name)

    def connect() -> sqlite3.Connection:
        frozen = keeper is None and _is_frozen(Path(name))
        connection = sqlite3.connect(
            f"{Path(name).absolute().as_uri()}?immutable=1" if frozen else name,
            uri=frozen or keeper is not None,
            timeout=BUSY_SECONDS,
            isolation_level=None,  # transactions begin in `_begin`, never by themselves
            check_same_thread=False,  # the pool lends a connection to one thread at a time
        )
        try:
            _prepare(connection, durable, cache_mebibytes)
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine(
        url,
        creator=connect,
        poolclass=QueuePool,
        pool_size=KEPT_CONNECTIONS,
        pool_use_lifo=True,  # whoever wrote last has read the pages; what others hold is stale
        max_overflow=-1,  # waiting for a connection could lock a thread up
        hide_parameters=True,
    )
    return Database(engine, prefix, keeper=keeper)


def _is_frozen(file: Path) -> bool:
    """Whether nobody can change the file: its disk is read-only, and no writer has it open or left
    something beside it. SQLite, which writes beside a database even to read it, must be told."""
    try:
        read_only = os.statvfs(file).f_flag & os.ST_RDONLY
    except OSError:  # absent, for one
        return False
    return bool(read_only) and not any(Path(f"{file}-{end}").exists() for end in ("wal", "shm"))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(f"No space is left to make {folder}.") from error
        raise BackendUnavailable(
            f"The folder {folder} cannot be made: {error.strerror}.",
            cure="Choose another path, or give the user that runs Nextup permission to make it.",
        ) from error


def _begin(connection: Connection) -> None:
    """Drivers lend connections that begin nothing by themselves."""
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _prepare(connection: sqlite3.Connection, durable: bool, cache_mebibytes: int) -> None:
    _turn_on_wal(connection)
    # FULL: the log is on the disk when a commit returns. NORMAL: at the next checkpoint.
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = {-1024 * cache_mebibytes}")  # negative: KiB
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {KEPT_WAL_BYTES}")


def _turn_on_wal(connection: sqlite3.Connection) -> None:
    """Readers and the writer do not wait for each other. The file remembers it.

    SQLite does not queue for this switch, so that processes which open a new file together
    have to try again. A file or folder that cannot be written is left in the mode it has.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] not in {"wal", "memory"}:
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF
            if code == sqlite3.SQLITE_READONLY:
                return
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return

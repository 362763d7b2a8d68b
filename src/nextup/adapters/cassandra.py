"""One Cassandra cluster behind a URL: a lazy session, bounded writes, and errors in our words.

The first use connects, so that a platform opens while the cluster is down; from then on the driver
reconnects by itself.
"""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cassandra import AlreadyExists, ConsistencyLevel, ProtocolVersion
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import (
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    TokenAwarePolicy,
)
from cassandra.query import tuple_factory

from nextup.adapters.cassandra_errors import may_pass, translate
from nextup.adapters.cassandra_url import parse
from nextup.adapters.cassandra_writes import Writes
from nextup.domain.errors import BackendUnavailable, CorruptData
from nextup.ports.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cassandra.cluster import ResponseFuture
    from cassandra.query import PreparedStatement

    from nextup.settings_servers import Cassandra

    Statement = tuple[str, Sequence[Any]]

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
FAILED_SECONDS: Final = 2.0  # after a failed connection nobody tries again for so long
HEARTBEAT_SECONDS: Final = 5.0  # a node that does not answer one is left alone until it does
FIRST_PAUSE_SECONDS: Final = 0.2  # before failed writes are repeated; doubles
LONGEST_PAUSE_SECONDS: Final = 5.0
PAGE_ROWS: Final = 5_000  # of a scan
SPECULATE_AFTER: Final = 0.25  # of the time-out: then another replica is asked, too
_SCAN: Final = "scan"
_MANY: Final = "many"
_FIRST: Final = "first"


class CassandraCluster:
    """Statements in one keyspace, prepared once. Safe to share between threads.

    `tables` are `CREATE TABLE` statements; missing ones are made, as is the keyspace. In every
    statement the braces around a table's key are replaced by its name from `names`.
    """

    def __init__(
        self,
        url: str,
        options: Cassandra,
        tables: Mapping[str, str],
        names: Mapping[str, str],
    ) -> None:
        self._parts = parse(url)
        self.url = self._parts.shown  # for people: without credentials
        self.keyspace = self._parts.keyspace
        self._options = options
        self._tables = tables
        self._plain_names = names
        self._names = {
            key: f'"{self.keyspace}".{name}' if key in tables else name
            for key, name in names.items()
        }
        self._lock = Lock()
        self._prepared: dict[str, PreparedStatement] = {}
        self._cluster: Cluster | None = None
        self._session: Session | None = None
        self._failure: tuple[float, BackendUnavailable] | None = None
        self._closed = False

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows that a short statement answers with."""
        with self.at_the_wall():
            return list(self.start(statement, values).result())

    def changed(self, statement: str, values: Sequence[Any]) -> tuple[bool, Any]:
        """Run a conditional statement: whether it was applied, and the row it found if not.

        Repeated while nodes are away, like a write: it must be one that may be.
        """
        row = self.repeat(lambda: self.run(statement, values))[0]
        return row.applied, row

    def repeat(self, work: Callable[[], T]) -> T:
        """Do what may be repeated; while nodes are away, for `retry_seconds`."""
        deadline = time.monotonic() + self._options.retry_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return work()
            except BackendUnavailable as error:
                passing = isinstance(error.__cause__, Exception) and may_pass(error.__cause__)
                if not passing or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def start(self, statement: str, values: Sequence[Any] = ()) -> ResponseFuture:
        """Send a statement without waiting; its errors come with the result, within the wall."""
        session = self._connected()
        return session.execute_async(self._bind(session, statement, values))

    def firsts(self, *asked: Statement) -> list[tuple[Any, ...] | None]:
        """The first row that each statement answers with, all asked at once. Rows are bare tuples:
        the driver makes a class for each answer otherwise, a tenth of a millisecond's work."""
        with self.at_the_wall():
            session = self._connected()
            send = partial(session.execute_async, execution_profile=_FIRST)
            answers = [send(self._bind(session, *one)) for one in asked]
            return [answer.result().one() for answer in answers]

    def scan(self, statement: str) -> Iterator[Any]:
        """All rows of a long read, page by page."""
        with self.at_the_wall():
            session = self._connected()
            bound = self._bind(session, statement, ())
            bound.fetch_size = PAGE_ROWS
            yield from session.execute(bound, execution_profile=_SCAN)

    def write(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement that may be repeated, for each row; returns when all are durable."""
        with self.at_the_wall():
            session = self._connected()
            prepared = self._prepare(session, statement)
            self.write_all(prepared.bind(row) for row in rows)

    def write_all(self, statements: Iterable[Any]) -> None:
        """Run statements that may be repeated, a bounded number at a time.

        Those that fail for a reason that may pass are repeated, for `retry_seconds` at most.
        """
        with self.at_the_wall():
            session = self._connected()
            deadline = time.monotonic() + self._options.retry_seconds
            pause = FIRST_PAUSE_SECONDS
            send = partial(session.execute_async, execution_profile=_MANY)
            writes = Writes(send, self._options.in_flight)
            failed = writes.run(statements)
            while failed:
                error = failed[0][1]
                if not may_pass(error) or time.monotonic() + pause > deadline:
                    raise error
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                failed = writes.run([statement for statement, _ in failed])

    def define(self, statement: str) -> None:
        """Run a statement that changes tables."""
        with self.at_the_wall():
            session = self._connected()
            session.execute(statement.format(**self._names), timeout=self._options.scan_seconds)

    def bind(self, statement: str, values: Sequence[Any]) -> Any:
        """A prepared statement with its values, for a batch."""
        return self._bind(self._connected(), statement, values)

    def trial(self, put: Statement, read: Statement, remove: Statement) -> Trial:
        """Write, read and delete a row that nobody else looks at."""
        self.run(*put)
        try:
            if not self.run(*read):
                raise CorruptData(f"{self.url} does not give back what it was given.")
        finally:
            self.run(*remove)
        (said,) = self.run("SELECT release_version, toTimestamp(now()) AS clock FROM system.local")
        return Trial(f"Cassandra {said.release_version}", said.clock.replace(tzinfo=UTC))

    def timestamp(self) -> int:
        """Microseconds: later than those of all writes so far, earlier than those to come."""
        self._connected()
        assert self._cluster is not None
        stamp: int = self._cluster.timestamp_generator()
        return stamp

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            self._shut()

    @contextmanager
    def at_the_wall(self) -> Iterator[None]:
        """The driver's errors leave as the platform's."""
        try:
            yield
        except Exception as error:
            translated = translate(error, self.url)
            if translated is None:
                raise
            raise translated from error

    def _bind(self, session: Session, statement: str, values: Sequence[Any]) -> Any:
        return self._prepare(session, statement).bind(values)

    def _prepare(self, session: Session, statement: str) -> PreparedStatement:
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = session.prepare(statement.format(**self._names))
            prepared.is_idempotent = " IF " not in statement
            self._prepared[statement] = prepared
        return prepared

    def _connected(self) -> Session:
        session = self._session
        if session is not None and not self._closed:
            return session
        with self._lock:
            if self._closed:
                raise BackendUnavailable(f"{self.url} was closed.", cure="Open the platform again.")
            if self._session is None:
                self._refuse_too_soon()
                self._session = self._connect()
            return self._session

    def _refuse_too_soon(self) -> None:
        if self._failure is not None and time.monotonic() < self._failure[0]:
            raise self._failure[1]

    def _connect(self) -> Session:
        try:
            self._cluster = self._make_cluster()
            session = self._cluster.connect()
            self._make_keyspace(session)
            self._make_tables(session)
        except Exception as error:
            self._shut()
            translated = translate(error, self.url)
            if isinstance(translated, BackendUnavailable):
                translated.__cause__ = error
                self._failure = (time.monotonic() + FAILED_SECONDS, translated)
            raise
        return session

    def _make_cluster(self) -> Cluster:
        options, parts = self._options, self._parts
        usual: dict[str, Any] = {
            "load_balancing_policy": TokenAwarePolicy(DCAwareRoundRobinPolicy(options.data_center)),
            "consistency_level": ConsistencyLevel.name_to_value[options.consistency.upper()],
            "serial_consistency_level": ConsistencyLevel.LOCAL_SERIAL,
            "request_timeout": options.timeout_seconds,
            "speculative_execution_policy": ConstantSpeculativeExecutionPolicy(
                options.timeout_seconds * SPECULATE_AFTER, 1
            ),
        }
        profile = ExecutionProfile(**usual)
        scanning = ExecutionProfile(
            load_balancing_policy=profile.load_balancing_policy,
            consistency_level=profile.consistency_level,
            request_timeout=options.scan_seconds,
        )
        writing = ExecutionProfile(  # which asks nobody twice: who is slow has enough to do
            load_balancing_policy=profile.load_balancing_policy,
            consistency_level=profile.consistency_level,
            request_timeout=options.timeout_seconds,
        )
        return Cluster(
            parts.hosts,
            port=parts.port,
            auth_provider=PlainTextAuthProvider(parts.user, parts.password) if parts.user else None,
            ssl_context=self._tls() if options.tls else None,
            execution_profiles={
                EXEC_PROFILE_DEFAULT: profile,
                _SCAN: scanning,
                _MANY: writing,
                _FIRST: ExecutionProfile(row_factory=tuple_factory, **usual),
            },
            protocol_version=ProtocolVersion.V4,  # unasked, the driver tries others and warns
            connect_timeout=CONNECT_SECONDS,
            control_connection_timeout=CONNECT_SECONDS,
            idle_heartbeat_interval=HEARTBEAT_SECONDS,
            idle_heartbeat_timeout=options.timeout_seconds,
            reconnection_policy=ExponentialReconnectionPolicy(0.5, 30.0, max_attempts=None),
        )

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._options.ca_file or None)

    def _make_keyspace(self, session: Session) -> None:
        assert self._cluster is not None
        name = self.keyspace
        if name in self._cluster.metadata.keyspaces:
            return
        place = (
            self._options.data_center or next(iter(self._cluster.metadata.all_hosts())).datacenter
        )
        session.execute(
            f'CREATE KEYSPACE IF NOT EXISTS "{name}" WITH replication = '
            f"{{'class': 'NetworkTopologyStrategy', '{place}': {self._options.replication}}}",
            timeout=self._options.scan_seconds,
        )

    def _make_tables(self, session: Session) -> None:
        assert self._cluster is not None
        keyspace = self._cluster.metadata.keyspaces.get(self.keyspace)
        present = keyspace.tables if keyspace is not None else {}
        for key, statement in self._tables.items():
            if self._plain_names[key].lower() in present:
                continue
            try:
                session.execute(statement.format(**self._names), timeout=self._options.scan_seconds)
            except AlreadyExists:  # another process was quicker
                continue

    def _shut(self) -> None:
        self._prepared.clear()
        self._session = None
        if self._cluster is not None:
            self._cluster.shutdown()
            self._cluster = None

"""How a PostgreSQL server is reached: its driver, its pool, and how long anything may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DisconnectionError

from nextup.adapters.sql_errors import shown
from nextup.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine

    from nextup.settings_servers import Connections

GRACE_SECONDS: Final = 2.0  # a server that lives ends a statement itself before we give up on it


def postgresql_engine(url: URL, connections: Connections) -> Engine:
    """Prepare a pool; the first use connects. Raises ConfigurationError without the driver."""
    try:
        import psycopg  # noqa: PLC0415 - an extra, needed only here
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{shown(url)} needs a driver that is not installed.",
            cure="PostgreSQL needs: pip install 'nextup[postgresql]'.",
        ) from error
    active = psycopg.pq.TransactionStatus.ACTIVE
    patience = connections.answer_seconds + GRACE_SECONDS

    class Impatient(psycopg.Connection[Any]):
        """Gives up on a server that is silent: one that was frozen, or beyond a cut cable."""

        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            try:
                return super().wait(gen, *args, **{"timeout": patience, **options})
            except psycopg.OperationalError:
                if not self.closed and self.info.transaction_status == active:
                    self.close()  # whatever is still to come is the answer to an old question
                raise

    def connect() -> psycopg.Connection[Any]:
        return Impatient.connect(
            _conninfo(url),
            autocommit=True,  # transactions begin in `Database`, never by themselves
            connect_timeout=max(2, round(connections.connect_seconds)),  # libpq's least
            application_name="nextup",
            options=" ".join(_options(connections)),
        )

    def refuse_dead(connection: psycopg.Connection[Any], *_: object) -> None:
        """Have a connection that the server has ended replaced, without asking the server."""
        try:
            connection.pgconn.consume_input()  # its last word, if there is one
            connection.pgconn.consume_input()  # the end, which lies behind it
        except psycopg.OperationalError as error:
            raise DisconnectionError from error

    engine = create_engine(
        url,
        creator=connect,
        pool_size=min(5, connections.pool),  # stay open
        max_overflow=max(0, connections.pool - 5),  # are opened and closed as needed
        pool_timeout=connections.connect_seconds,
        use_native_hstore=False,  # would ask for a type of no use to us at every connection
        hide_parameters=True,
    )
    event.listen(engine, "checkout", refuse_dead)
    return engine


def _options(connections: Connections) -> Iterator[str]:
    """Settings of each session."""
    yield f"-c statement_timeout={round(connections.answer_seconds * 1000)}"
    if connections.schema_name:
        yield f"-c search_path={connections.schema_name}"


def _conninfo(url: URL) -> str:
    """As libpq reads it, with all options of the URL."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)

"""The recipe's own tables in PostgreSQL: films, people with their vectors, ratings, clients.

They are views of the truth that are kept as tables, because people and programs query them: the
database's triggers bring every event, film and client into them in the transaction that wrote it
(see `migrations`). Vectors alone are put in from here, by whoever has the model at hand.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    REAL,
    Column,
    DateTime,
    Double,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    inspect,
    select,
    text,
    tuple_,
    update,
)

from nextup.bootstrap import open_sql, sql_schemas
from nextup.domain.errors import ConfigurationError
from nextup.recipes.options import options_of
from nextup.recipes.platform_api.naming import NAMES, names_of
from nextup.recipes.platform_api.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from nextup.bootstrap import SqlDatabase
    from nextup.settings import Settings

REVISION: Final = "platform_api_0001"  # what this version of the recipe needs
VERSIONS: Final = "platform_api_versions"  # the table that notes it, among Nextup's own
LOCK: Final = 0x706C6174  # any number; serialises changes of the tables
ROWS: Final = 2_000  # of vectors in a statement, and of people in a page
URLS: Final = ("event_log_url", "catalog_url", "control_url")
FOLLOWED: Final = ("event_log", "catalog", "clients")  # whose tables the triggers are on


class Folded(NamedTuple):
    """A person with the vector that the model gives them."""

    client_id: str
    user_id: str
    vector: list[float]


class PlatformTables:
    """The four tables. Safe to share between threads; whoever opens it closes it."""

    part, prefix, wanted = "platform_api", "", REVISION  # as `Schema` has them

    def __init__(self, database: SqlDatabase, options: Options, settings: Settings) -> None:
        self._settings = settings
        self._ready = False  # whether the tables were found to be as they must be
        self.place = database.url
        self.names = names_of(options)
        self._database = database
        metadata = MetaData(schema=options.database_schema)
        self._movies = Table(options.movies, metadata, Column("movie_id", Text, primary_key=True))
        self._users = Table(
            options.users,
            metadata,
            Column("client_id", Text, primary_key=True),
            Column("user_id", Text, primary_key=True),
            Column("vector", ARRAY(REAL)),
            Column("updated_at", DateTime(timezone=True)),
        )
        self._ratings = Table(options.ratings, metadata, Column("rating", Double))
        self._clients = Table(
            options.clients, metadata, Column("client_id", Text, primary_key=True)
        )

    @classmethod
    def of(cls, settings: Settings, options: Options) -> PlatformTables:
        """Those of the deployment. Raises ConfigurationError where log, catalogue and clients are
        not in one PostgreSQL database: a transaction could not hold both them and the tables."""
        if settings.tenant != "default":
            raise ConfigurationError(
                "The recipe's tables are those of the tenant 'default'.",
                cure="Give another tenant a deployment of its own.",
            )
        urls = {str(getattr(settings, name)) for name in URLS}
        (url,) = urls if len(urls) == 1 else ("",)
        if not url.startswith("postgresql"):
            raise ConfigurationError(
                "The recipe's tables need event log, catalogue and control data in one PostgreSQL "
                "database.",
                cure=f"Set {', '.join(URLS)} to the same postgresql:// URL.",
            )
        if settings.connections.schema_name in {"", options.database_schema}:
            raise ConfigurationError(
                "Nextup's own tables would lie among the recipe's; both have one of clients.",
                cure='Set connections.schema_name to another schema, such as "nextup".',
            )
        database = open_sql(settings, url)
        return cls(database, options, settings)

    def prepare(self) -> bool:
        """Make the tables, or bring them up to date, and fill new ones; says whether anything was
        done. Raises ConfigurationError for tables of a newer version."""
        if self._ready or self.current() == REVISION:
            self._ready = True
            return False
        for schema in sql_schemas(self._settings):  # what the triggers are on
            if schema.part in FOLLOWED and schema.current() is None:
                schema.upgrade()
        with self._changing() as connection:
            found = _noted(connection)
            if found not in {None, REVISION}:
                raise ConfigurationError(
                    f"The recipe's tables in {self.place} are of a newer version ({found}).",
                    cure="Install that version of Nextup.",
                )
            _migrate(connection, self.names)
        self._ready = True
        return True

    def upgrade(self) -> str | None:
        """Like `prepare`; returns the revision before."""
        before = self.current()
        self.prepare()
        return before

    def current(self) -> str | None:
        """The revision of the tables that are there; None where there are none."""
        with self._database.connect() as connection:
            return _noted(connection)

    def put_vectors(self, people: Sequence[Folded]) -> int:
        """Keep what changed; returns how many did. Somebody who is not there stays away: they
        were erased in the meantime."""
        users = self._users
        statement = (
            update(users)
            .where(
                users.c.client_id == bindparam("client"),
                users.c.user_id == bindparam("person"),
                users.c.vector.is_distinct_from(bindparam("folded", type_=users.c.vector.type)),
            )
            .values(vector=bindparam("folded", type_=users.c.vector.type), updated_at=func.now())
        )
        changed = 0
        ordered = sorted(people)
        for begin in range(0, len(ordered), ROWS):
            rows = [
                {"client": one.client_id, "person": one.user_id, "folded": one.vector}
                for one in ordered[begin : begin + ROWS]
            ]
            with self._database.begin() as connection:
                changed += connection.execute(statement, rows).rowcount
        return changed

    def people(self) -> Iterator[tuple[str, str]]:
        """Everybody's client and id, in order, page by page."""
        key = tuple_(self._users.c.client_id, self._users.c.user_id)
        everybody = select(*key.clauses).order_by(*key.clauses).limit(ROWS)
        after: tuple[str, str] | None = None
        while True:
            query = everybody if after is None else everybody.where(key > after)
            with self._database.connect() as connection:
                page = [(row[0], row[1]) for row in connection.execute(query)]
            yield from page
            if len(page) < ROWS:
                return
            after = page[-1]

    def client_ids(self) -> frozenset[str]:
        """Everybody who may call."""
        with self._database.connect() as connection:
            return frozenset(connection.execute(select(self._clients.c.client_id)).scalars())

    def counts(self) -> dict[str, int]:
        """The rows of each table, by what it holds."""
        tables = {
            "movies": self._movies,
            "users": self._users,
            "ratings": self._ratings,
            "clients": self._clients,
        }
        with self._database.connect() as connection:
            return {
                what: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for what, table in tables.items()
            }

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with self._database.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": LOCK})
            yield connection


def schemas(settings: Settings) -> Iterator[PlatformTables]:
    """What `nextup db` shows and upgrades beside Nextup's own tables."""
    with closing(PlatformTables.of(settings, options_of(settings, Options))) as tables:
        yield tables


def _noted(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSIONS):
        return None
    return connection.execute(select(Table(VERSIONS, MetaData(), Column("version_num")))).scalar()


def _migrate(connection: Connection, names: dict[str, str]) -> None:
    """To what this version needs. Alembic takes a moment to load, so only who migrates does."""
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    steps = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    options: dict[str, Any] = {NAMES: names}

    def plan(heads: Any, context: Any) -> Any:
        return steps._upgrade_revs("head", heads)

    with EnvironmentContext(Config(), steps, fn=plan) as environment:
        environment.configure(connection=connection, version_table=VERSIONS, **options)
        environment.run_migrations()

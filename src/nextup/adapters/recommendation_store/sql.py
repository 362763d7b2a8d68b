"""Published lists in SQLite or PostgreSQL: a row per person and generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)

from nextup.adapters.recommendation_store.packing import ListPacker, in_service, never_written
from nextup.adapters.sql import Id
from nextup.adapters.sql_backup import SqlBackup
from nextup.adapters.sql_schema import Schema
from nextup.adapters.sql_trial import SqlTrial
from nextup.domain.tables import USER_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from nextup.adapters.sql import Database
    from nextup.domain.recommendations import PublishedList

LISTS_PER_TRANSACTION: Final = 2_000  # some 20 MB: a writer beside us waits for half a second
_SLOT: Final = 0  # of the only row that says what is in service


class SqlRecommendationStore(SqlBackup, SqlTrial):
    """Writers of one generation may work at once; a switch waits for their current batches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._packer = ListPacker()
        metadata = self._metadata = MetaData()
        self._lists = Table(
            database.table_name("recommendation_lists"),
            metadata,
            Column("generation", Id, primary_key=True),
            Column(USER_ID, Id, primary_key=True),
            Column("items", Text, nullable=False),
        )
        self._generations = Table(
            database.table_name("recommendation_generations"),
            metadata,
            Column("generation", Id, primary_key=True),
        )
        self._service = Table(
            database.table_name("recommendation_service"),
            metadata,
            Column("slot", Integer, primary_key=True, autoincrement=False),
            Column("generation", Id),
        )
        Schema(database, "recommendation_store").prepare(metadata)
        self._make_slot()
        upsert = database.insert(self._lists)
        self._put = upsert.on_conflict_do_update(
            index_elements=[self._lists.c.generation, self._lists.c[USER_ID]],
            set_={"items": upsert.excluded["items"]},
        )
        self._find = database.driver_sql(
            select(self._lists.c["items"])
            .join(self._service, self._service.c.generation == self._lists.c.generation)
            .where(self._service.c.slot == literal_column(f"{_SLOT}"))
            .where(self._lists.c[USER_ID] == bindparam(USER_ID))
        )
        self._in_service = select(self._service.c.generation).where(self._service.c.slot == _SLOT)

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        """Add lists; see the port. Repeated lists of one person count each time.

        Some thousand become durable at a time; after an error or a kill those that did are there,
        unseen by readers, and writing everything again replaces them.
        """
        with self._database.connect() as connection:
            self._refuse_in_service(connection, generation)
        written = 0
        for batch in self._packer.batches(lists, LISTS_PER_TRANSACTION):
            packed = dict(batch)
            with self._database.begin() as connection:
                self._refuse_in_service(connection, generation)
                connection.execute(
                    self._database.insert(self._generations).on_conflict_do_nothing(),
                    {"generation": generation},
                )
                connection.execute(
                    self._put,
                    [
                        {"generation": generation, USER_ID: user_id, "items": packed[user_id]}
                        for user_id in sorted(packed)  # writers in one order cannot deadlock
                    ],
                )
            written += len(batch)
        return written

    def switch(self, generation: str) -> None:
        """Put the generation in service; switching to the one in service does nothing."""
        known = select(self._generations).where(self._generations.c.generation == generation)
        with self._database.begin() as connection:
            connection.execute(self._in_service.with_for_update())
            if connection.execute(known).first() is None:
                raise never_written(generation)
            connection.execute(update(self._service).values(generation=generation))

    def current(self) -> str | None:
        """The generation in service."""
        with self._database.connect() as connection:
            return connection.execute(self._in_service).scalar()

    def generations(self) -> Sequence[str]:
        """All that are stored, by name."""
        with self._database.connect() as connection:
            return sorted(connection.execute(select(self._generations.c.generation)).scalars())

    def read(self, user_id: str) -> PublishedList | None:
        """The person's list in the generation in service, found by one query."""
        row = self._database.first_row(self._find, (user_id,))
        return None if row is None else self._packer.unpack(user_id, row[0])

    def count(self, generation: str) -> int:
        """How many lists it holds; 0 for an unknown one."""
        query = (
            select(func.count())
            .select_from(self._lists)
            .where(self._lists.c.generation == generation)
        )
        with self._database.connect() as connection:
            return connection.execute(query).scalar_one()

    def drop(self, generation: str) -> None:
        """Delete a generation. An absent one does nothing."""
        with self._database.begin() as connection:
            self._refuse_in_service(connection, generation)
            for table in (self._generations, self._lists):
                connection.execute(delete(table).where(table.c.generation == generation))

    def erase(self, user_id: str) -> int:
        """Delete the person's list from every generation; returns from how many."""
        every = select(self._generations.c.generation)
        theirs = delete(self._lists).where(
            self._lists.c.generation.in_(every),  # so that the primary key finds the rows
            self._lists.c[USER_ID] == user_id,
        )
        with self._database.begin() as connection:
            return connection.execute(theirs).rowcount

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    def _make_slot(self) -> None:
        """The row that says what is in service is always there, so that it can be locked."""
        with self._database.connect() as connection:
            if connection.execute(select(self._service.c.slot)).first() is not None:
                return
        with self._database.begin() as connection:
            connection.execute(
                self._database.insert(self._service).on_conflict_do_nothing(), {"slot": _SLOT}
            )

    def _refuse_in_service(self, connection: Connection, generation: str) -> None:
        """Raise Conflict for the generation in service; in a write, none is switched till its end.

        Where SQLite has one writer at a time anyway, PostgreSQL shares a lock on the row.
        """
        query = self._in_service.with_for_update(read=True)
        if connection.execute(query).scalar() == generation:
            raise in_service(generation)

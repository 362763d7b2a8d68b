"""Tables that other programs query and write, too: people, categories, items and what was done.

They are made where they are absent, with keys, constraints and indexes, and never changed where
they are there: they may be older than Nextup, and have more columns than it knows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    Table,
    Text,
    func,
    inspect,
    text,
)

from nextup.adapters.sql import Id, Number
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from sqlalchemy import Inspector

    from nextup.adapters.sql import Database
    from nextup.settings_history import History, SharedTables

MAKING_LOCK: Final = 0x6E657875  # any number; serialises making the tables on PostgreSQL
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")  # canonical, and within 64 bits


class Shared:
    """The four tables, by the names that the settings give them."""

    def __init__(self, database: Database, history: History, names: SharedTables) -> None:
        self._database = database
        self.metadata = MetaData()
        self.users = self._table(
            names.user_table,
            _key(names.user_key),
            Column(names.email_column, Text, unique=True),
            Column(names.username_column, Text),
        )
        self.categories = self._table(
            names.category_table,
            _key(names.category_key),
            Column(names.category_name, Text, nullable=False, unique=True),
        )
        self.items = self._table(
            history.item_table,
            _key(history.item_key),
            Column(history.item_name, Id, nullable=False, unique=True),
            Column(names.title_column, Text, nullable=False),
            Column(names.rating_column, Float(53)),
            Column(
                names.category_column,
                Number,
                ForeignKey(self.categories.c[names.category_key]),
                index=True,
            ),
        )
        self.acts = self._table(
            history.table,
            _key(history.id_column),
            _reference(history.user_column, self.users.c[names.user_key], index=False),
            _reference(history.item_column, self.items.c[history.item_key], index=True),
            Column(history.action_column, Text, nullable=False),
            Column(
                history.at_column,
                DateTime(timezone=True),
                nullable=False,
                index=True,
                server_default=func.now(),
            ),
        )
        action = self.acts.c[history.action_column]
        self.acts.append_constraint(CheckConstraint(action.in_(history.actions)))
        # a person's past, in order
        Index(None, self.acts.c[history.user_column], self.acts.c[history.at_column])

    def make(self) -> None:
        """Make those that are absent."""
        with self._database.connect() as connection:
            if all(self._is_there(inspect(connection), table) for table in self._all):
                return
        with self._database.begin() as connection:
            if not self._database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": MAKING_LOCK})
            self.metadata.create_all(connection)

    @property
    def _all(self) -> tuple[Table, ...]:
        return self.users, self.categories, self.items, self.acts

    @staticmethod
    def _is_there(found: Inspector, table: Table) -> bool:
        return found.has_table(table.name, schema=table.schema)

    def _table(self, name: str, *columns: Column[Any]) -> Table:
        """`schema.table` names a schema; a tenant's prefix begins the table's own name."""
        schema, _, own = name.rpartition(".")
        return Table(self._database.table_name(own), self.metadata, *columns, schema=schema or None)


def is_number(user_id: str) -> bool:
    """Whether the id is a whole number as these tables keep it."""
    return _WHOLE.fullmatch(user_id) is not None


def number_of(user_id: str) -> int:
    """The person's number. Raises InvalidInput for an id that is none."""
    if not is_number(user_id):
        raise InvalidInput(
            f"The user id {user_id!r} is not a whole number.",
            cure='People have numbers here; `contracts.id_type = "int_users"` checks events.',
        )
    return int(user_id)


def _key(name: str) -> Column[int]:
    return Column(name, Number, Identity(), primary_key=True)


def _reference(name: str, key: Column[Any], *, index: bool) -> Column[int]:
    return Column(name, Number, ForeignKey(key), nullable=False, index=index)

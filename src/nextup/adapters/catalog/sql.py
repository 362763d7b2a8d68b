"""Items and people in a SQL database."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    func,
    literal,
    not_,
    or_,
    select,
)

from nextup.adapters.catalog.sql_filters import FilterColumns, clause
from nextup.adapters.sql import IN_CHUNK, Database, Id, Number
from nextup.adapters.sql_backup import SqlBackup
from nextup.adapters.sql_hot import FindRows
from nextup.adapters.sql_schema import Schema
from nextup.adapters.sql_trial import SqlTrial
from nextup.domain import tables as t
from nextup.domain.errors import InvalidInput
from nextup.domain.filters import folded
from nextup.domain.items import Item, Outline, Person
from nextup.ports.catalog import Found, Mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Row, Select

    from nextup.domain.filters import Filter

WRITE_ROWS: Final = 5_000  # per round trip of a bulk write
PAGE_ROWS: Final = 2_000  # per read of a scan over everything
OUTLINE_ROWS: Final = 20_000  # likewise, where rows are short
LONGEST_SEARCH: Final = 5_000  # characters; SQLite refuses patterns of ten times as many bytes

_ATTRIBUTES: Final = "attributes"
_TITLE_FOLDED: Final = "title_folded"


class SqlCatalog(SqlBackup, SqlTrial):
    """A Catalog in SQLite or PostgreSQL. Takes the database over: closing this closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        metadata = self._metadata = MetaData()
        self._items = Table(
            database.table_name("items"),
            metadata,
            Column(t.ITEM_ID, Id, primary_key=True),
            Column(t.KIND, Id, nullable=False, index=True),
            Column(t.TITLE, Text, nullable=False),
            Column(t.YEAR, Number),
            Column(t.GENRES, Text, nullable=False),  # this and the next two: a JSON list
            Column(t.MAKERS, Text, nullable=False),
            Column(t.KEYWORDS, Text, nullable=False),
            Column(t.AVAILABLE, Boolean, nullable=False),
            Column(_ATTRIBUTES, Text, nullable=False),  # a JSON object
            Column(_TITLE_FOLDED, Id, nullable=False),  # what a search compares with
        )
        self._people = Table(
            database.table_name("people"),
            metadata,
            Column(t.USER_ID, Id, primary_key=True),
            Column(_ATTRIBUTES, Text, nullable=False),
        )
        Schema(database, "catalog").prepare(metadata)
        key = self._items.c[t.ITEM_ID]
        self._known = FindRows(database, select(key), key)
        self._put_item = database.driver_sql(_upsert(database, self._items, t.ITEM_ID))
        self._put_person = database.driver_sql(_upsert(database, self._people, t.USER_ID))

    def put_items(self, items: Iterable[Item]) -> int:
        """As in the port. `items` is read within the transaction, a few thousand at a time: one
        that comes slowly keeps other writers waiting, one that raises leaves all as it was."""
        ids: set[str] = set()
        with self._database.begin() as connection:
            rows: list[tuple[Any, ...]] = []
            for item in items:
                ids.add(item.item_id)
                rows.append(_item_row(item))
                if len(rows) == WRITE_ROWS:
                    connection.exec_driver_sql(self._put_item, rows)
                    rows = []
            if rows:
                connection.exec_driver_sql(self._put_item, rows)
        return len(ids)

    def item(self, item_id: str) -> Item | None:
        """As in the port; None for an unknown id."""
        return self.items([item_id]).get(item_id)

    def items(self, item_ids: Collection[str]) -> dict[str, Item]:
        """As in the port."""
        key = self._items.c[t.ITEM_ID]
        with self._database.connect() as connection:
            return {
                row[0]: _item(row)
                for chunk in _chunks(item_ids)
                for row in connection.execute(select(self._items).where(key.in_(chunk)))
            }

    def all_items(self) -> Iterator[Item]:
        """As in the port. Reads page by page: an item that is put meanwhile is seen if its id
        is still ahead, and no transaction stays open between two items."""
        for page in self._pages(select(self._items), PAGE_ROWS):
            yield from map(_item, page)

    def all_outlines(self) -> Iterator[Outline]:
        """As in the port; read as `all_items` is."""
        wanted = (t.ITEM_ID, t.KIND, t.GENRES, t.AVAILABLE)
        names = cache(_strings)  # many items have the same
        for page in self._pages(select(*(self._items.c[name] for name in wanted)), OUTLINE_ROWS):
            for item_id, kind, genres, available in page:
                yield Outline(item_id, kind, names(genres), available)

    def unknown_items(self, item_ids: Collection[str]) -> set[str]:
        """As in the port."""
        wanted = list(item_ids)
        with self._database.driver() as connection:
            known = {item_id for (item_id,) in self._known.run(connection, wanted)}
        return set(wanted) - known

    def search_items(self, text: str, *, kind: str | None, limit: int) -> Sequence[Item]:
        """As in the port; each of the two groups by title. Nothing is special in `text`."""
        wanted = folded(text)
        if len(wanted) > LONGEST_SEARCH or "\0" in wanted:  # no title is like that
            return []
        title = self._items.c[_TITLE_FOLDED]
        starts = title.startswith(wanted, autoescape=True)
        query = (
            select(self._items)
            .where(title.contains(wanted, autoescape=True))
            .order_by(starts.desc(), title, self._items.c[t.ITEM_ID])
            .limit(max(limit, 0))
        )
        if kind is not None:
            query = query.where(self._items.c[t.KIND] == kind)
        return [_item(row) for row in self._page(query)]

    def browse_items(
        self, text: str, *, where: Filter | None, after: Mark | None, limit: int
    ) -> Sequence[Found]:
        """As in the port; what SQL can decide of `where` is decided there."""
        wanted = folded(text)
        if len(wanted) > LONGEST_SEARCH or "\0" in wanted:
            return []
        columns = self._items.c
        title, key = columns[_TITLE_FOLDED], columns[t.ITEM_ID]
        starts = title.startswith(wanted, autoescape=True)
        query = select(self._items, starts).where(title.contains(wanted, autoescape=True))
        if where is not None:
            fields = FilterColumns(
                columns[t.KIND], title, columns[t.YEAR], columns[t.AVAILABLE], self._kinds
            )
            query = query.where(clause(where, fields).sql)
        if after is not None:
            later = or_(title > after.title, and_(title == after.title, key > after.item_id))
            in_group = starts if after.starts else not_(starts)
            query = query.where(
                or_(and_(in_group, later), and_(literal(after.starts), not_(starts)))
            )
        ordered = query.order_by(starts.desc(), title, key).limit(max(limit, 0))
        rows: list[list[Any]] = [list(row) for row in self._page(ordered)]
        return [Found(Mark(bool(begins), row[-1], row[0]), _item(row)) for *row, begins in rows]

    def _kinds(self) -> Sequence[str]:
        with self._database.connect() as connection:
            return connection.execute(select(self._items.c[t.KIND]).distinct()).scalars().all()

    def count_items(self, kind: str | None = None) -> int:
        """All of them, or those of one kind."""
        query = select(func.count()).select_from(self._items)
        if kind is not None:
            query = query.where(self._items.c[t.KIND] == kind)
        with self._database.connect() as connection:
            return connection.execute(query).scalar_one()

    def delete_item(self, item_id: str) -> bool:
        """As in the port."""
        return self._delete(self._items.c[t.ITEM_ID], item_id)

    def put_person(self, person: Person) -> None:
        """Insert or replace."""
        row = (person.user_id, _json(person.attributes))
        with self._database.begin() as connection:
            connection.exec_driver_sql(self._put_person, row)

    def person(self, user_id: str) -> Person | None:
        """None for somebody who was never put; they may still have acted."""
        query = select(self._people).where(self._people.c[t.USER_ID] == user_id)
        with self._database.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Person(row[0], msgspec.json.decode(row[1]))

    def delete_person(self, user_id: str) -> bool:
        """Deleting an absent person does nothing; returns whether they were there."""
        return self._delete(self._people.c[t.USER_ID], user_id)

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    def _pages(self, query: Select[Any], size: int) -> Iterator[Sequence[Sequence[Any]]]:
        """All rows by ascending id, which is each one's first column."""
        key = self._items.c[t.ITEM_ID]
        everything = query.order_by(key).limit(size)
        page = self._page(everything)
        while page:
            yield page
            page = self._page(everything.where(key > page[-1][0])) if len(page) == size else []

    def _page(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._database.connect() as connection:
            return connection.execute(query).all()

    def _delete(self, key: Column[Any], value: str) -> bool:
        with self._database.begin() as connection:
            return _delete_where(connection, key, value) > 0


def _delete_where(connection: Connection, key: Column[Any], value: str) -> int:
    return connection.execute(delete(key.table).where(key == value)).rowcount


def _upsert(database: Database, table: Table, key: str) -> Any:
    insert = database.insert(table)
    others = {column.name: insert.excluded[column.name] for column in table.c if column.name != key}
    return insert.on_conflict_do_update(index_elements=[key], set_=others)


def _item_row(item: Item) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        item.item_id,
        item.kind,
        item.title,
        item.year,
        _json(item.genres),
        _json(item.makers),
        _json(item.keywords),
        item.available,
        _json(item.attributes),
        folded(item.title),
    )


def _item(row: Sequence[Any]) -> Item:
    item_id, kind, title, year, genres, makers, keywords, available, attributes, _ = row
    return Item(
        item_id,
        kind,
        title,
        year,
        _strings(genres),
        _strings(makers),
        _strings(keywords),
        available,
        msgspec.json.decode(attributes),
    )


_strings = msgspec.json.Decoder(tuple[str, ...]).decode


def _json(value: Mapping[str, Any] | Sequence[str]) -> str:
    try:
        plain = dict(value) if isinstance(value, Mapping) else value
        return msgspec.json.encode(plain).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(
            f"An attribute cannot be stored as JSON: {error}.",
            cure="Use text, numbers, true, false, null, lists and objects.",
        ) from error


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    ordered = list(ids)
    for begin in range(0, len(ordered), IN_CHUNK):
        yield ordered[begin : begin + IN_CHUNK]

"""A catalogue that is other programs' tables: a book's row is an item, a user's row is a person.

An item has a title, one category (its only genre), and a rating where there is one; its id is its
ISBN, or whatever `history.item_name` names. What the tables have no column for is refused, not
lost.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, func, select, update

from nextup.adapters.shared_tables import Shared, is_number, number_of
from nextup.adapters.sql import IN_CHUNK, Database
from nextup.adapters.sql_backup import SqlBackup
from nextup.adapters.sql_trial import row_trial
from nextup.domain.errors import Conflict, InvalidInput
from nextup.domain.filters import folded
from nextup.domain.items import Item, Person

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Select

    from nextup.ports.trial import Trial
    from nextup.settings_history import History, SharedTables

WRITE_ROWS: Final = 5_000  # per round trip of a bulk write
PAGE_ROWS: Final = 2_000  # per read of a scan over everything

ISBN, CATEGORY, RATING = "isbn", "category", "rating"  # attributes of an item
EMAIL, USERNAME = "email", "username"  # attributes of a person


class SharedCatalog(SqlBackup):
    """A Catalog. Takes the database over: closing this closes it."""

    def __init__(self, database: Database, history: History, names: SharedTables) -> None:
        self._database = database
        self._kind = names.kind
        self._shared = shared = Shared(database, history, names)
        shared.make()
        self._key = shared.items.c[history.item_name]
        self._title = shared.items.c[names.title_column]
        self._rating = shared.items.c[names.rating_column]
        self._category_of = shared.items.c[names.category_column]
        self._category_key = shared.categories.c[names.category_key]
        self._category = shared.categories.c[names.category_name]
        self._row = shared.items.c[history.item_key]
        self._acts_on = shared.acts.c[history.item_column]
        self._acts_of = shared.acts.c[history.user_column]
        self._user = shared.users.c[names.user_key]
        self._facts = {
            EMAIL: shared.users.c[names.email_column],
            USERNAME: shared.users.c[names.username_column],
        }
        joined = shared.items.outerjoin(shared.categories, self._category_of == self._category_key)
        self._all = select(self._key, self._title, self._category, self._rating).select_from(joined)
        insert = database.insert(shared.items).values(
            {column.name: bindparam(f"new_{column.name}") for column in self._written}
        )
        self._put_item = insert.on_conflict_do_update(
            index_elements=[self._key],
            set_={c.name: insert.excluded[c.name] for c in self._written if c is not self._key},
        )

    def put_items(self, items: Iterable[Item]) -> int:
        """As in the port. Raises InvalidInput for what the tables cannot hold."""
        ids: set[str] = set()
        rest = iter(items)
        with self._database.begin() as connection:
            while batch := list(islice(rest, WRITE_ROWS)):
                facts = {item.item_id: self._facts_of(item) for item in batch}
                keys = self._put_categories(connection, {name for _, name, _ in facts.values()})
                rows = [
                    self._bound(item_id, title, rating, keys.get(category))
                    for item_id, (title, category, rating) in facts.items()
                ]
                connection.execute(self._put_item, rows)
                ids.update(facts)
        return len(ids)

    def check_item(self, item: Item) -> None:
        """As in the port."""
        self._facts_of(item)

    def item(self, item_id: str) -> Item | None:
        """As in the port; None for an unknown id."""
        return self.items([item_id]).get(item_id)

    def items(self, item_ids: Collection[str]) -> dict[str, Item]:
        """As in the port."""
        with self._database.connect() as connection:
            return {
                row[0]: self._item(row)
                for chunk in _chunks(item_ids)
                for row in connection.execute(self._all.where(self._key.in_(chunk)))
            }

    def all_items(self) -> Iterator[Item]:
        """As in the port, page by page: no transaction stays open between two items."""
        everything = self._all.order_by(self._key).limit(PAGE_ROWS)
        page = self._page(everything)
        while page:
            yield from map(self._item, page)
            more = len(page) == PAGE_ROWS
            page = self._page(everything.where(self._key > page[-1][0])) if more else []

    def unknown_items(self, item_ids: Collection[str]) -> set[str]:
        """As in the port."""
        unknown = set(item_ids)
        with self._database.connect() as connection:
            for chunk in _chunks(item_ids):
                found = connection.execute(select(self._key).where(self._key.in_(chunk)))
                unknown.difference_update(found.scalars())
        return unknown

    def search_items(self, text: str, *, kind: str | None, limit: int) -> Sequence[Item]:
        """As in the port. The tables have no column of folded titles: all titles are read."""
        wanted = folded(text)
        if kind not in {None, self._kind}:
            return []
        found = [
            (not title.startswith(wanted), title, row[0], row)
            for row in self._page(self._all)
            if wanted in (title := folded(row[1]))
        ]
        return [self._item(row) for *_, row in sorted(found)[: max(limit, 0)]]

    def count_items(self, kind: str | None = None) -> int:
        """All of them, or none of another kind."""
        if kind not in {None, self._kind}:
            return 0
        with self._database.connect() as connection:
            query = select(func.count()).select_from(self._shared.items)
            return connection.execute(query).scalar_one()

    def delete_item(self, item_id: str) -> bool:
        """As in the port. Raises Conflict for one that somebody did something with: that row
        names it."""
        row = select(self._row).where(self._key == item_id).scalar_subquery()
        with self._database.begin() as connection:
            if connection.execute(select(self._acts_on).where(self._acts_on == row)).first():
                raise Conflict(
                    f"People did something with '{item_id}'; rows of "
                    f"{self._shared.acts.name} name it.",
                    cure="Keep it, and leave it out of lists with the rule `exclude`.",
                )
            gone = connection.execute(delete(self._shared.items).where(self._key == item_id))
            return gone.rowcount > 0

    def put_person(self, person: Person) -> None:
        """Insert or replace. Raises InvalidInput for attributes without a column."""
        facts = {column.name: person.attributes.get(name) for name, column in self._facts.items()}
        odd = sorted(set(person.attributes) - set(self._facts))
        if odd or not all(isinstance(fact, str | None) for fact in facts.values()):
            raise InvalidInput(
                f"The table {self._shared.users.name} cannot hold "
                f"{repr(odd[0]) if odd else 'what is no text'}.",
                cure=f"A person has {EMAIL} and {USERNAME}.",
            )
        insert = self._database.insert(self._shared.users)
        values = {self._user.name: number_of(person.user_id), **facts}
        put = insert.values(values).on_conflict_do_update(index_elements=[self._user], set_=facts)
        with self._database.begin() as connection:
            connection.execute(put)

    def person(self, user_id: str) -> Person | None:
        """None for somebody without a row."""
        if not is_number(user_id):
            return None
        query = select(*self._facts.values()).where(self._user == int(user_id))
        with self._database.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        facts = zip(self._facts, row, strict=True)
        return Person(user_id, {name: fact for name, fact in facts if fact is not None})

    def delete_person(self, user_id: str) -> bool:
        """As in the port. While rows of what they did name the person, only the number stays."""
        if not is_number(user_id):
            return False
        mine = self._user == int(user_id)
        acted = select(self._acts_of).where(self._acts_of == int(user_id))
        with self._database.begin() as connection:
            if not connection.execute(acted.limit(1)).first():
                return connection.execute(delete(self._shared.users).where(mine)).rowcount > 0
            nothing = {column.name: None for column in self._facts.values()}
            done = connection.execute(update(self._shared.users).where(mine).values(nothing))
            return done.rowcount > 0

    def trial(self) -> Trial:
        """A category that nobody else ever sees."""
        return row_trial(self._database, self._category)

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        self._database.close()

    @property
    def _written(self) -> tuple[Any, ...]:
        return self._key, self._title, self._rating, self._category_of

    def _bound(
        self, item_id: str, title: str, rating: float | None, category: int | None
    ) -> dict[str, Any]:
        values = (item_id, title, rating, category)
        return {f"new_{c.name}": value for c, value in zip(self._written, values, strict=True)}

    def _put_categories(
        self, connection: Connection, names: Collection[str | None]
    ) -> Mapping[str | None, int]:
        """The key of each category; new ones are made."""
        wanted = sorted(name for name in names if name is not None)
        keys: dict[str | None, int] = {}
        query = select(self._category, self._category_key)
        insert = self._database.insert(self._shared.categories)
        for chunk in _chunks(wanted):
            rows = [{self._category.name: name} for name in chunk]
            connection.execute(insert.on_conflict_do_nothing(), rows)
            keys.update(connection.execute(query.where(self._category.in_(chunk))).all())
        return keys

    def _facts_of(self, item: Item) -> tuple[str, str | None, float | None]:
        """Title, category and rating; raises InvalidInput where more, or other, is said."""
        given = dict(item.attributes)
        rating, category = given.pop(RATING, None), given.pop(CATEGORY, None)
        genres = [one for one in item.genres if one != category]
        category = category or (genres.pop(0) if genres else None)
        said = {
            "year": item.year is not None,
            "makers": bool(item.makers),
            "keywords": bool(item.keywords),
            "available": not item.available,
            "a second category": bool(genres),
            f"the kind {item.kind!r}": item.kind != self._kind,
            "another isbn": given.pop(ISBN, item.item_id) != item.item_id,
            "a category that is no text": not isinstance(category, str | None),
            **{f"the attribute {name!r}": True for name in given},
        }
        odd = next((what for what, is_said in said.items() if is_said), None)
        if odd is not None:
            raise InvalidInput(
                f"The table {self._shared.items.name} has no place for {odd} of '{item.item_id}'.",
                cure=f"An item of kind {self._kind!r} has a title, a {CATEGORY} and a {RATING}.",
            )
        return item.title, category, _number(rating, item.item_id)

    def _item(self, row: Sequence[Any]) -> Item:
        item_id, title, category, rating = row
        facts = {ISBN: item_id, CATEGORY: category, RATING: rating}
        return Item(
            item_id,
            self._kind,
            title,
            genres=() if category is None else (category,),
            attributes={name: fact for name, fact in facts.items() if fact is not None},
        )

    def _page(self, query: Select[Any]) -> Sequence[Sequence[Any]]:
        with self._database.connect() as connection:
            return connection.execute(query).all()


def _number(rating: object, item_id: str) -> float | None:
    try:
        number = None if rating in {None, ""} else float(str(rating))
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise InvalidInput(f"The {RATING} of '{item_id}' is not a number: {rating!r}.")
    return number


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    ordered = list(ids)
    for begin in range(0, len(ordered), IN_CHUNK):
        yield ordered[begin : begin + IN_CHUNK]

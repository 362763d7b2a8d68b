"""A catalogue in other programs' tables, and a row there for each event, on every SQL backend."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import inspect, text
from tests.contract.backends import POSTGRESQL, SQLITE, Place, kill_at_line, places
from tests.contract.cases import event, in_threads

from nextup.adapters.sql import open_database
from nextup.domain.errors import Conflict, InvalidInput
from nextup.domain.items import Item, Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.domain.events import Event
    from nextup.ports.catalog import Catalog
    from nextup.ports.event_log import EventLog

EMMA = Item(
    "0141439580",
    "book",
    "Emma",
    genres=("Novel",),
    attributes={"isbn": "0141439580", "category": "Novel", "rating": 4.0},
)
ZEN = Item("0060589469", "book", "Zen", attributes={"isbn": "0060589469"})
SHARED = {"catalog": True, "events": {"like": "LIKE", "view": "VIEW"}}


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    for found in places(request, tmp_path):
        found.more["shared_tables"] = SHARED
        yield found


@pytest.fixture
def books(catalog: Catalog) -> Catalog:
    catalog.put_items([EMMA, ZEN])
    return catalog


def rows(place: Place, query: str) -> list[tuple[Any, ...]]:
    """What the database answers; `{}` stands for the beginning of the tables' names."""
    prefix = f"{place.tenant}_"
    database = open_database(place.url, place.home, prefix)
    try:
        with database.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query.replace("{}", prefix)))]
    finally:
        database.close()


def acts(place: Place) -> list[tuple[Any, ...]]:
    """Who did what with which book, as a person would ask."""
    return rows(
        place,
        'SELECT a.user_id, b.isbn, a.action FROM "{}Interaction" a'
        ' JOIN "{}Book" b ON b.id = a.book_id ORDER BY a.id',
    )


def act(number: int, **changes: Any) -> Event:
    return event(number, "7", **{"item_id": EMMA.item_id, "type": "like", **changes})


def test_the_tables_are_real(place: Place, books: Catalog) -> None:
    """Keys, references, unique columns and indexes are where one looks for them."""
    database = open_database(place.url, place.home)
    with database.connect() as connection:
        found = inspect(connection)
        mine = f"{place.tenant}_"
        columns = {
            table: [column["name"] for column in found.get_columns(f"{mine}{table}")]
            for table in ("User", "Category", "Book", "Interaction")
        }
        references = {
            key["constrained_columns"][0]: key["referred_table"]
            for table in ("Book", "Interaction")
            for key in found.get_foreign_keys(f"{mine}{table}")
        }
        indexed = [index["column_names"][0] for index in found.get_indexes(f"{mine}Interaction")]
        unique = found.get_unique_constraints(f"{mine}Book")
    database.close()
    assert columns == {
        "User": ["id", "email", "username"],
        "Category": ["id", "name"],
        "Book": ["id", "isbn", "title", "rating", "category_id"],
        "Interaction": ["id", "user_id", "book_id", "action", "action_date"],
    }
    assert references == {
        "category_id": f"{mine}Category",
        "user_id": f"{mine}User",
        "book_id": f"{mine}Book",
    }
    assert sorted(indexed) == ["action_date", "book_id", "user_id"]
    assert [one["column_names"] for one in unique] == [["isbn"]]


def test_a_book_is_an_item(place: Place, books: Catalog) -> None:
    """It comes back as it was put, it is found by its title, and the last of equal ids wins."""
    assert list(books.all_items()) == [ZEN, EMMA]
    assert books.item("1") is None
    assert books.unknown_items([EMMA.item_id, "1"]) == {"1"}
    assert [one.title for one in books.search_items("EM", kind="book", limit=9)] == ["Emma"]
    assert books.search_items("em", kind="film", limit=9) == []
    assert (books.count_items(), books.count_items("book"), books.count_items("film")) == (2, 2, 0)
    again = Item(ZEN.item_id, "book", "Zen and", genres=("Essay",), attributes={"rating": "3.7"})
    assert books.put_items([EMMA, ZEN, again]) == 2
    facts = {"isbn": ZEN.item_id, "category": "Essay", "rating": 3.7}
    assert books.item(ZEN.item_id) == replace(again, attributes=facts)
    assert rows(place, 'SELECT name FROM "{}Category" ORDER BY name') == [("Essay",), ("Novel",)]
    assert books.delete_item(ZEN.item_id)
    assert not books.delete_item(ZEN.item_id)


def test_everything_in_order_in_large(catalog: Catalog) -> None:
    """More books than are written or read at once."""
    ids = [f"{(number * 7919) % 6_000:010}" for number in range(6_000)]
    items = [Item(one, "book", one, attributes={"category": one[-1]}) for one in ids]
    assert catalog.put_items(items) == 6_000
    assert [one.item_id for one in catalog.all_items()] == sorted(ids)
    assert catalog.items(ids)[ids[0]].genres == (ids[0][-1],)


@pytest.mark.parametrize(
    "bad",
    [
        replace(EMMA, year=1815),
        replace(EMMA, makers=("Jane Austen",)),
        replace(EMMA, available=False),
        replace(EMMA, kind="film"),
        replace(EMMA, genres=("Novel", "Romance")),
        replace(EMMA, attributes={"pages": 474}),
        replace(EMMA, attributes={"isbn": "1"}),
        replace(EMMA, attributes={"rating": "good"}),
        replace(EMMA, attributes={"rating": "nan"}),
        replace(EMMA, attributes={"category": 7}),
    ],
)
def test_what_has_no_column_is_refused(books: Catalog, bad: Item) -> None:
    """It is said which, and nothing is changed: what were dropped would be lost."""
    with pytest.raises(InvalidInput) as caught:
        books.put_items([Item("1", "book", "new"), bad])
    assert EMMA.item_id in caught.value.message
    assert list(books.all_items()) == [ZEN, EMMA]


def test_a_user_is_a_person(place: Place, catalog: Catalog) -> None:
    """Users have numbers, an e-mail address and a name, each address once."""
    ada = Person("7", {"email": "ada@example.org", "username": "ada"})
    catalog.put_person(ada)
    assert catalog.person("7") == ada
    assert catalog.person("8") is None
    assert catalog.person("ada") is None
    catalog.put_person(Person("7", {"username": "ada l"}))
    assert rows(place, 'SELECT * FROM "{}User"') == [(7, None, "ada l")]
    catalog.put_person(Person("8", {"email": "b@example.org"}))
    for wrong in (
        Person("9", {"email": "b@example.org"}),
        Person("ada"),
        Person("07"),
        Person("9", {"age": 36}),
        Person("9", {"email": 1}),
    ):
        with pytest.raises(InvalidInput):
            catalog.put_person(wrong)
    assert catalog.delete_person("7")
    assert not catalog.delete_person("7")
    assert not catalog.delete_person("ada")


def test_each_event_is_a_row_once(place: Place, books: Catalog, event_log: EventLog) -> None:
    """Likes and views, with their own time; however often they are sent; nothing else."""
    event_log.append([act(1), act(2, type="view", item_id=ZEN.item_id), act(1)])
    event_log.append([act(1), act(3, type="impression"), act(4, type="view")])
    event_log.append([act(1)])
    assert acts(place) == [
        (7, EMMA.item_id, "LIKE"),
        (7, ZEN.item_id, "VIEW"),
        (7, EMMA.item_id, "VIEW"),
    ]
    assert event_log.head() == {"0": 5}
    moments = [row[0] for row in rows(place, 'SELECT action_date FROM "{}Interaction"')]
    told = [
        moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)
        for moment in moments
    ]
    utc = [moment.replace(tzinfo=moment.tzinfo or UTC) for moment in told]
    assert utc == [act(number).occurred_at for number in (1, 2, 4)]
    assert rows(place, 'SELECT * FROM "{}User"') == [(7, None, None)]


@pytest.mark.parametrize(
    "bad",
    [{"item_id": "1"}, {"user_id": "ada"}, {"user_id": "9" * 19}],
    ids=["no-book", "no-number", "too-large"],
)
def test_what_cannot_be_a_row_is_no_event(
    place: Place, books: Catalog, event_log: EventLog, bad: dict[str, str]
) -> None:
    """It is in neither, nor is what came with it; what others send meanwhile is in both."""
    refused: list[InvalidInput] = []

    def send(number: int) -> None:
        if number % 5:
            event_log.append([act(number)])
            return
        try:
            event_log.append([act(number), act(number + 1000, **bad)])
        except InvalidInput as error:
            refused.append(error)

    in_threads([threading.Thread(target=send, args=(number,)) for number in range(20)])
    assert len(refused) == 4
    logged = [row.event_id for row in event_log.read({}, 100).rows]
    assert sorted(logged) == [f"e{number:06d}" for number in range(20) if number % 5]
    assert len(acts(place)) == len(logged)


WRITER = """
from tests.contract.test_shared_tables import act
log = place.event_log()
for start in range(0, 100_000, 10):
    log.append([act(number) for number in range(start, start + 10)])
    print(start, flush=True)
"""


@pytest.mark.parametrize("line", [1, 17])
def test_a_kill_leaves_both_or_neither(
    place: Place, books: Catalog, event_log: EventLog, line: int
) -> None:
    """Whenever the writer dies, the table has as many rows as the log has events."""
    acknowledged = len(kill_at_line(place.run(WRITER), line)) * 10
    logged = len(event_log.read({}, 100_000).rows)
    assert logged >= acknowledged > 0
    assert len(acts(place)) == logged
    event_log.append([act(number) for number in range(logged + 10)])
    assert len(acts(place)) == logged + 10


def test_who_is_erased_has_no_rows(place: Place, books: Catalog, event_log: EventLog) -> None:
    """While something names them a person and a book stay; then they can go."""
    event_log.append([act(1), act(2, user_id="8")])
    books.put_person(Person("7", {"email": "ada@example.org"}))
    with pytest.raises(Conflict):
        books.delete_item(EMMA.item_id)
    assert books.delete_person("7")  # what is known of them
    assert books.person("7") == Person("7")
    assert event_log.erase("7") == 1  # type: ignore[attr-defined]
    assert acts(place) == [(8, EMMA.item_id, "LIKE")]
    assert books.delete_person("7")
    assert rows(place, 'SELECT id FROM "{}User"') == [(8,)]
    assert event_log.erase("ada") == 0  # type: ignore[attr-defined]


def test_tables_that_are_there_stay_as_they_are(place: Place) -> None:
    """Names are settings; a table of another program may have more columns than Nextup knows."""
    mine = f"{place.tenant}_"
    database = open_database(place.url, place.home)
    key = "INTEGER PRIMARY KEY" if database.is_sqlite else "serial PRIMARY KEY"
    with database.begin() as connection:
        connection.execute(
            text(
                f'CREATE TABLE "{mine}livres" (id {key}, ean text UNIQUE NOT NULL, titre text '
                "NOT NULL, note float, genre_id bigint, pages int NOT NULL DEFAULT 100)"
            )
        )
    database.close()
    place.more["history"] = {"item_table": "livres", "item_name": "ean", "table": "actes"}
    place.more["shared_tables"] = SHARED | {
        "title_column": "titre",
        "rating_column": "note",
        "category_column": "genre_id",
        "category_table": "genres",
    }
    catalog = place.catalog()
    catalog.put_items([EMMA])
    place.event_log().append([act(1)])
    query = 'SELECT ean, titre, note, pages, name FROM "{}livres" JOIN "{}genres" g'
    assert rows(place, f"{query} ON g.id = genre_id") == [(EMMA.item_id, "Emma", 4.0, 100, "Novel")]
    assert rows(place, 'SELECT user_id, action FROM "{}actes"') == [(7, "LIKE")]
    assert place.catalog().trial().product.startswith(("SQLite", "PostgreSQL"))  # type: ignore[attr-defined]

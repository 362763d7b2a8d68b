"""What every catalogue promises."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.backends import CATALOGS, HOSTILE_IDS, Place, places
from tests.contract.cases import in_threads
from tests.servers import durable

from nextup.domain.errors import BackendUnavailable, InvalidInput
from nextup.domain.items import Item, Person
from nextup.services.serving_model import Outlined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.cases import Opener

    from nextup.ports.catalog import Catalog

FULL = Item(
    "m1",
    kind="film",
    title="Amélie",
    year=2001,
    genres=("Comedy", "Romance"),
    makers=("Jean-Pierre Jeunet",),
    keywords=('quotes " and ü', ""),
    available=False,
    attributes={"imdb": "tt0211283", "cast": ["Audrey Tautou"], "budget": 7.7, "seen": None},
)


@pytest.fixture(params=CATALOGS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


def titled(**titles: str) -> list[Item]:
    return [Item(item_id, title=title) for item_id, title in titles.items()]


def found(catalog: Catalog, text: str, kind: str | None = None, limit: int = 10) -> list[str]:
    return [item.item_id for item in catalog.search_items(text, kind=kind, limit=limit)]


def test_a_new_catalogue_is_empty(catalog: Catalog) -> None:
    """Nothing is known, and asking is not an error."""
    assert catalog.item("m1") is None
    assert catalog.items(["m1"]) == {}
    assert catalog.items([]) == {}
    assert list(catalog.all_items()) == []
    assert catalog.unknown_items(["m1", "m2"]) == {"m1", "m2"}
    assert found(catalog, "a") == []
    assert catalog.count_items() == catalog.count_items("film") == 0
    assert catalog.person("ada") is None
    assert not catalog.delete_item("m1")
    assert not catalog.delete_person("ada")
    assert catalog.put_items([]) == 0


def test_an_item_comes_back_as_it_was(catalog: Catalog) -> None:
    """All fields survive, in their types, and so do defaults."""
    bare = Item("m2")
    assert catalog.put_items([FULL, bare]) == 2
    assert catalog.item("m1") == FULL
    assert catalog.items(["m2", "m1", "m3", "m1"]) == {"m1": FULL, "m2": bare}
    assert list(catalog.all_items()) == [FULL, bare]


def test_putting_replaces(catalog: Catalog) -> None:
    """The whole item is replaced; of equal ids in one call the last wins."""
    catalog.put_items([FULL])
    changed = [replace(FULL, title="A"), Item("m1", title="B"), Item("m2")]
    assert catalog.put_items(changed) == 2
    assert catalog.item("m1") == Item("m1", title="B")
    assert catalog.count_items() == 2


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_texts_may_be_anything(catalog: Catalog, hostile: str) -> None:
    """Text that means something to a database is only text in an id, a title or a kind."""
    item = Item(hostile, kind=hostile, title=hostile, genres=(hostile,), attributes={hostile: 1})
    catalog.put_items([item, Item("other")])
    assert catalog.item(hostile) == item
    assert hostile in found(catalog, hostile)
    assert catalog.count_items(hostile) == 1
    assert catalog.unknown_items([hostile]) == set()
    catalog.put_person(Person(hostile, {"a": hostile}))
    assert catalog.person(hostile) == Person(hostile, {"a": hostile})
    assert catalog.delete_item(hostile)
    assert catalog.delete_person(hostile)


def test_ids_that_look_alike_are_different(catalog: Catalog) -> None:
    """Case, accents written in another way, spaces and zeros in front make another id."""
    assert catalog.put_items(Item(hostile) for hostile in HOSTILE_IDS) == len(HOSTILE_IDS)
    assert [item.item_id for item in catalog.all_items()] == sorted(HOSTILE_IDS)


@pytest.mark.parametrize(
    "bad",
    [
        Item("bad", attributes={"x": object()}),
        Item("bad\ud800"),
        Item("bad", year=1 << 70),
    ],
    ids=["object", "surrogate", "huge"],
)
def test_an_item_that_cannot_be_kept_changes_nothing(catalog: Catalog, bad: Item) -> None:
    """All or nothing, also where the good ones came long before."""
    catalog.put_items([FULL])
    new = [replace(FULL, title="New"), *(Item(f"n{number}") for number in range(6_000)), bad]
    with pytest.raises(InvalidInput):
        catalog.put_items(new)
    assert list(catalog.all_items()) == [FULL]


def test_an_interrupted_import_changes_nothing(catalog: Catalog) -> None:
    """A source of items that fails midway leaves the catalogue as it was."""

    def source() -> Iterator[Item]:
        for number in range(12_000):
            yield Item(f"n{number}")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        catalog.put_items(source())
    assert catalog.count_items() == 0


def test_everything_in_order_in_large(catalog: Catalog) -> None:
    """Twelve thousand items, put in any order, are read once each, by ascending id."""
    ids = [f"m{(number * 7919) % 12_000}" for number in range(12_000)]
    assert catalog.put_items(Item(item_id, kind="film") for item_id in ids) == 12_000
    assert [item.item_id for item in catalog.all_items()] == sorted(ids)
    assert catalog.unknown_items([*ids, "x"]) == {"x"}
    assert len(catalog.items(ids)) == 12_000
    assert catalog.count_items("film") == catalog.count_items() == 12_000
    assert catalog.count_items("book") == 0


def test_outlines_say_what_ranking_needs(catalog: Catalog) -> None:
    """Of each item the same as the item says, in the same order, however many there are; where a
    catalogue has none, the items themselves come."""
    genres = [(), ("drama",), ("drama", "Ünlü")]
    items = [
        Item(f"m{number}", f"kind{number % 2}", genres=genres[number % 3], available=number % 5 > 0)
        for number in range(21_000)
    ]
    catalog.put_items(items)
    found = [
        (one.item_id, one.kind, one.genres, one.available) for one in Outlined(catalog).all_items()
    ]
    items.sort(key=lambda one: one.item_id)
    assert found == [(one.item_id, one.kind, one.genres, one.available) for one in items]
    assert Outlined(catalog).count_items() == 21_000


def test_writing_while_reading_everything(catalog: Catalog) -> None:
    """The same thread may change items while it goes through all of them."""
    catalog.put_items(Item(f"m{number:05d}") for number in range(5_000))
    for number, item in enumerate(catalog.all_items()):
        if number % 1_000 == 0:
            catalog.put_items([replace(item, title="seen")])
    assert len(catalog.search_items("seen", kind=None, limit=100)) == 5


def test_search_ignores_case_of_any_script(catalog: Catalog) -> None:
    """Also of letters beyond ASCII, and however Unicode writes an accent."""
    catalog.put_items(titled(a="ÉCOLE", b="Straße", c="ДЯДЯ ВАНЯ", d="cafe\u0301 noir"))
    assert found(catalog, "école") == ["a"]
    assert found(catalog, "STRASSE") == ["b"]
    assert found(catalog, "дядя") == ["c"]
    assert found(catalog, "CAFÉ") == ["d"]


def test_search_puts_beginnings_first(catalog: Catalog) -> None:
    """Titles that start with the text come before those that contain it, each by title."""
    catalog.put_items(titled(a="The Star", b="Starman", c="A star is born", d="STAR TREK", e="Sun"))
    assert found(catalog, "star") == ["d", "b", "c", "a"]
    assert found(catalog, "star", limit=2) == ["d", "b"]
    assert found(catalog, "star", limit=0) == []
    assert len(found(catalog, "")) == 5


@pytest.mark.parametrize("special", ["%", "_", "\\", "/", "*", "[a]", "'", '"', "%%", "\\%"])
def test_nothing_is_special_in_a_search(catalog: Catalog, special: str) -> None:
    """A text finds the titles that contain just this text."""
    catalog.put_items(titled(a=f"100{special} wool", b="100x wool", c="plain"))
    assert found(catalog, special) == ["a"]
    assert found(catalog, f"0{special} W") == ["a"]


@pytest.mark.parametrize("text", ["\0", "x" * 100_000, "%" * 60_000])
def test_a_search_for_nonsense_finds_nothing(catalog: Catalog, text: str) -> None:
    """Too long or impossible texts are no error and no match."""
    catalog.put_items(titled(a="x", b="%"))
    assert found(catalog, text) == []


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    titles=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), max_size=6
    ),
    data=st.data(),
)
def test_any_part_of_a_title_finds_it(place: Place, titles: list[str], data: st.DataObject) -> None:
    """Whatever a title consists of, each piece of it, in capitals or not, leads to it."""
    catalog = place.another().catalog()
    catalog.put_items(Item(str(at), title=title) for at, title in enumerate(titles))
    for at, title in enumerate(titles):
        start = data.draw(st.integers(0, len(title)))
        piece = title[start:] if data.draw(st.booleans()) else title[:start]
        if piece.isascii():
            assert str(at) in found(catalog, piece, limit=len(titles))
            assert str(at) in found(catalog, piece.upper(), limit=len(titles))
    catalog.close()


def test_search_within_a_kind(catalog: Catalog) -> None:
    """A kind that no item has finds nothing."""
    catalog.put_items([Item("f", "film", "Dune"), Item("b", "book", "Dune")])
    assert found(catalog, "dune", "book") == ["b"]
    assert found(catalog, "dune", "song") == []
    assert found(catalog, "dune") == ["b", "f"]


def test_deleting(catalog: Catalog) -> None:
    """Deleting says whether there was something; only that is gone."""
    catalog.put_items([FULL, Item("m2")])
    assert catalog.delete_item("m1")
    assert not catalog.delete_item("m1")
    assert list(catalog.all_items()) == [Item("m2")]


def test_people(catalog: Catalog) -> None:
    """A person is put, replaced and deleted; people and items do not touch."""
    catalog.put_person(Person("ada", {"born": 1815, "tags": ["x"]}))
    assert catalog.person("ada") == Person("ada", {"born": 1815, "tags": ["x"]})
    catalog.put_person(Person("ada"))
    assert catalog.person("ada") == Person("ada")
    catalog.put_items([Item("ada")])
    assert catalog.delete_person("ada")
    assert not catalog.delete_person("ada")
    assert catalog.item("ada") == Item("ada")


def test_threads_share_a_catalogue(catalog: Catalog) -> None:
    """Writers queue, and a reader sees each of their calls as a whole."""
    halves: list[int] = []

    def write(writer: int) -> None:
        for number in range(10):
            catalog.put_items(Item(f"{writer}-{number}-{part}") for part in range(50))

    def read() -> None:
        halves.extend(catalog.count_items() % 50 for _ in range(30))

    in_threads(
        [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
        + [threading.Thread(target=read) for _ in range(2)]
    )
    assert catalog.count_items() == 4 * 10 * 50
    assert set(halves) == {0}


@durable(CATALOGS)
def test_two_processes_put_at_once(place: Place, catalog: Catalog) -> None:
    """They wait for each other; nothing is lost."""
    program = """
from nextup.domain.items import Item
catalog = place.catalog()
for number in range(40):
    catalog.put_items([Item(f"{sys.argv[1]}-{number}"), Item("both", title=sys.argv[1])])
catalog.close()
"""
    for process in [place.run(program, name) for name in ("a", "b")]:
        with process:
            process.communicate()
        assert process.returncode == 0
    assert catalog.count_items() == 81


@durable(CATALOGS)
def test_items_survive_a_restart(open_catalog: Opener) -> None:
    """What was put is there for the next process."""
    first = open_catalog()
    first.put_items([FULL])
    first.close()
    assert open_catalog().item("m1") == FULL


def test_closing_twice_does_nothing(catalog: Catalog) -> None:
    """After closing, use is refused with a clear error."""
    catalog.close()
    catalog.close()
    with pytest.raises(BackendUnavailable):
        catalog.item("m1")

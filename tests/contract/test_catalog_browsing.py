"""Leafing through a catalogue and filtering it, for every backend: those that can be leafed
through do it themselves, the others are read as a whole, and nobody sees a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.contract.backends import CATALOGS, Place, places

from nextup.domain.filters import holds
from nextup.domain.items import Item
from nextup.services.filter_language import parse_filter
from nextup.services.items import browse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.catalog import Catalog

ITEMS = [
    Item("1", "film", "Alien", 1979, ("Horror",), ("Scott",), attributes={"minutes": 117}),
    Item("2", "FILM", "ALIENS", 1986, ("Action", "horror"), available=False),
    Item("3", "book", "The alien way", None, (), (), ("space",), attributes={"pages": 300}),
    Item("a/é", "book", "Élan 100%", -20, ("Drama",), attributes={"tags": ["x", "Y"]}),
    Item("5", "game", "élan_x", 2020, ("drama",), attributes={"in": {"stock": True}}),
    Item("6", "game", "", 1986),
]
FILTERS = [
    "",
    'kind = "film"',
    'kind != "FILM"',
    "year >= 1980",
    "not year >= 1980",
    "year = null or year < 0",
    "year in [1979, 1986]",
    "available = false",
    "available != true",
    'title = "ÉLAN 100%"',
    'title ~ "lien" and not title ~ "way"',
    'title > "b"',
    'title ~ "100%"',
    'title ~ "_"',
    'genre = "HORROR" and year < 1980',
    'not (kind = "film" or genre = "drama")',
    "attributes.minutes >= 117",
    'attributes.tags = "y" or attributes.in.stock = true',
    'maker in ["scott"] or keyword = "space"',
    "kind = 3 or year = \"1979\" or available = 'true'",
    'title ~ "\' OR 1=1 --"',
]


@pytest.fixture(params=CATALOGS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.fixture
def catalog(place: Place) -> Catalog:
    found = place.catalog()
    found.put_items(ITEMS)
    return found


def leafed(catalog: Catalog, text: str, where: str, size: int) -> list[str]:
    """Every page, one after the other."""
    seen, after = [], None
    while True:
        page = browse(catalog, text, where=where, after=after, limit=size)
        seen += [item.item_id for item in page.items]
        after = page.next
        if after is None:
            return seen


@pytest.mark.parametrize("where", FILTERS)
def test_a_filter_means_the_same_everywhere(catalog: Catalog, where: str) -> None:
    """The items that come are those that fulfil the condition one by one."""
    condition = parse_filter(where) if where else None
    expected = {one.item_id for one in ITEMS if condition is None or holds(condition, one)}
    assert set(leafed(catalog, "", where, 2)) == expected


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(
    ("text", "ids"), [("alien", ["1", "2", "3"]), ("É", ["a/é", "5"]), ("%", ["a/é"])]
)
def test_pages_go_on_where_they_ended(
    catalog: Catalog, text: str, ids: list[str], size: int
) -> None:
    """Titles that start with the text first, then by title; each item once."""
    assert leafed(catalog, text, "", size) == ids


def test_pages_while_the_catalogue_changes(catalog: Catalog) -> None:
    """What is put or deleted between two pages moves no other item."""
    first = browse(catalog, "", limit=3)
    catalog.put_items([Item("0", title="\x01 the very first"), Item("z", title="zzz")])
    catalog.delete_item(first.items[0].item_id)
    rest = browse(catalog, "", after=first.next, limit=10)
    seen = [item.item_id for item in (*first.items, *rest.items)]
    assert sorted(seen) == sorted([one.item_id for one in ITEMS] + ["z"])
    assert len(seen) == len(set(seen))

"""The filter language, and that all three ways of asking it give the same items."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.sql import open_database
from nextup.domain.errors import InvalidInput
from nextup.domain.filters import All, Any_, AnyOf, Compare, Not, Op, holds
from nextup.domain.items import Item
from nextup.services.filter_language import DEEPEST, parse_filter
from nextup.services.items import browse
from nextup.services.recommending.facets import Facets, Filters
from nextup.services.serving_model import build_item_table

ITEMS = [
    Item("a", "film", "Alien", 1979, ("Horror", "Science Fiction"), attributes={"minutes": 117}),
    Item("b", "film", "Élan", 1990, ("Drama",), available=False, attributes={"tags": ["x", "Y"]}),
    Item("c", "BOOK", "alien worlds", None, (), ("Ann Lee",), attributes={"in": {"print": True}}),
    Item("d/é", "book", "", -20, ("drama",), (), ("old",), attributes={"minutes": "117"}),
    Item("e", "game", "100%_\\'\"", 2020, attributes={"minutes": 117.5, "none": None}),
]
WORDS = ["film", "Film", "Alien", "drama", "x", "é", "", "100%_\\'\"", "') OR 1=1 --", "117"]

values = st.one_of(
    st.sampled_from(WORDS),
    st.integers(-30, 2030),
    st.sampled_from([117.5, 0.0]),
    st.booleans(),
)
fields = st.sampled_from(
    [
        "item_id",
        "kind",
        "title",
        "year",
        "genres",
        "makers",
        "keywords",
        "available",
        "attributes.minutes",
        "attributes.tags",
        "attributes.in.print",
        "attributes.none",
    ]
)
tests = st.one_of(
    st.builds(Compare, fields, st.just(Op.EQUAL), st.one_of(values, st.none())),
    st.builds(
        Compare,
        fields,
        st.sampled_from([Op.LESS, Op.AT_MOST, Op.MORE, Op.AT_LEAST]),
        st.one_of(st.sampled_from(WORDS), st.integers(-30, 2030)),
    ),
    st.builds(Compare, fields, st.just(Op.CONTAINS), st.sampled_from(WORDS)),
    st.builds(AnyOf, fields, st.lists(values, max_size=3).map(tuple)),
)
conditions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Any_, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)


def written(condition) -> str:
    """The condition as a person would write it."""
    match condition:
        case Compare(field, op, value):
            return f"{field} {op.value} {as_text(value)}"
        case AnyOf(field, wanted):
            return f"{field} in [{', '.join(map(as_text, wanted))}]"
        case Not(inner):
            return f"not ({written(inner)})"
        case All(parts):
            return " and ".join(f"({written(part)})" for part in parts)
        case Any_(parts):
            return " or ".join(f"({written(part)})" for part in parts)


def as_text(value) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    bare = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    return bare or ("null" if value is None else repr(value))


@given(conditions)
def test_what_is_written_is_what_is_meant(condition):
    """Parsing a written condition gives it back, whatever its texts hold."""
    assert parse_filter(written(condition)) == condition


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    found = SqlCatalog(open_database("sqlite:///:memory:", tmp_path_factory.mktemp("filters")))
    found.put_items(ITEMS)
    yield found
    found.close()


@settings(deadline=None)
@given(condition=conditions)
def test_items_arrays_and_sql_agree(catalog, condition):
    """One condition lets in the same items one by one, over arrays, and in the catalogue."""
    expected = {item.item_id for item in ITEMS if holds(condition, item)}
    table = build_item_table((), ITEMS)
    mask = Facets(table, ITEMS).mask(condition)
    assert {table.ids[row] for row in np.flatnonzero(mask)} == expected
    page = browse(catalog, where=written(condition), limit=10)
    assert {item.item_id for item in page.items} == expected


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('kind = "film" and year >= 1979', "ab"),
        ("genre in ['horror', \"DRAMA\"]", ["a", "b", "d/é"]),
        ('not kind = "film" or year < 1980', ["a", "c", "d/é", "e"]),
        ('kind != "film" and (year > 2000 or year = null)', "ce"),
        ('title ~ "ALIEN"', "ac"),
        ('title !~ "alien" and available = true', ["d/é", "e"]),
        ("attributes.minutes > 100 and attributes.minutes < 117.2", "a"),
        ('attributes.tags = "y"', "b"),
        ("attributes.in.print = true", "c"),
        ('attributes."in"."print" = true', "c"),
        ("attributes.none = null", "abcde"),
        ('id in ["a", "d/é"]', ["a", "d/é"]),
        ("genre not in []", "abcde"),
        ("KIND == 'GAME' AND NOT year != 2020", "e"),
    ],
)
def test_the_language(text, ids):
    """What the manual says about the language."""
    expected = [item.item_id for item in ITEMS] if ids == "abcde" else list(ids)
    condition = parse_filter(text)
    assert [item.item_id for item in ITEMS if holds(condition, item)] == expected


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        ("year >> 3", 7, "expected a value"),
        ("yeer = 3", 1, "no field 'yeer'"),
        ('kind = "film', 8, "without its end"),
        ("kind = film", 8, "expected a value"),
        ("year = 3 year = 4", 10, "expected `and`, `or` or the end"),
        ("(year = 3", 10, "expected `)`"),
        ("year in [1, 2", 14, "expected `,`"),
        ("year = 3; drop table items", 9, "';' is not understood"),
        ("attributes = 3", 12, "a dot"),
        ("title ~ 3", 9, "a text after ~"),
        ("year > true", 8, "a number or a text"),
        ("year = 1e999", 8, "too large"),
        ("   ", 4, "expected a field"),
        ("and and and", 1, "expected a field"),
    ],
)
def test_errors_say_where(text, position, what):
    """The first thing that is wrong is named, with its position from 1."""
    with pytest.raises(InvalidInput) as error:
        parse_filter(text)
    assert f"at position {position}:" in error.value.message
    assert what in error.value.message


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_an_error(text):
    """Nothing but InvalidInput comes of a text that is no filter."""
    with suppress(InvalidInput):
        parse_filter(text)


def test_depth_is_bounded():
    """A filter cannot exhaust the parser."""
    parse_filter("(" * (DEEPEST - 1) + "year = 1" + ")" * (DEEPEST - 1))
    for opening in ("(", "not "):
        with pytest.raises(InvalidInput, match="levels"):
            parse_filter(opening * 400 + "year = 1")


def test_masks_follow_the_catalogue(catalog):
    """A mask is made anew when the items were read anew."""
    filters = Filters(catalog)
    first = build_item_table((), ITEMS)
    assert filters.mask(first, "") is None
    assert filters.mask(first, "year = 1979").sum() == 1
    assert filters.mask(first, "year = 1979") is filters.mask(first, "year = 1979")
    smaller = build_item_table((), ITEMS[1:])
    assert filters.mask(smaller, "year = 1979").sum() == 0


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_of_a_search(catalog, size):
    """Pages go on where they ended: all items once, titles that start with the text first."""
    seen, after = [], None
    while True:
        page = browse(catalog, "a", after=after, limit=size)
        seen += [item.item_id for item in page.items]
        after = page.next
        if after is None:
            break
    assert seen == ["a", "c", "b"]


def test_pages_without_browsing(catalog):
    """A catalogue that cannot be leafed through is read as a whole, with the same answers."""

    class Plain:
        all_items = catalog.all_items

    for text, where in [("", ""), ("a", 'kind = "film"'), ("e", "year != 1979")]:
        expected = browse(catalog, text, where=where, limit=2)
        assert browse(Plain(), text, where=where, limit=2) == expected
        if expected.next:
            rest = browse(catalog, text, where=where, after=expected.next, limit=2)
            assert browse(Plain(), text, where=where, after=expected.next, limit=2) == rest

"""The YAML schemas and the names in the code say the same."""

from __future__ import annotations

import pytest

from nextup.domain.errors import ConfigurationError
from nextup.domain.events import EventType
from nextup.domain.tables import COLUMNS, TYPE, Table
from nextup.schemas.table_schemas import parse_tables, table_schema, table_schemas

MINIMAL = {"description": "x", "key": ["a"], "columns": {"a": {"type": "long", "description": "x"}}}


def test_every_table_is_described_once() -> None:
    """The files describe exactly the tables of the code."""
    assert set(table_schemas()) == set(Table)


@pytest.mark.parametrize("table", list(Table))
def test_columns_are_equal(table: Table) -> None:
    """Each table's columns are those of `domain.tables`, in the same order."""
    assert table_schema(table).names == COLUMNS[table]


@pytest.mark.parametrize("table", list(Table))
def test_references_lead_somewhere(table: Table) -> None:
    """A referenced column exists, and is its table's key."""
    for column in table_schema(table).columns:
        if column.references is not None:
            other, name = column.references
            assert table_schema(other).key == (name,)


def test_types_are_the_event_types() -> None:
    """Silver allows exactly the types that there are."""
    (column,) = (c for c in table_schema(Table.INTERACTIONS).columns if c.name == TYPE)
    assert set(column.one_of) == {kind.value for kind in EventType}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "unknown key colour"),
        ({"key": ["b"]}, "no column b"),
        ({"columns": {"a": {"type": "number", "description": "x"}}}, "number"),
        ({"columns": {"a": {"type": "long", "description": "x", "mim": 1}}}, "unknown key mim"),
        ({"freshness": {"column": "b", "within_hours": 1}}, "no column b"),
    ],
)
def test_a_slip_in_a_file_is_named(change: dict[str, object], said: str) -> None:
    """A misspelt key, type or column is an error that names file and table."""
    with pytest.raises(ConfigurationError, match=rf"gold\.yml, trending.*{said}"):
        parse_tables({"trending": {**MINIMAL, **change}}, "gold", "gold.yml")


def test_an_unknown_table_is_an_error() -> None:
    """A file cannot describe a table that the code does not know."""
    with pytest.raises(ConfigurationError, match=r"bronze\.nothing"):
        parse_tables({"nothing": MINIMAL}, "bronze", "bronze.yml")

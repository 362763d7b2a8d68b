"""Statements of many rows in SQL, on the driver's own connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Column, MetaData, Table, Text, select

from nextup.adapters.sql import Database, Id, Number, open_database
from nextup.adapters.sql_hot import ROWS, FindRows, PutRows
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = Table(
    "things",
    MetaData(),
    Column("key", Id, primary_key=True),
    Column("number", Number, nullable=False),
    Column("note", Text),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """One with the table."""
    opened = open_database("sqlite:///file.db", tmp_path)
    with opened.begin() as connection:
        TABLE.create(connection)
    yield opened
    opened.close()


@pytest.mark.parametrize("many", [0, 1, ROWS, ROWS + 1, 3 * ROWS - 1])
def test_any_number_of_rows(database: Database, many: int) -> None:
    """All are written, once, and found by their keys, whatever the number."""
    put = PutRows(database, database.insert(TABLE).on_conflict_do_nothing())
    find = FindRows(database, select(TABLE), TABLE.c.key)
    rows = [(f"k{n}", n, None) for n in range(many)]
    with database.writing() as connection:
        assert put.run(connection, rows) == many
        assert put.run(connection, rows) == 0
    with database.driver() as connection:
        found = list(find.run(connection, [*(row[0] for row in rows), "absent"]))
    assert sorted(found) == sorted(rows)


def test_one_bad_row_undoes_all(database: Database) -> None:
    """Also what an earlier statement of the transaction wrote; the next one is as if nothing had
    been."""
    put = PutRows(database, database.insert(TABLE).on_conflict_do_nothing())
    rows = [(f"k{n}", n, None) for n in range(ROWS)]
    with pytest.raises(InvalidInput), database.writing() as connection:
        put.run(connection, [*rows, ("bad", [], None)])
    with database.writing() as connection:
        assert put.run(connection, rows) == ROWS

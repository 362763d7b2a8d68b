"""One SQL database's tables into another's, whatever both are: PostgreSQL or SQLite.

Tables are compared range by range, by their keys, and what differs is written, in a transaction
for each range. So a copy that was broken off goes on where it was; one that is repeated writes
what has changed since; and what was written is read again to be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, func, literal, select, tuple_

from nextup.domain.errors import CorruptData
from nextup.ports.backup import CopiedTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Table

    from nextup.adapters.sql import Database

    Report = Callable[[str, int, int], None]

ROWS: Final = 2_000  # of a range


def copy_tables(
    source: Database, target: Database, tables: Sequence[Table], report: Report | None = None
) -> list[CopiedTable]:
    """Make the target hold what the source holds at one moment. The tables must be there, and
    those that others refer to come first.

    Raises CorruptData where they are not equal afterwards: somebody else writes to the target.
    """
    removed: dict[str, int] = {}
    copied = []
    with source.connect() as reading:
        for table in reversed(tables):  # what refers to others goes first, and comes last
            removed[table.name] = sum(
                _remove(target, table, one.gone) for one in _ranges(reading, target, table)
            )
        for table in tables:
            written = rows = 0
            total = _count(reading, table)
            for one in _ranges(reading, target, table):
                written += _put(target, table, one.missing)
                rows += one.rows
                if report is not None:
                    report(table.name, rows, total)
            copied.append(CopiedTable(table.name, rows, written, removed[table.name]))
        for table in tables:
            _require_equal(reading, target, table)
    return copied


@dataclass(frozen=True, slots=True)
class _Range:
    """What differs between two keys."""

    rows: int  # of the source
    gone: Sequence[tuple[Any, ...]]  # keys
    missing: Sequence[tuple[Any, ...]]  # whole rows, or others than the target's


def _ranges(reading: Connection, target: Database, table: Table) -> Iterator[_Range]:
    """From the lowest key on; the last range has no end."""
    width = len(table.primary_key.columns)
    places = [list(table.c).index(column) for column in table.primary_key.columns]

    def keyed(rows: Sequence[Any]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        return {tuple(row[at] for at in places): tuple(row) for row in rows}

    assert width, f"{table.name} has no key"
    after: tuple[Any, ...] | None = None
    while True:
        here = keyed(reading.execute(_between(table, after, None).limit(ROWS)).all())
        last = next(reversed(here)) if len(here) == ROWS else None
        with target.connect() as connection:
            there = keyed(connection.execute(_between(table, after, last)).all())
        gone = [key for key in there if key not in here]
        missing = [row for key, row in here.items() if there.get(key) != row]
        yield _Range(len(here), gone, missing)
        if last is None:
            return
        after = last


def _between(table: Table, after: tuple[Any, ...] | None, last: tuple[Any, ...] | None) -> Any:
    key = list(table.primary_key.columns)
    conditions = []
    if after is not None:
        conditions.append(tuple_(*key) > tuple_(*_literals(table, after)))
    if last is not None:
        conditions.append(tuple_(*key) <= tuple_(*_literals(table, last)))
    return select(table).where(and_(True, *conditions)).order_by(*key)


def _literals(table: Table, values: tuple[Any, ...]) -> list[Any]:
    columns = table.primary_key.columns
    return [literal(value, column.type) for value, column in zip(values, columns, strict=True)]


def _remove(target: Database, table: Table, keys: Sequence[tuple[Any, ...]]) -> int:
    if not keys:
        return 0
    columns = list(table.primary_key.columns)
    with target.begin() as connection:
        for key in keys:
            same = (column == value for column, value in zip(columns, key, strict=True))
            connection.execute(delete(table).where(*same))
    return len(keys)


def _put(target: Database, table: Table, rows: Sequence[tuple[Any, ...]]) -> int:
    if not rows:
        return 0
    names = [column.name for column in table.columns]
    key = [column.name for column in table.primary_key.columns]
    insert = target.insert(table)
    others = {name: insert.excluded[name] for name in names if name not in key}
    put = (
        insert.on_conflict_do_update(index_elements=key, set_=others)
        if others
        else insert.on_conflict_do_nothing()
    )
    with target.begin() as connection:
        connection.execute(put, [dict(zip(names, row, strict=True)) for row in rows])
    return len(rows)


def _require_equal(reading: Connection, target: Database, table: Table) -> None:
    for one in _ranges(reading, target, table):
        if different := next(chain(one.gone, one.missing), None):
            raise CorruptData(
                f"{table.name} in {target.url} is not what was written: {different[0]!r} differs.",
                cure="Stop whatever writes to it, and migrate again.",
            )


def _count(connection: Connection, table: Table) -> int:
    found: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return found

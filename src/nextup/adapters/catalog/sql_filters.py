"""Conditions on items as SQL, as far as SQL can decide them.

What it cannot decide (texts without case in lists, attributes) counts as true, so that the rows
that come are all that fulfil the condition, and perhaps more. Values are always parameters.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, false, func, not_, or_, true

from nextup.domain import tables as t
from nextup.domain.filters import All, Any_, AnyOf, Compare, Not, Op, folded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextup.domain.filters import Filter, Value

    Kinds = Callable[[], Sequence[str]]
    """All kinds that there are."""

_OPERATORS: Final[Mapping[Op, Callable[[Any, Any], Any]]] = {
    Op.EQUAL: operator.eq,
    Op.LESS: operator.lt,
    Op.AT_MOST: operator.le,
    Op.MORE: operator.gt,
    Op.AT_LEAST: operator.ge,
}


class Clause(NamedTuple):
    """A condition in SQL."""

    sql: ColumnElement[bool]  # never NULL
    exact: bool  # otherwise it lets in more than the condition


class FilterColumns(NamedTuple):
    """Where the fields are."""

    kind: ColumnElement[Any]
    title_folded: ColumnElement[Any]
    year: ColumnElement[Any]
    available: ColumnElement[Any]
    kinds: Kinds


ANYTHING: Final = Clause(true(), exact=False)


def clause(condition: Filter, columns: FilterColumns) -> Clause:
    """The condition, or something that lets in more."""
    match condition:
        case Compare(field, op, value):
            return _comparison(field, op, value, columns)
        case AnyOf(field, values):
            parts = [_comparison(field, Op.EQUAL, value, columns) for value in values]
            return _joined(or_(false(), *(part.sql for part in parts)), parts)
        case Not(inner):
            found = clause(inner, columns)
            return Clause(not_(found.sql), exact=True) if found.exact else ANYTHING
        case All(inner):
            parts = [clause(part, columns) for part in inner]
            return _joined(and_(true(), *(part.sql for part in parts)), parts)
        case Any_(inner):
            parts = [clause(part, columns) for part in inner]
            return _joined(or_(false(), *(part.sql for part in parts)), parts)


def _joined(sql: ColumnElement[bool], parts: Sequence[Clause]) -> Clause:
    return Clause(sql, exact=all(part.exact for part in parts))


def _comparison(field: str, op: Op, value: Value, columns: FilterColumns) -> Clause:
    if field == t.YEAR:
        return Clause(_number(columns.year, op, value), exact=True)
    if field == t.AVAILABLE:
        return Clause(_truth(columns.available, op, value), exact=True)
    if field == t.TITLE:
        return Clause(_title(columns.title_folded, op, value), exact=True)
    if field == t.KIND and isinstance(value, str) and op is Op.EQUAL:
        wanted = [kind for kind in columns.kinds() if folded(kind) == folded(value)]
        return Clause(columns.kind.in_(wanted), exact=True)
    return ANYTHING


def _number(column: ColumnElement[Any], op: Op, value: Value) -> ColumnElement[bool]:
    if value is None:
        return column.is_(None)
    if isinstance(value, bool | str):
        return false()
    return func.coalesce(_OPERATORS[op](column, value), false())


def _truth(column: ColumnElement[Any], op: Op, value: Value) -> ColumnElement[bool]:
    if not isinstance(value, bool) or op is not Op.EQUAL:
        return false()
    return column.is_(value)


def _title(column: ColumnElement[Any], op: Op, value: Value) -> ColumnElement[bool]:
    if not isinstance(value, str) or "\0" in value:
        return false()
    if op is Op.CONTAINS:
        return column.contains(folded(value), autoescape=True)
    found: ColumnElement[bool] = _OPERATORS[op](column, folded(value))
    return found

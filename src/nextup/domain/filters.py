"""Conditions on items: what a filter says once it is parsed, and what it means.

An item's field has any number of values: `year` none or one, `genres` many, `attributes.x`
whatever the owner keeps there. A comparison holds when it holds for one of them. Texts are
compared without case; a text never equals a number, nor a truth value either.
"""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from nextup.domain import tables as t
from nextup.domain.items import Item

Value = str | int | float | bool | None

ATTRIBUTES: Final = "attributes"
LARGEST: Final = 2**53  # up to here every integer is a floating point number, too
FIELDS: Final = (
    t.ITEM_ID,
    t.KIND,
    t.TITLE,
    t.YEAR,
    t.GENRES,
    t.MAKERS,
    t.KEYWORDS,
    t.AVAILABLE,
)


class Op(StrEnum):
    """How a field is compared."""

    EQUAL = "="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    CONTAINS = "~"  # a text within a text


ORDERS: Final[Mapping[Op, Callable[[Any, Any], bool]]] = {
    Op.LESS: operator.lt,
    Op.AT_MOST: operator.le,
    Op.MORE: operator.gt,
    Op.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Compare:
    """One of the field's values compares so with the value; `= null`: it has none."""

    field: str  # one of FIELDS, or `attributes.` and a path
    op: Op
    value: Value


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the field's values is one of these."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: Filter


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Any_:  # noqa: N801 (`Any` is taken)
    """At least one part holds."""

    parts: tuple[Filter, ...]


Filter = Compare | AnyOf | Not | All | Any_


def holds(condition: Filter, item: Item) -> bool:
    """Whether the item fulfils the condition."""
    match condition:
        case Compare(field, op, value):
            return _compares(list(values_of(item, field)), op, value)
        case AnyOf(field, values):
            found = list(values_of(item, field))
            return any(_compares(found, Op.EQUAL, value) for value in values)
        case Not(inner):
            return not holds(inner, item)
        case All(parts):
            return all(holds(part, item) for part in parts)
        case Any_(parts):
            return any(holds(part, item) for part in parts)


def values_of(item: Item, field: str) -> Iterator[Value]:
    """The item's values of the field; none for one that it lacks."""
    if field.startswith(f"{ATTRIBUTES}."):
        found: Any = item.attributes
        for name in field.split(".")[1:]:
            found = found.get(name) if isinstance(found, Mapping) else None
        yield from plain_values(found)
    else:
        yield from plain_values(getattr(item, field))


def plain_values(found: object) -> Iterator[Value]:
    """What can be compared in a value: itself, or the plain members of a list."""
    for one in found if isinstance(found, list | tuple) else (found,):
        if isinstance(one, bool | str | float) or (isinstance(one, int) and abs(one) < LARGEST):
            yield one


def folded(text: str) -> str:
    """The same for texts that differ only in case or in how Unicode writes them."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _compares(found: list[Value], op: Op, value: Value) -> bool:
    if value is None:
        return not found
    return any(_compare(one, op, value) for one in found)


def _compare(one: Value, op: Op, value: Value) -> bool:
    if isinstance(value, bool) or isinstance(one, bool):
        return op is Op.EQUAL and one is value
    if isinstance(value, str):
        if not isinstance(one, str):
            return False
        return _compare_texts(folded(one), op, folded(value))
    if isinstance(one, str) or one is None or value is None:
        return False
    if op is Op.EQUAL:
        return one == value
    return op in ORDERS and ORDERS[op](one, value)


def _compare_texts(one: str, op: Op, value: str) -> bool:
    if op is Op.EQUAL:
        return one == value
    if op is Op.CONTAINS:
        return value in one
    return ORDERS[op](one, value)

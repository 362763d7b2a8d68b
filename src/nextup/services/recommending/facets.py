"""Filters over the whole catalogue at once: the items' fields as columns, and conditions as masks.

The columns are made when the first filter is asked for, and again when the catalogue was read
anew; a mask is remembered, because the same shelf asks the same again and again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nextup.domain.filters import (
    ATTRIBUTES,
    FIELDS,
    ORDERS,
    All,
    Any_,
    AnyOf,
    Compare,
    Not,
    Op,
    folded,
    plain_values,
)
from nextup.services.filter_language import parse_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from nextup.domain.filters import Filter, Value
    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog
    from nextup.services.serving_model import ItemTable

    Mask = NDArray[np.bool_]  # (n_items,)

REMEMBERED = 128  # masks: a byte per item each


class Column:
    """One field of all items."""

    def __init__(self) -> None:
        self._rows_of_text: dict[str, list[int]] = defaultdict(list)
        self._rows_of_truth: dict[bool, list[int]] = {True: [], False: []}
        self._rows_of_numbers: list[int] = []
        self._numbers: list[float] = []
        self._present: list[int] = []

    def add(self, row: int, values: Iterable[Value]) -> None:
        """The item's values."""
        present = False
        for value in values:
            present = True
            if isinstance(value, bool):
                self._rows_of_truth[value].append(row)
            elif isinstance(value, str):
                self._rows_of_text[folded(value)].append(row)
            elif value is not None:
                self._rows_of_numbers.append(row)
                self._numbers.append(value)
        if present:
            self._present.append(row)

    def freeze(self) -> None:
        """All items are in."""
        self._number_array = np.array(self._numbers, np.float64)
        self._number_rows = np.array(self._rows_of_numbers, np.int32)
        self._numbers, self._rows_of_numbers = [], []

    def mask(self, op: Op, value: Value, n_items: int) -> Mask:
        """Which items have such a value."""
        if value is None:
            return ~_mask(self._present, n_items)
        if isinstance(value, bool):
            return _mask(self._rows_of_truth[value], n_items)
        if isinstance(value, str):
            return _mask(self._rows_with_text(op, folded(value)), n_items)
        if op is Op.EQUAL:
            return _mask(self._number_rows[self._number_array == value], n_items)
        return _mask(self._number_rows[ORDERS[op](self._number_array, value)], n_items)

    def _rows_with_text(self, op: Op, wanted: str) -> list[int]:
        known = self._rows_of_text
        if op is Op.EQUAL:
            return known.get(wanted, [])
        if op is Op.CONTAINS:
            return [row for text, rows in known.items() if wanted in text for row in rows]
        compare = ORDERS[op]
        return [row for text, rows in known.items() if compare(text, wanted) for row in rows]


class Facets:
    """The columns of one item table."""

    def __init__(self, table: ItemTable, items: Iterable[Item]) -> None:
        self.table = table
        columns: dict[str, Column] = defaultdict(Column)
        for item in items:
            row = table.index.get(item.item_id)
            if row is not None:
                for field in FIELDS:
                    columns[field].add(row, plain_values(getattr(item, field)))
                for path, found in _paths(ATTRIBUTES, item.attributes):
                    columns[path].add(row, plain_values(found))
        for column in columns.values():
            column.freeze()
        self._columns = dict(columns)

    def mask(self, condition: Filter) -> Mask:
        """Which items fulfil the condition."""
        match condition:
            case Compare(field, op, value):
                return self._compared(field, op, value)
            case AnyOf(field, values):
                found = [self._compared(field, Op.EQUAL, value) for value in values]
                return _any([self._nothing(), *found])
            case Not(inner):
                return ~self.mask(inner)
            case All(parts):
                return ~_any([~self.mask(part) for part in parts])
            case Any_(parts):
                return _any([self.mask(part) for part in parts])

    def _compared(self, field: str, op: Op, value: Value) -> Mask:
        column = self._columns.get(field)
        if column is None:
            return ~self._nothing() if value is None else self._nothing()
        return column.mask(op, value, len(self.table))

    def _nothing(self) -> Mask:
        return np.zeros(len(self.table), np.bool_)


class Filters:
    """Filters by their text. Safe to share between threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._reading = threading.Lock()
        self._facets: Facets | None = None
        self._masks: OrderedDict[str, Mask] = OrderedDict()  # of the facets' table

    def mask(self, table: ItemTable, text: str) -> Mask | None:
        """Which items of the table fulfil the filter; not to be written to. None for no filter.
        Raises InvalidInput for a text that is none, BackendUnavailable when the catalogue cannot
        be read."""
        if not text.strip():
            return None
        condition = parse_filter(text)
        with self._reading:
            if self._facets is None or self._facets.table is not table:
                self._facets = Facets(table, self._catalog.all_items())
                self._masks.clear()
            found = self._masks.get(text)
            if found is None:
                found = self._facets.mask(condition)
                self._masks[text] = found
                if len(self._masks) > REMEMBERED:
                    self._masks.popitem(last=False)
            self._masks.move_to_end(text)
            return found


def _paths(prefix: str, found: Any) -> Iterator[tuple[str, Any]]:
    """Every attribute with its path; a name that holds a dot cannot be asked for."""
    for name, value in found.items():
        if "." in name:
            continue
        if isinstance(value, Mapping):
            yield from _paths(f"{prefix}.{name}", value)
        else:
            yield f"{prefix}.{name}", value


def _any(masks: list[Mask]) -> Mask:
    found: Mask = np.logical_or.reduce(masks)
    return found


def _mask(rows: list[int] | NDArray[np.int32], n_items: int) -> Mask:
    mask = np.zeros(n_items, np.bool_)
    mask[np.asarray(rows, np.int32)] = True
    return mask

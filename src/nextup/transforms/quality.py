"""The rules of a table's schema, held against a frame.

Rules about single rows (`column.not_null`, `column.range`, `column.one_of`) can tell good rows
from bad ones; rules about the whole (`key.unique`, `column.references`, `volume`, `freshness`)
are only counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from nextup.schemas.table_schemas import ColumnType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextup.schemas.table_schemas import Column, TableSchema

ROWS: Final = "rows"  # how many rows `figures` saw
_FAILING: Final = "failing"
_NEWEST: Final = "newest"
_FLOATS: Final = (ColumnType.FLOAT, ColumnType.DOUBLE)


@dataclass(frozen=True, slots=True)
class RuleResult:
    """How one rule came out."""

    rule: str
    failing: int  # rows; of `volume`, how many are missing; of `freshness`, 1 if it is broken
    allowed: int  # how many may fail

    @property
    def passed(self) -> bool:
        """Whether no more rows fail than may."""
        return self.failing <= self.allowed


def row_rules(schema: TableSchema) -> dict[str, nw.Expr]:
    """For each rule about single rows an expression that is true where the row is good."""
    rules: dict[str, nw.Expr] = {}
    for column in schema.columns:
        if not column.nullable:
            rules[f"{column.name}.not_null"] = ~nw.col(column.name).is_null()
        if column.min is not None or column.max is not None:
            rules[f"{column.name}.range"] = _in_range(column)
        if column.one_of:
            allowed = nw.col(column.name).is_in(list(column.one_of))
            rules[f"{column.name}.one_of"] = nw.col(column.name).is_null() | allowed
    return rules


def good(frame: nw.LazyFrame[Any], schema: TableSchema) -> nw.LazyFrame[Any]:
    """The rows that break no rule; one that `tolerate` names breaks nothing."""
    return frame.filter(_all_good(schema))


def bad(frame: nw.LazyFrame[Any], schema: TableSchema, column: str) -> nw.LazyFrame[Any]:
    """The other rows, with the first rule that each breaks in `column`."""
    name = nw.lit(None, nw.String)
    for rule, holds in reversed(list(_strict_rules(schema).items())):
        name = nw.when(~holds).then(nw.lit(rule)).otherwise(name)
    return frame.with_columns(name.alias(column)).filter(~nw.col(column).is_null())


def figures(frame: nw.LazyFrame[Any], schema: TableSchema) -> nw.LazyFrame[Any]:
    """One row: how many rows there are, how many break each rule, and the newest time."""
    counts = [
        nw.when(~holds).then(nw.lit(1)).otherwise(nw.lit(0)).sum().alias(rule)
        for rule, holds in row_rules(schema).items()
    ]
    newest = (
        [] if schema.freshness is None else [nw.col(schema.freshness.column).max().alias(_NEWEST)]
    )
    return frame.select(nw.len().alias(ROWS), *counts, *newest)


def repeated_keys(frame: nw.LazyFrame[Any], schema: TableSchema) -> nw.LazyFrame[Any]:
    """One row: how many rows have the key of another one before them."""
    keys = frame.group_by(*schema.key).agg(nw.len().alias(ROWS))
    return keys.select((nw.col(ROWS) - 1).sum().alias(_FAILING))


def dangling(
    frame: nw.LazyFrame[Any], column: str, others: nw.LazyFrame[Any], other: str
) -> nw.LazyFrame[Any]:
    """One row: how many rows refer to something that is not in `others`."""
    known = others.select(nw.col(other).alias(column))
    absent = frame.filter(~nw.col(column).is_null()).join(known, on=column, how="anti")
    return absent.select(nw.len().alias(_FAILING))


def results(
    schema: TableSchema,
    found: Mapping[str, Any],
    *,
    repeated: int | None = None,
    references: Mapping[str, int] | None = None,
    age_seconds: float | None = None,
) -> list[RuleResult]:
    """Every rule's outcome, from the row that `figures` made and the counts of the others."""
    rows = int(found[ROWS])
    failing = {rule: int(found[rule] or 0) for rule in row_rules(schema)}
    if repeated is not None:
        failing["key.unique"] = repeated
    for column, count in (references or {}).items():
        failing[f"{column}.references"] = count
    if schema.min_rows:
        failing["volume"] = max(schema.min_rows - rows, 0)
    if schema.freshness is not None and age_seconds is not None:
        failing["freshness"] = int(age_seconds > schema.freshness.within.total_seconds())
    return [
        RuleResult(rule, count, int(schema.tolerate.get(rule, 0.0) * rows))
        for rule, count in failing.items()
    ]


def newest(found: Mapping[str, Any]) -> int | None:
    """The newest time of `figures`, in microseconds; None without rows or without a rule."""
    value = found.get(_NEWEST)
    return None if value is None else int(value)


def _strict_rules(schema: TableSchema) -> dict[str, nw.Expr]:
    return {rule: e for rule, e in row_rules(schema).items() if rule not in schema.tolerate}


def _all_good(schema: TableSchema) -> nw.Expr:
    return nw.all_horizontal(*_strict_rules(schema).values(), ignore_nulls=False)


def _in_range(column: Column) -> nw.Expr:
    value = nw.col(column.name)
    inside = nw.lit(value=True)
    if column.min is not None:
        inside = inside & (value >= column.min)
    if column.max is not None:
        inside = inside & (value <= column.max)
    if column.type in _FLOATS:
        inside = inside & ~value.is_nan()
    return value.is_null() | inside

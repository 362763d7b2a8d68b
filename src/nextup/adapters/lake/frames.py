"""Polars frames held against the tables' schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from nextup.domain.errors import InvalidInput
from nextup.schemas.table_schemas import ColumnType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextup.schemas.table_schemas import TableSchema

TYPES: Final[Mapping[ColumnType, pl.DataType]] = {
    ColumnType.STRING: pl.String(),
    ColumnType.INTEGER: pl.Int32(),
    ColumnType.LONG: pl.Int64(),
    ColumnType.FLOAT: pl.Float32(),
    ColumnType.DOUBLE: pl.Float64(),
    ColumnType.BOOLEAN: pl.Boolean(),
    ColumnType.DATE: pl.Date(),
    ColumnType.TIMESTAMP: pl.Datetime("us", "UTC"),
    ColumnType.STRINGS: pl.List(pl.String()),
    ColumnType.FLOATS: pl.List(pl.Float32()),
}


def polars_schema(schema: TableSchema) -> pl.Schema:
    """The table's columns and types as Polars names them."""
    return pl.Schema({column.name: TYPES[column.type] for column in schema.columns})


def conformed(frame: pl.LazyFrame, schema: TableSchema) -> pl.LazyFrame:
    """The frame with the table's columns in their order.

    Raises InvalidInput where a column is missing, too many, or of another type; a column of
    nothing but nulls has any type.
    """
    wanted, given = polars_schema(schema), frame.collect_schema()
    if missing := [name for name in wanted if name not in given]:
        raise InvalidInput(f"{schema.table}: no column {', '.join(missing)}.")
    if extra := [name for name in given if name not in wanted]:
        raise InvalidInput(f"{schema.table} has no column {', '.join(extra)}.")
    for name, dtype in wanted.items():
        if given[name] not in {dtype, pl.Null()}:
            raise InvalidInput(f"{schema.table}: {name} must be {dtype}, not {given[name]}.")
    return frame.select(pl.col(name).cast(dtype) for name, dtype in wanted.items())


def require_values(batch: pl.DataFrame, schema: TableSchema) -> None:
    """Raise InvalidInput where a column that always has a value is null."""
    for column in schema.columns:
        if not column.nullable and batch[column.name].null_count():
            raise InvalidInput(f"{schema.table}: {column.name} may not be empty.")


def readable(frame: pl.LazyFrame, schema: TableSchema) -> pl.LazyFrame:
    """What is stored, seen through today's schema: columns added since then are null."""
    stored = frame.collect_schema()
    return frame.select(
        pl.col(name) if name in stored else pl.lit(None, dtype).alias(name)
        for name, dtype in polars_schema(schema).items()
    )

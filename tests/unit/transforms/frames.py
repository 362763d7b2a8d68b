"""Frames for the tests of transformations, from rows with only what a test is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from nextup.adapters.lake.frames import polars_schema
from nextup.schemas.table_schemas import table_schema

if TYPE_CHECKING:
    from nextup.domain.tables import Table

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def frame(table: Table, *rows: dict[str, Any], **same: Any) -> nw.LazyFrame[Any]:
    """Rows of the table; what no row says is null."""
    schema = polars_schema(table_schema(table))
    full = [{name: {**same, **row}.get(name) for name in schema} for row in rows]
    return nw.from_native(pl.DataFrame(full, schema).lazy())


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def rows(result: nw.LazyFrame[Any], *columns: str) -> list[tuple[Any, ...]]:
    """Sorted rows of some columns."""
    native = result.select(*columns).collect().to_native()
    return sorted(native.rows(), key=repr)

"""Rows for the suites of the lake, and what a lake holds in short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from nextup.adapters.lake.frames import polars_schema
from nextup.domain.tables import OFFSET, Table
from nextup.schemas.table_schemas import table_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.ports.lake import Lake

DAY = datetime(2024, 5, 1, tzinfo=UTC)


def events(*offsets: int, partition: str = "0") -> pl.DataFrame:
    rows = []
    for offset in offsets:
        at = DAY + timedelta(hours=offset)
        row: Sequence[Any] = (
            partition, offset, at, f"{partition}-e{offset}", "rating", "ada", "i1", at, 4.5,
            None, None, '{"a": 1}', at.date(),
        )  # fmt: skip
        rows.append(row)
    return pl.DataFrame(rows, polars_schema(table_schema(Table.EVENTS)), orient="row")


def places(*items: str, score: float = 1.0) -> pl.DataFrame:
    rows = [("7d", rank, item, score, 1) for rank, item in enumerate(items, 1)]
    return pl.DataFrame(rows, polars_schema(table_schema(Table.TRENDING)), orient="row")


def offsets(lake: Lake, as_of: int | datetime | None = None) -> list[int]:
    return sorted(lake.scan(Table.EVENTS, as_of).collect()[OFFSET].to_list())


def items(lake: Lake, as_of: int | datetime | None = None) -> list[str]:
    return lake.scan(Table.TRENDING, as_of).sort("rank").collect()["item_id"].to_list()

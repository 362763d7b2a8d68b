"""The pipeline's tables on two lakes, held against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polars.testing import assert_frame_equal
from tests.conftest import DAY

from nextup.domain.tables import Table
from nextup.entrypoints.cli.context import context_of
from nextup.schemas.table_schemas import table_schema
from nextup.services.pipeline import run_pipeline

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from nextup.bootstrap import Platform
    from nextup.ports.lake import Lake


def tables(platform: Platform, day: date = DAY) -> None:
    run_pipeline(context_of(platform, day), platform.control, last="features")


def rows(lake: Lake, table: Table) -> pl.DataFrame:
    return lake.scan(table).collect().sort(table_schema(table).key)


def same_tables(first: Lake, second: Lake) -> dict[Table, int]:
    """Every table's rows, which must be equal to the last digit; returns how many there are."""
    found = {}
    for table in Table:
        one, other = rows(first, table), rows(second, table)
        assert_frame_equal(one, other, check_exact=True)
        found[table] = one.height
    return found

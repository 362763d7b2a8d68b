"""`nextup lake status|maintain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.ports.lake import TableStatus

app = typer.Typer(no_args_is_help=True, help="The tables.")


@app.command()
def status(home: Home = HERE, as_json: Json = False) -> None:
    """Every table with its version, rows, files and size."""
    with platform_at(home) as platform:
        tables = platform.lake.status()
    _show(tables, as_json=as_json)


@app.command()
def maintain(
    keep_days: Annotated[
        float | None,
        typer.Option(min=0, help="Versions younger than this stay; default: the setting."),
    ] = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Compact small files and remove old versions."""
    from datetime import timedelta

    with platform_at(home) as platform:
        days = platform.settings.lake.keep_days if keep_days is None else keep_days
        with platform.control.lock("pipeline"):
            tables = platform.lake.maintain(keep=timedelta(days=days))
    _show(tables, as_json=as_json)


def _show(tables: Sequence[TableStatus], *, as_json: bool) -> None:
    rows = [
        (
            table.table.value,
            table.version,
            table.rows,
            table.files,
            table.bytes,
            f"{table.changed_at:%Y-%m-%d %H:%M:%S}",
        )
        for table in tables
    ]
    columns = ("table", "version", "rows", "files", "bytes", "changed")
    title = "Lake" if rows else "The lake is empty; `nextup pipeline run` fills it."
    Output(as_json=as_json).table(title, columns, rows, tables)

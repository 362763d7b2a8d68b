"""`nextup db upgrade|current`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from nextup.bootstrap import Platform

AS_USED = "made when absent"  # tables that have no revisions

if TYPE_CHECKING:
    from nextup.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The tables of SQL databases, version by version.")


@app.command()
def upgrade(home: Home = HERE, as_json: Json = False) -> None:
    """Migrate the tables to this version of Nextup, or make them, in Cassandra, too; repeating
    changes nothing."""
    _show("before", home, Output(as_json=as_json), upgrading=True)


@app.command()
def current(home: Home = HERE, as_json: Json = False) -> None:
    """The revision of each port's tables and the one that this version of Nextup needs; exit
    with 1 where they differ."""
    if _show("is", home, Output(as_json=as_json), upgrading=False):
        raise typer.Exit(1)


def _none(settings: Settings) -> tuple[()]:
    """The tables of a recipe that has none of its own."""
    return ()


def _show(heading: str, home: str, out: Output, *, upgrading: bool) -> bool:
    """Whether some tables were of another revision than is needed."""
    from itertools import chain

    from nextup.bootstrap import sql_schemas
    from nextup.recipes.folders import module_of

    with platform_at(home) as platform:
        settings = platform.settings
        tables = module_of(settings.recipe, "tables")
        more = getattr(tables, "schemas", _none)(settings)
        parts = [
            {
                "part": schema.part,
                "database": schema.place,
                "prefix": schema.prefix,
                heading: schema.upgrade() if upgrading else schema.current(),
                "needed": schema.wanted,
            }
            for schema in chain(sql_schemas(settings), more)
        ]
        if upgrading:
            parts += _made_in_cassandra(platform, heading)
    rows = [tuple(value or "none" for value in part.values()) for part in parts]
    columns = ("part", "database", "prefix", heading, "needed")
    out.table("Tables", columns, rows, {"parts": parts})
    return any(part[heading] not in {None, part["needed"]} for part in parts)


def _made_in_cassandra(platform: Platform, heading: str) -> list[dict[str, str | None]]:
    """Asking for anything makes keyspace and tables."""
    from nextup.settings import without_credentials

    url = platform.settings.recommendation_store_url
    if not url.startswith("cassandra:"):
        return []
    platform.recommendation_store.current()
    tenant = platform.settings.tenant
    return [
        {
            "part": "recommendation_store",
            "database": without_credentials(url),
            "prefix": "" if tenant == "default" else f"{tenant}_",
            heading: AS_USED,
            "needed": AS_USED,
        }
    ]

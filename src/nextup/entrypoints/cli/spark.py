"""`nextup spark fetch`."""

from __future__ import annotations

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

app = typer.Typer(no_args_is_help=True, help="The engine on Spark.")


@app.command()
def fetch(home: Home = HERE, as_json: Json = False) -> None:
    """Fetch the jars that Spark needs beside its own, once, through Maven; where they are there
    already, say so."""
    from nextup.bootstrap import spark_connectors

    out = Output(as_json=as_json)
    with platform_at(home, must_exist=False) as platform:
        jars = spark_connectors(platform.settings)
    rows = [(jar.name, f"{jar.stat().st_size:,}") for jar in jars]
    document = {"folder": str(jars[0].parent), "jars": [jar.name for jar in jars]}
    out.table(f"Connectors in {jars[0].parent}", ("jar", "bytes"), rows, document)

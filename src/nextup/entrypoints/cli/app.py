"""`nextup`: every use case as a command. Each group of commands is a module beside this one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nextup import __version__
from nextup.domain.errors import InvalidInput, NextupError
from nextup.entrypoints.cli import (
    demo,
    ingest,
    lake,
    maintenance,
    models,
    pipeline,
    quarantine,
    serving,
    setup,
)
from nextup.entrypoints.cli.output import fail

app = typer.Typer(
    name="nextup",
    help="Send what people do, get what each person should see next, and why.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, setup, serving, pipeline, models, maintenance):
    module.register(app)
app.add_typer(ingest.app, name="ingest")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(lake.app, name="lake")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"nextup {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Send what people do, get what each person should see next, and why."""


def main() -> None:
    """Run the command line; an expected error becomes one line and an exit status."""
    as_json = "--json" in sys.argv
    try:
        app()
    except NextupError as error:
        fail(error.message, error.cure, as_json=as_json)
        sys.exit(2 if isinstance(error, InvalidInput) else 1)
    except KeyboardInterrupt:
        fail("Interrupted.", "Running the same command again continues.", as_json=as_json)
        sys.exit(130)
    except BrokenPipeError:  # `nextup ... | head`
        sys.stderr.close()
        sys.exit(0)

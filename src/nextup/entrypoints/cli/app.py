"""`nextup`: every use case as a command. Each group of commands is a module beside this one."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from nextup import __version__
from nextup.domain.errors import InvalidInput, NextupError
from nextup.entrypoints.cli import (
    airflow,
    bronze,
    client,
    contracts,
    db,
    demo,
    evaluation,
    files,
    history,
    ingest,
    lake,
    maintenance,
    models,
    pipeline,
    quarantine,
    schedule,
    serving,
    setup,
    spark,
    streaming,
)
from nextup.entrypoints.cli.command_log import CommandLog, command_of, kept
from nextup.entrypoints.cli.context import chosen_tenant
from nextup.entrypoints.cli.output import fail

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended

app = typer.Typer(
    name="nextup",
    help="Send what people do, get what each person should see next, and why.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    demo,
    setup,
    serving,
    streaming,
    pipeline,
    schedule,
    airflow,
    contracts,
    models,
    evaluation,
    maintenance,
):
    module.register(app)
app.add_typer(ingest.app, name="ingest")
app.add_typer(files.app, name="files")
app.add_typer(bronze.app, name="bronze")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(lake.app, name="lake")
app.add_typer(client.app, name="client")
app.add_typer(db.app, name="db")
app.add_typer(spark.app, name="spark")
app.add_typer(history.app, name="history")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"nextup {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    tenant: Annotated[
        str,
        typer.Option("--tenant", metavar="NAME", help="Whose data; default: the setting `tenant`."),
    ] = "",
) -> None:
    """Send what people do, get what each person should see next, and why."""
    chosen_tenant.set(tenant)


def main() -> None:
    """Run the command line; an expected error becomes one line and an exit status."""
    as_json = "--json" in sys.argv
    log = CommandLog(command_of(sys.argv[1:]))
    kept.set(log)
    try:
        status = app(prog_name="nextup", standalone_mode=False) or 0  # what the command exits with
    except NextupError as error:
        fail(error.message, error.cure, as_json=as_json)
        status = 2 if isinstance(error, InvalidInput) else 1
    except typer.TyperException as error:
        status = _misused(error, as_json=as_json)
    except typer.Abort:
        fail("Stopped; nothing was changed.", "`--yes` does not ask.", as_json=as_json)
        status = 1
    if status == INTERRUPTED:
        fail("Interrupted.", "Running the same command again continues.", as_json=as_json)
    _leave(log, status, as_json=as_json)
    sys.exit(_flushed(status))


def _leave(log: CommandLog, status: int, *, as_json: bool) -> None:
    """Keep the command's log. That it cannot be kept is said, unless the command has said so."""
    try:
        log.leave(status)
    except NextupError as error:
        if not status:
            fail(f"The command's log is not kept: {error.message}", error.cure, as_json=as_json)


def _misused(error: typer.TyperException, *, as_json: bool) -> int:
    """A wrong option or argument, or none at all, which asks for the help."""
    message = error.format_message()
    if message.startswith("Usage:"):
        typer.echo(message, err=True)
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "nextup"
    line = " ".join(message.split())
    ending = "" if line.endswith((".", "?")) else "."
    fail(f"{line}{ending}", f"`{command} -h` shows how it is used.", as_json=as_json)
    return error.exit_code


def _flushed(status: int) -> int:
    """The status, once everything is written. A reader who left early (`| head`) is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
    return status

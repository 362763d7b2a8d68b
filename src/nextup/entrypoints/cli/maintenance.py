"""`nextup validate`, `erase`, `backup`, `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextup.entrypoints.cli.context import contract_of, platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output, confirm

if TYPE_CHECKING:
    from nextup.bootstrap import Platform
    from nextup.services.validate import TableCheck


def register(root: typer.Typer) -> None:
    """Add these commands to the root."""
    for command in (validate, erase, backup, restore):
        root.command()(command)


def validate(
    file: Annotated[
        Path | None, typer.Argument(help="Events, one JSON object a line; default: the lake.")
    ] = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Say what is wrong in a file of events, or in the lake's tables, and change nothing.

    Exits with 1 where something is.
    """
    out = Output(as_json=as_json)
    with platform_at(home) as platform:
        good = (
            _validate_lake(platform, out) if file is None else _validate_file(platform, file, out)
        )
    if not good:
        raise typer.Exit(1)


def _validate_lake(platform: Platform, out: Output) -> bool:
    from datetime import UTC, datetime

    from nextup.services.validate import validate_lake

    checks = list(validate_lake(platform.engine, platform.lake, lambda: datetime.now(UTC)))
    rows = [(check.table.value, check.rows, len(check.results), _broken(check)) for check in checks]
    title = "Rules of the lake" if rows else "The lake is empty; there is nothing to validate."
    out.table(title, ("table", "rows", "rules", "broken"), rows, checks)
    return all(check.passed for check in checks)


def _broken(check: TableCheck) -> str:
    """The rules that do not hold, with how many rows break each."""
    broken = (result for result in check.results if not result.passed)
    return ", ".join(f"{result.rule} ({result.failing:,} rows)" for result in broken) or "none"


def _validate_file(platform: Platform, file: Path, out: Output) -> bool:
    from nextup.domain.errors import InvalidInput
    from nextup.services.validate import validate_events

    try:
        with file.open("rb") as stream:
            check = validate_events(stream, contract_of(platform))
    except OSError as error:
        raise InvalidInput(
            f"{file} cannot be read: {error.strerror}.",
            cure="Give a file of events, one JSON object a line.",
        ) from error
    rows = [(fault.line, fault.rule, fault.reason, fault.record) for fault in check.faults]
    title = f"{check.rows:,} events: {check.good:,} good, {check.broken.total():,} broken"
    out.table(title, ("line", "rule", "reason", "record"), rows, check)
    return not check.broken


def erase(
    user_id: Annotated[str, typer.Argument(help="Whom to forget.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    old_versions: Annotated[
        bool, typer.Option("--old-versions", help="Remove the lake's old versions at once, too.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Forget a person everywhere, and give a receipt."""
    from datetime import timedelta

    from nextup.ports.event_log import SupportsErasure
    from nextup.services.erase import erase as erase_person

    confirm(f"Erase everything about '{user_id}'? This cannot be undone.", yes=yes)
    with platform_at(home) as platform:
        keep = timedelta(days=0 if old_versions else platform.settings.lake.keep_days)
        receipt = erase_person(
            user_id,
            event_log=platform.event_log,
            online_state=platform.online_state,
            recommendation_store=platform.recommendation_store,
            lake=platform.lake,
            catalog=platform.catalog,
            control=platform.control,
            files=platform.files,
            keep=keep,
        )
        forgets = isinstance(platform.event_log, SupportsErasure)
    title = f"Receipt {receipt.receipt_id}"
    rows = list(receipt.removed.items())
    out = Output(as_json=as_json)
    out.table(title, ("place", "removed"), rows, receipt)
    if not forgets:
        out.say("The event log cannot forget one person: their messages go by its retention.")


def backup(
    archive: Annotated[Path, typer.Argument(help="The file to write, such as nextup.tar.")],
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Copy everything into one verified archive, while the platform goes on."""
    from nextup.services.backup import backup as write_backup

    with platform_at(home) as platform, platform.control.lock("pipeline"):
        report = write_backup(_copied_ports(platform), archive)
    text = f"Wrote {report.archive}: {report.files} files, {report.bytes / 1e6:,.1f} MB."
    Output(as_json=as_json).result(report, text)


def restore(
    archive: Annotated[Path, typer.Argument(help="What `nextup backup` wrote.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Replace everything by a backup, after checking all of it. Stop `nextup serve` before."""
    from nextup.services.backup import restore as read_backup

    confirm(f"Replace everything in {home} by {archive}?", yes=yes)
    with platform_at(home) as platform:
        report = read_backup(_copied_ports(platform), archive)
    text = f"Restored {report.files} files from {report.archive}."
    Output(as_json=as_json).result(report, text)


def _copied_ports(platform: Any) -> dict[str, Any]:
    from nextup.services.backup import ORDER

    return {name: getattr(platform, name) for name in ORDER}

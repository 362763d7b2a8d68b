"""`nextup validate`, `erase`, `backup`, `restore`, `migrate`."""

from __future__ import annotations

from functools import partial
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
    for command in (validate, erase, backup, restore, migrate):
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
    from nextup.recipes.beside import erase_beside
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
            beside=partial(erase_beside, platform),
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


def migrate(
    to: Annotated[
        str,
        typer.Option(
            help="Everything that this can hold: postgresql://, sqlite:///, hdfs://, file://."
        ),
    ] = "",
    port: Annotated[
        list[str] | None, typer.Option(help="One port, as event_log=URL; may be repeated.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Replace what another platform has left there.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Copy everything into other backends and compare both; the platform goes on meanwhile.

    Run it again after stopping the platform, to bring what came in the meantime, and then change
    the URLs in nextup.toml.
    """
    from nextup.bootstrap import Platform
    from nextup.domain.errors import InvalidInput
    from nextup.services.migrate import CLIENTS, targets_of
    from nextup.services.migrate import migrate as move
    from nextup.settings import without_credentials

    out = Output(as_json=as_json)
    pairs = [one.partition("=") for one in port or []]
    if wrong := [name for name, _, url in pairs if not url]:
        raise InvalidInput(f"--port {wrong[0]}: no URL.", cure="Write --port event_log=URL.")
    urls = targets_of(to, {name: url for name, _, url in pairs})
    with platform_at(home) as platform:
        changed = {f"{name}_url": url for name, url in urls.items() if name != CLIENTS}
        if same := [key for key, url in changed.items() if getattr(platform.settings, key) == url]:
            raise InvalidInput(f"{same[0]} is there already.", cure="Name another place.")
        settings = platform.settings.model_copy(update=changed)
        with (
            Platform(settings) as target,
            platform.control.lock("pipeline"),
            out.progress() as report,
        ):
            here = _copied_ports(platform)
            there = {name: getattr(target, name) for name in urls}
            moved = move(here, there, urls, anyway=anyway, report=report)
    rows = [(one.port, one.part, one.rows, one.written) for one in moved]
    columns = ("port", "part", "there now", "written")
    out.table("Migrated, and compared", columns, rows, {"moved": moved, "settings": changed})
    out.say("When the platform has stopped and this was run once more, set in nextup.toml:")
    for key, url in changed.items():
        out.say(f'  {key} = "{without_credentials(url)}"')


def _copied_ports(platform: Any) -> dict[str, Any]:
    from nextup.services.backup import ORDER

    return {name: getattr(platform, name) for name in ORDER}

"""`nextup evaluate`, `validate`, `erase`, `backup`, `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextup.entrypoints.cli.context import parse_day, platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from nextup.ports.lake import AsOf

AsOfOption = Annotated[
    str,
    typer.Option("--as-of", help="Use the tables as they were: a version, or a moment in ISO."),
]


def register(root: typer.Typer) -> None:
    """Add these commands to the root."""
    for command in (evaluate, erase, backup, restore):
        root.command()(command)


def evaluate(
    day: Annotated[str, typer.Option("--date", help="Up to the end of this day.")] = "",
    as_of: AsOfOption = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Measure the configured recipe on a past that it has not seen, without changing anything."""
    from nextup.services.dataset import load_item_facts
    from nextup.services.judge import judge
    from nextup.services.pipeline import end_of_day, today

    out = Output(as_json=as_json)
    with platform_at(home) as platform, out.progress() as report:
        settings = platform.settings
        until = end_of_day(parse_day(day, "--date") if day else today(settings), settings)
        verdict = judge(
            platform.engine,
            settings,
            load_item_facts(platform.engine),
            until,
            as_of=parse_as_of(as_of),
            report=report,
        )
    models = {
        name: figures
        for name, figures in verdict.metrics.items()
        if name in {"candidate", "popularity", "in_service"}
    }
    names = list(next(iter(models.values()), {}))
    rows = [(name, *(_figure(figures[name]) for figures in models.values())) for name in names]
    out.table(verdict.reason, ("metric", *models), rows, verdict)


def parse_as_of(text: str) -> AsOf:
    """A version number, or a moment (a naive one is UTC); nothing means now."""
    from datetime import UTC, datetime

    from nextup.domain.errors import InvalidInput

    if not text:
        return None
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"--as-of: '{text}' is neither a version nor a moment.",
            cure="Write 12, or 2026-11-20T08:00:00+00:00.",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


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

    from nextup.services.erase import erase as erase_person

    if not yes:
        typer.confirm(f"Erase everything about '{user_id}'? This cannot be undone.", abort=True)
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
    title = f"Receipt {receipt.receipt_id}"
    rows = list(receipt.removed.items())
    Output(as_json=as_json).table(title, ("place", "removed"), rows, receipt)


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

    if not yes:
        typer.confirm(f"Replace everything in {home} by {archive}?", abort=True)
    with platform_at(home) as platform:
        report = read_backup(_copied_ports(platform), archive)
    text = f"Restored {report.files} files from {report.archive}."
    Output(as_json=as_json).result(report, text)


def _copied_ports(platform: Any) -> dict[str, Any]:
    from nextup.services.backup import ORDER

    return {name: getattr(platform, name) for name in ORDER}


def _figure(value: Any) -> Any:
    """A mean with its interval, or a plain number."""
    if isinstance(value, list):
        mean, low, high = value
        return f"{mean:.4f}  ({low:.4f} to {high:.4f})"
    return value

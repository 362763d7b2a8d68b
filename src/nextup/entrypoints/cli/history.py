"""`nextup history`: another program's interactions, day by day, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nextup.entrypoints.cli.context import parse_day, platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from datetime import date

    from nextup.services.history_by_day import DayFolder
    from nextup.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="Another program's interactions, day by day, as files."
)
Day = Annotated[str, typer.Option("--date", help="The day, ISO; default: yesterday.")]


@app.command()
def extract(day: Day = "", home: Home = HERE, as_json: Json = False) -> None:
    """Read one day out of the database of [history] into a folder of its own."""
    from nextup.services.history_by_day import extract_day, require_database

    with platform_at(home) as platform:
        settings = platform.settings
        chosen = _day(day, settings)
        require_database(settings)  # before Spark is started
        done = extract_day(platform.engine, platform.files, settings, chosen)
    _tell(done, as_json)


@app.command()
def archive(day: Day = "", home: Home = HERE, as_json: Json = False) -> None:
    """Keep an extracted day, byte by byte, beside the raw data."""
    from nextup.services.history_by_day import archive_day

    with platform_at(home) as platform:
        done = archive_day(platform.files, platform.settings, _day(day, platform.settings))
    _tell(done, as_json)


@app.command()
def merge(day: Day = "", home: Home = HERE, as_json: Json = False) -> None:
    """Put an archived day into the history, in the place of what was there of this day."""
    from nextup.services.history_by_day import merge_day

    with platform_at(home) as platform:
        done = merge_day(platform.files, platform.settings, _day(day, platform.settings))
    _tell(done, as_json)


@app.command()
def clear(day: Day = "", home: Home = HERE, as_json: Json = False) -> None:
    """Remove what an earlier run has extracted and archived; the history stays as it is."""
    from nextup.services.history_by_day import clear_day

    with platform_at(home) as platform:
        removed = clear_day(platform.files, platform.settings, _day(day, platform.settings))
    Output(as_json=as_json).result(
        {"removed": removed}, f"Removed: {', '.join(removed) or 'nothing was there'}."
    )


def _day(text: str, settings: Settings) -> date:
    from datetime import timedelta

    from nextup.services.pipeline import today

    return parse_day(text, "--date") if text else today(settings) - timedelta(days=1)


def _tell(done: DayFolder, as_json: bool) -> None:
    from dataclasses import asdict

    document: dict[str, Any] = asdict(done)
    left_out = f", {done.unknown_items:,} actions on unknown items left out"
    Output(as_json=as_json).result(
        document,
        f"{done.folder}: {done.rows:,} rows in {done.files} files"
        f"{left_out if done.unknown_items else ''}.",
    )

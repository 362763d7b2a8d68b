"""`nextup ingest sample|movielens|goodbooks|table|items`."""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.bootstrap import Platform
    from nextup.services.ingest import Destination, IngestReport

app = typer.Typer(no_args_is_help=True, help="Bring data in; doing it again adds nothing.")
KeepFiles = Annotated[
    bool, typer.Option("--keep-files", help="Copy the raw files into the platform, too.")
]


class Policy(Enum):
    """What happens to events of items that the catalogue lacks."""

    QUARANTINE = "quarantine"
    CREATE = "create"


POLICIES: dict[Policy, Literal["quarantine", "create"]] = {
    Policy.QUARANTINE: "quarantine",
    Policy.CREATE: "create",
}


@app.command()
def sample(home: Home = HERE, as_json: Json = False) -> None:
    """The films and books that come with Nextup. `nextup simulate` gives them an audience."""
    from nextup.services.simulate import put_sample

    with platform_at(home) as platform:
        items = put_sample(platform.catalog)
    Output(as_json=as_json).result({"items": items}, f"{items:,} films and books.")


@app.command()
def movielens(
    what: Annotated[
        str,
        typer.Argument(
            help="A zip file, a folder, an edition to download (latest-small, 100k, 1m, 10m, "
            "20m, 25m, 32m), or kaggle:owner/name, with KAGGLE_USERNAME and KAGGLE_KEY set."
        ),
    ],
    keep_files: KeepFiles = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """MovieLens, every edition and both spellings of its files."""
    from nextup.services.ingest import Kaggle, ingest_movielens
    from nextup.settings_sources import variables_of

    out = Output(as_json=as_json)
    with destination(home) as (platform, into), out.progress() as report:
        done = ingest_movielens(
            what,
            into,
            downloads=platform.settings.home / "downloads",
            keep_files=keep_files,
            kaggle=Kaggle(platform.settings.kaggle_url, variables_of(platform.settings.home)),
            progress=lambda done, total: report("ratings", done, total),
            download_progress=lambda done, total: report("download", done, total),
        )
    _show(out, done)


@app.command()
def goodbooks(
    path: Annotated[Path, typer.Argument(help="The zip file or folder.")],
    keep_files: KeepFiles = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Goodbooks-10k, both editions."""
    from nextup.services.ingest import ingest_goodbooks

    out = Output(as_json=as_json)
    with destination(home) as (_, into), out.progress() as report:
        done = ingest_goodbooks(
            path,
            into,
            keep_files=keep_files,
            progress=lambda done, total: report("events", done, total),
        )
    _show(out, done)


@app.command()
def table(
    path: Annotated[Path, typer.Argument(help="A CSV, JSON lines or Parquet file, or a zip.")],
    mapping: Annotated[
        list[str],
        typer.Option(
            "--map",
            metavar="ROLE=COLUMN",
            help="Which column is the user, item, value, type, time or event_id. Repeat it.",
        ),
    ],
    separator: Annotated[str, typer.Option(help="Between the cells of a CSV.")] = ",",
    quote: Annotated[str, typer.Option(help="Around cells; empty: none.")] = '"',
    encoding: Annotated[str, typer.Option(help="Of the text.")] = "utf-8",
    file_format: Annotated[
        str, typer.Option("--format", help="csv, jsonl or parquet; default: by the name.")
    ] = "",
    dataset: Annotated[str, typer.Option(help="Its name; default: the file's.")] = "",
    kind: Annotated[str, typer.Option(help="The kind of items that the import makes.")] = "item",
    items: Annotated[
        Path | None, typer.Option(help="A table of the items, with a column item_id.")
    ] = None,
    unknown_items: Annotated[
        Policy | None,
        typer.Option(help="What to do with them; default: create when none are known yet."),
    ] = None,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Anybody's own table of events."""
    from nextup.services.importers.delimited import Dialect
    from nextup.services.ingest import TableOptions, ingest_table

    options = TableOptions(
        _pairs(mapping),
        dataset or None,
        file_format or None,
        Dialect(separator, quote or None, encoding),
        kind,
        items,
        unknown_items=None if unknown_items is None else POLICIES[unknown_items],
    )
    out = Output(as_json=as_json)
    with destination(home) as (_, into), out.progress() as report:
        done = ingest_table(
            path, into, options, progress=lambda done, total: report("events", done, total)
        )
    _show(out, done)


@app.command()
def items(
    path: Annotated[Path, typer.Argument(help="A CSV, JSON lines or Parquet file, or a zip.")],
    mapping: Annotated[
        list[str],
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Which column is the item's id (item), title, year, genres, makers or keywords, "
            "or an attribute of any name. Repeat it; others are left out. None: as in the lake.",
        ),
    ] = [],  # noqa: B006 - typer's way
    kind: Annotated[str, typer.Option(help="The kind of the items.")] = "item",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Anybody's own table of items, without events."""
    from nextup.services.ingest import ingest_items

    out = Output(as_json=as_json)
    with destination(home) as (_, into):
        done = ingest_items(path, into, mapping=_pairs(mapping), kind=kind)
    _show(out, done)


@contextmanager
def destination(home: str) -> Iterator[tuple[Platform, Destination]]:
    """The platform there, and where its imports go."""
    from datetime import UTC, datetime

    from nextup.services.ingest import Destination

    with platform_at(home) as platform:
        yield (
            platform,
            Destination(
                platform.event_log,
                platform.catalog,
                platform.files,
                platform.settings.contracts,
                lambda: datetime.now(UTC),
            ),
        )


def _pairs(mapping: list[str]) -> dict[str, str]:
    from nextup.domain.errors import InvalidInput

    pairs = {}
    for text in mapping:
        role, equals, column = text.partition("=")
        if not (role and equals and column):
            raise InvalidInput(f"--map: '{text}' is no pair.", cure="Write --map user=user_id.")
        pairs[role] = column
    return pairs


def _show(out: Output, report: IngestReport) -> None:
    rows = [
        ("rows", report.rows),
        ("accepted", report.accepted),
        ("duplicates", report.duplicates),
        *((f"quarantined: {rule}", count) for rule, count in report.quarantined.items()),
        ("items", report.items),
        *((f"items quarantined: {rule}", n) for rule, n in report.items_quarantined.items()),
    ]
    out.table(f"Ingested {report.dataset}", ("what", "count"), rows, report.as_dict())
    for note in report.notes:
        out.say(note)
    if report.quarantined:
        out.say("`nextup quarantine list` shows them, once `nextup pipeline run` has run.")

"""`nextup bronze fetch|validate`: a data set's own files in the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from nextup.services.raw_files import Brought

app = typer.Typer(no_args_is_help=True, help="A data set's own files in the lake's bronze.")
Dataset = Annotated[str, typer.Argument(help="Its name, such as ml-25m; default: the setting.")]


@app.command()
def fetch(
    dataset: Dataset = "",
    source: Annotated[
        str, typer.Option("--from", help="A URL, a zip file or a folder; default: the setting.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Fetch and write all anew.")] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Bring MovieLens' files into bronze with a manifest; a second time there is nothing to do.

    A download that was cut off goes on where it was, and so does unpacking, file by file.
    """
    from datetime import UTC, datetime

    from nextup.services.raw_files import bring_in, place_of

    out = Output(as_json=as_json)
    with platform_at(home) as platform, out.progress() as report:
        given = platform.settings.bronze
        if not source and dataset in {"", given.dataset}:
            source = place_of(given.source, platform.settings.home)
        brought = bring_in(
            platform.files,
            dataset or given.dataset,
            source,
            downloads=platform.settings.home / "downloads",
            force=force,
            clock=lambda: datetime.now(UTC),
            progress=lambda done, total: report("files", done, total),
            download_progress=lambda done, total: report("download", done, total),
        )
    _show(out, brought)


@app.command()
def validate(dataset: Dataset = "", home: Home = HERE, as_json: Json = False) -> None:
    """Hold bronze's files against their manifest; exit with 1, naming each, where one is missing
    or is not what it was."""
    from nextup.services.raw_files import check_raw, folder_of

    out = Output(as_json=as_json)
    with platform_at(home) as platform:
        name = dataset or platform.settings.bronze.dataset
        faults = check_raw(platform.files, name)
    good = f"{folder_of(name)}: every file is there, as the manifest says."
    rows = [(fault.file, fault.says) for fault in faults]
    document = {"dataset": name, "faults": faults}
    if faults:
        out.table(f"Faults in {folder_of(name)}", ("file", "fault"), rows, document)
        raise typer.Exit(1)
    out.result(document, good)


def _show(out: Output, brought: Brought) -> None:
    manifest = brought.manifest
    rows = [(one.name, one.bytes, one.rows, one.sha256[:12]) for one in manifest.files]
    out.table(brought.folder, ("file", "bytes", "rows", "sha256"), rows, brought)
    out.say(f"{brought.written} of {len(rows)} files written.")

"""`nextup files`: the folders of `files_url`, by the names that other programs see."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nextup.entrypoints.cli.context import platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output, confirm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextup.ports.files import Files
    from nextup.services.file_copies import Copied

app = typer.Typer(no_args_is_help=True, help="Plain files, where files_url says.")
Folders = Annotated[list[str], typer.Argument(help="Folders in files_url.")]


@app.command("list")
def list_files(
    folder: Annotated[str, typer.Argument(help="In files_url; default: all of it.")] = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """What lies in a folder. Folders end in /."""
    from nextup.domain.errors import NotFound

    with _files_at(home) as files:
        if folder and not files.exists(folder):
            raise NotFound(f"There is no {folder!r}.", cure="`nextup files list` shows what is.")
        found = [(name, *_facts(files, f"{folder.rstrip('/')}/{name}")) for name in
                 files.list(folder)]  # fmt: skip
    keys = ("name", "bytes", "modified_at")
    rows = [
        (name, "" if size is None else size, f"{at:%Y-%m-%d %H:%M:%S}" if at else "")
        for name, size, at in found
    ]
    document = [dict(zip(keys, one, strict=True)) for one in found]
    title = folder or "Files"
    Output(as_json=as_json).table(title if rows else f"{title}: empty", keys, rows, document)


@app.command()
def get(
    names: Annotated[list[str], typer.Argument(help="Files, or folders with all in them.")],
    to: Annotated[Path, typer.Option(help="The local folder; made if absent.")] = Path(),
    newest: Annotated[
        bool, typer.Option("--newest", help="Of all these, only the file that was written last.")
    ] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Copy files to this machine, each as a whole, in the place of an older copy."""
    from nextup.domain.errors import NotFound
    from nextup.services import file_copies

    out = Output(as_json=as_json)
    done = []
    with _files_at(home) as files, out.progress() as report:
        for name in names:
            if not files.exists(name):
                raise NotFound(f"There is no {name!r}.", cure="`nextup files list` shows what is.")
        found = {one: name for name in names for one in file_copies.files_below(files, name)}
        if newest:
            one = file_copies.newest(files, list(found))
            found = {one: found[one]}
        for one, name in found.items():
            below = one.removeprefix(name.rstrip("/")).lstrip("/").rpartition("/")[0]
            done.append(file_copies.download(files, one, to / below, report))
    _tell(out, done, [(copied.name, str(copied.path)) for copied in done])


@app.command()
def put(
    paths: Annotated[list[Path], typer.Argument(help="Files of this machine.")],
    to: Annotated[str, typer.Option(help="The folder in files_url; default: all of it.")] = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Copy files of this machine into a folder, each as a whole, in the place of what has its
    name there."""
    from nextup.services import file_copies

    out = Output(as_json=as_json)
    with _files_at(home) as files, out.progress() as report:
        done = [file_copies.upload(files, path, to.strip("/"), report) for path in paths]
    _tell(out, done, [(str(copied.path), copied.name) for copied in done])


@app.command()
def make(folders: Folders, home: Home = HERE, as_json: Json = False) -> None:
    """Make folders that are absent; first see whether somebody answers there."""
    with _files_at(home) as files:
        files.list()
        made = [folder for folder in folders if not files.exists(folder)]
        for folder in folders:
            files.make_folder(folder)
    there = [folder for folder in folders if folder not in made]
    said = [f"Made: {', '.join(made)}." if made else "", f"There: {', '.join(there)}." if there
            else ""]  # fmt: skip
    Output(as_json=as_json).result({"made": made, "there": there}, " ".join(filter(None, said)))


@app.command()
def empty(
    folders: Folders,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Remove all that lies in folders; they themselves stay."""
    from nextup.services.file_copies import empty_folder

    confirm(f"Remove all in {', '.join(folders)}? This cannot be undone.", yes=yes)
    with _files_at(home) as files:
        removed = {folder: empty_folder(files, folder) for folder in folders}
    text = ", ".join(f"{folder} ({count:,})" for folder, count in removed.items())
    Output(as_json=as_json).result({"removed": removed}, f"Emptied: {text}.")


@contextmanager
def _files_at(home: str) -> Iterator[Files]:
    """With no other names for folders: what is asked for is what is there."""
    from nextup.bootstrap import open_platform

    with platform_at(home) as platform:
        plain = platform.settings.model_copy(update={"folders": {}})
        with open_platform(plain) as opened:
            yield opened.files


def _facts(files: Files, path: str) -> tuple[object, object]:
    name = path.lstrip("/")
    return (None, None) if name.endswith("/") else (files.size(name), files.modified_at(name))


def _tell(out: Output, done: Sequence[Copied], pairs: Sequence[tuple[str, str]]) -> None:
    for (source, target), copied in zip(pairs, done, strict=True):
        out.say(f"{source} -> {target}  {copied.bytes:,} bytes")
    out.result(
        [{"name": one.name, "path": str(one.path), "bytes": one.bytes} for one in done],
        None if done else "Nothing to copy.",
    )

"""Copying between this machine's disk and the platform's plain files."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from nextup.domain.errors import BackendUnavailable, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nextup.ports.files import Files

    Report = Callable[[str, int, int], None]
    """Called as `report(name, done, total)`, in bytes."""

_BLOCK: Final = 1 << 20  # bytes copied at once


class Copied(NamedTuple):
    """A file that is in both places now."""

    name: str  # among the platform's files
    path: Path  # on this machine
    bytes: int


def upload(files: Files, path: Path, folder: str, report: Report | None = None) -> Copied:
    """Put a file into the folder under its own name, in the place of one that is there. It appears
    when it is whole."""
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    name = f"{folder}/{path.name}".lstrip("/")
    try:
        with path.open("rb") as source, files.create(name) as target:
            size = _copy(source, target, path.stat().st_size, path.name, report)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}.") from error
    return Copied(name, path, size)


def download(files: Files, name: str, folder: Path, report: Report | None = None) -> Copied:
    """Put a file into the local folder under its own name; it appears when it is whole."""
    path = folder / name.rpartition("/")[2]
    part = path.with_name(f".{path.name}.part")
    total = files.size(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.open(name) as source, part.open("wb") as target:
            size = _copy(source, target, total, path.name, report)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BackendUnavailable(
            f"{folder} cannot be written: {error.strerror or error}.", cure="Choose another folder."
        ) from error
    return Copied(name, path, size)


def files_below(files: Files, name: str) -> Iterator[str]:
    """The file itself, or all files in the folder and the folders below it, in order."""
    name = name.removesuffix("/")
    here = files.list(name)
    if not here and files.exists(name) and _is_file(files, name):
        yield name
    for one in here:
        path = f"{name}/{one}".lstrip("/")
        if one.endswith("/"):
            yield from files_below(files, path)
        else:
            yield path


def newest(files: Files, names: Sequence[str]) -> str:
    """The one that was written last. Raises NotFound where there is none."""
    if not names:
        raise NotFound("There is no file yet.")
    return max(names, key=lambda name: (files.modified_at(name), name))


def empty_folder(files: Files, folder: str) -> int:
    """Remove all in it; returns how many files and folders lay directly in it. The folder stays,
    and is made where it was not."""
    removed = sum(files.remove(f"{folder}/{one}".lstrip("/")) for one in files.list(folder))
    files.make_folder(folder)
    return removed


def _is_file(files: Files, name: str) -> bool:
    try:
        files.size(name)
    except NotFound:
        return False
    return True


def _copy(source: BinaryIO, target: BinaryIO, total: int, what: str, report: Report | None) -> int:
    done = 0
    while block := source.read(_BLOCK):
        target.write(block)
        done += len(block)
        if report is not None:
            report(what, done, total)
    return done

"""Writing so that it is still there after a power cut, and saying plainly when it cannot be."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nextup.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    InvalidInput,
    NextupError,
    NotFound,
    StorageFull,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path
    from typing import BinaryIO

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # disk, quota, and a limit on a file's size
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_UNFIT = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EILSEQ}


@contextmanager
def disk_errors(name: str) -> Iterator[None]:
    """Translate what the operating system says about the file or folder."""
    try:
        yield
    except OSError as error:
        raise _translated(error, name) from error


@contextmanager
def full_disk_errors(name: str) -> Iterator[None]:
    """Translate a full disk in a caller's block; its other errors may be about other files."""
    try:
        yield
    except OSError as error:
        if _is_full(error):
            raise _translated(error, name) from error
        raise


def _is_full(error: OSError) -> bool:
    """numpy says without the system's number that the disk took less than it was given."""
    return error.errno in _FULL or (error.errno is None and str(error).endswith(" written"))


def _translated(error: OSError, name: str) -> NextupError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if _is_full(error):
        return StorageFull(
            f"No space is left for {name!r} ({reason}).",
            cure="Free some, or set NEXTUP_FILES_URL to a folder on a larger disk.",
        )
    if error.errno in _REFUSED:
        return ConfigurationError(
            f"{error.filename or name!r} may not be used ({reason}).",
            cure="Give the user that runs Nextup the right to read and write it, or set "
            "NEXTUP_FILES_URL to another folder.",
        )
    if error.errno == errno.ENOENT:
        return NotFound(f"There is no {name!r}.")
    if error.errno in _UNFIT:
        return InvalidInput(f"{name!r} cannot be used ({reason}).", cure="Choose another name.")
    return BackendUnavailable(
        f"The disk failed at {name!r} ({reason}).", cure="The system's log may say why."
    )


def write_all(stream: FileIO, data: bytes) -> None:
    """Write every byte to an unbuffered stream, which may take fewer at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


def make_durable(stream: BinaryIO | FileIO) -> None:
    """Return when the stream's bytes are on the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Return when the names in the folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Return when all files and folders below, and the folder itself, are on the disk."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            sync_tree(entry)
        elif entry.is_file():
            with entry.open("rb") as stream:
                os.fsync(stream.fileno())
    sync_folder(folder)


def make_folders(folder: Path) -> None:
    """Make the folder and those above it, durably. Existing ones stay as they are."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def remove_any(path: Path) -> None:
    """Remove a file, or a folder with all in it. What cannot be removed, or is absent, stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()

"""Backup and restore: everything, as one verified archive.

Views are copied before the log that they were made from: after a restore the log may be ahead
of them, which they make up for by reading on, but never behind, which would lose events.
"""

from __future__ import annotations

import errno
import hashlib
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from nextup import __version__
from nextup.domain.errors import (
    BackendUnavailable,
    Conflict,
    CorruptData,
    InvalidInput,
    StorageFull,
)
from nextup.ports.backup import SupportsBackup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST = "manifest.json"
_FULL = {errno.ENOSPC, errno.EDQUOT}
ORDER = (  # views first, the truth last
    "recommendation_store",
    "online_state",
    "lake",
    "files",
    "control",
    "clients",
    "catalog",
    "event_log",
)


class _Manifest(msgspec.Struct):
    """What an archive says of itself."""

    made_at: datetime
    code_version: str
    ports: list[str]
    sha256: dict[str, str]  # of every file, by its name in the archive


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What was copied, or taken back in."""

    archive: str
    ports: tuple[str, ...]
    skipped: tuple[str, ...]  # backends that keep nothing to copy
    files: int
    bytes: int


def backup(ports: Mapping[str, Any], archive: Path) -> BackupReport:
    """Write the archive; it appears under its name only when it is whole.

    Raises Conflict where the file exists already.
    """
    if archive.exists():
        raise Conflict(f"{archive} exists already.", cure="Choose another name.")
    copied = [name for name in ORDER if isinstance(ports.get(name), SupportsBackup)]
    with _scratch(archive, ".backup-") as scratch:
        folder = scratch / "content"
        for name in copied:
            (folder / name).mkdir(parents=True)
            ports[name].backup(folder / name)
        sums = _checksums(folder)
        manifest = _Manifest(datetime.now(UTC), __version__, copied, sums)
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        whole = scratch / "archive.tar"
        with tarfile.open(whole, "w") as tar:
            tar.add(folder, arcname=".")
        whole.rename(archive)
    skipped = tuple(name for name in ORDER if name not in copied)
    return BackupReport(str(archive), tuple(copied), skipped, len(sums), size)


def restore(ports: Mapping[str, Any], archive: Path) -> BackupReport:
    """Check the whole archive, then let every backend take its copy back in.

    Raises CorruptData, with nothing changed, where a file is missing or differs.
    """
    if not archive.is_file():
        raise InvalidInput(f"There is no file {archive}.", cure="Name what `nextup backup` wrote.")
    with _scratch(archive, ".restore-") as folder:
        manifest = _unpack(archive, folder)
        unable = [name for name in manifest.ports if not isinstance(ports[name], SupportsBackup)]
        if unable:
            raise InvalidInput(
                f"The configured {', '.join(unable)} cannot take a copy in.",
                cure="Restore with the settings that the backup was made with.",
            )
        for name in reversed(manifest.ports):  # the truth first
            ports[name].restore(folder / name)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    skipped = tuple(name for name in ORDER if name not in manifest.ports)
    return BackupReport(str(archive), tuple(manifest.ports), skipped, len(manifest.sha256), size)


def contents(archive: Path) -> Mapping[str, str]:
    """The checksum of every file that the archive says it holds, by name. Raises CorruptData."""
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"./{MANIFEST}")
            assert member is not None  # it is no folder
            return msgspec.json.decode(member.read(), type=_Manifest).sha256
    except (tarfile.TarError, OSError, KeyError, msgspec.DecodeError) as error:
        raise CorruptData(
            f"{archive} is no backup, or a damaged one. ({error})", cure="Use an older backup."
        ) from error


@contextmanager
def _scratch(archive: Path, prefix: str) -> Iterator[Path]:
    """A folder beside the archive, on its disk, for as long as the block lasts."""
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=prefix) as scratch:
            yield Path(scratch)
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                f"No space is left in {archive.parent}; nothing was changed.",
                cure="Free some, or choose another place.",
            ) from error
        raise BackendUnavailable(
            f"The folder {archive.parent} cannot be used: {error.strerror}.",
            cure="Choose one that this user may write.",
        ) from error


def _unpack(archive: Path, folder: Path) -> _Manifest:
    damaged = "The backup is damaged; nothing was changed."
    try:
        with tarfile.open(archive) as tar:
            _extract(tar, folder)
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest)
    except (tarfile.TarError, OSError, EOFError, msgspec.DecodeError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        raise CorruptData(f"{damaged} ({error})", cure="Use an older backup.") from error
    found = _checksums(folder)
    wrong = [name for name, digest in manifest.sha256.items() if found.get(name) != digest]
    if wrong:
        first = f"First bad file: {wrong[0]}; {len(wrong)} in all."
        raise CorruptData(f"{damaged} {first}", cure="Use an older backup.")
    return manifest


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    """Raises TarError, with nothing written, where Python, before 3.11.4, has no filter of its own
    and a member is more than a file within the folder."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
        return
    for member in tar.getmembers():
        path = PurePosixPath(member.name)
        if not (member.isfile() or member.isdir()) or path.is_absolute() or ".." in path.parts:
            raise tarfile.TarError(f"{member.name!r} does not belong into a backup")
    tar.extractall(folder)  # noqa: S202 - its members were looked at


def _checksums(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): _sha256(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / MANIFEST
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

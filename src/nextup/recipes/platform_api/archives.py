"""Backups that are known to work: each is restored beside the platform and compared with itself."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import text

from nextup.bootstrap import Platform, open_sql
from nextup.domain.errors import ConfigurationError, CorruptData
from nextup.services.backup import ORDER, backup, contents, restore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.settings import Settings

SCRATCH: Final = "restored_for_a_moment"  # schema of PostgreSQL, and folder beside the archives
_ARCHIVE: Final = re.compile(r"nextup-(\d{4}-\d\d-\d\d)\.tar")


class Verified(NamedTuple):
    """An archive that was taken back in, whole."""

    archive: str
    files: int
    bytes: int
    verified_at: datetime


def archive_of(settings: Settings, folder: str, day: date) -> Path:
    """Where a day's archive is, or would be."""
    return settings.home / folder / f"nextup-{day}.tar"


def write_archive(settings: Settings, archive: Path) -> int:
    """Everything, as `nextup backup` writes it, in place of an earlier one of the day; returns
    how many files it holds. The earlier one is there until the new one is whole."""
    fresh = archive.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with Platform(settings) as platform:
        report = backup(_ports(platform), fresh)
    fresh.replace(archive)
    return report.files


def verify_archive(settings: Settings, archive: Path) -> Verified:
    """Restore the archive beside the platform, copy that again, and find the same in both.

    Raises CorruptData where anything differs. A note beside the archive says when it was proven.
    """
    with _beside(settings, archive.parent) as (elsewhere, folder):
        with Platform(elsewhere) as platform:
            restore(_ports(platform), archive)
        again = folder / "again.tar"
        with Platform(elsewhere) as platform:
            report = backup(_ports(platform), again)
        wanted, found = contents(archive), contents(again)
    differing = sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )
    if differing:
        raise CorruptData(
            f"{archive.name} does not come back as it was: {', '.join(differing[:3])}; "
            f"{len(differing)} of {len(wanted)} files differ.",
            cure="Keep the older archives, and look for what writes during the backup.",
        )
    verified = Verified(archive.name, report.files, report.bytes, datetime.now(UTC))
    note = archive.with_suffix(".verified.json")
    note.write_bytes(msgspec.json.format(msgspec.json.encode(verified._asdict())))
    return verified


def keep_archives(folder: Path, keep: int) -> int:
    """Remove all but the newest; returns how many went."""
    archives = sorted(file for file in folder.glob("nextup-*.tar") if _ARCHIVE.match(file.name))
    for file in archives[:-keep]:
        file.with_suffix(".verified.json").unlink(missing_ok=True)
        file.unlink(missing_ok=True)
    return len(archives[:-keep])


def _ports(platform: Platform) -> dict[str, Any]:
    return {name: getattr(platform, name) for name in ORDER}


def _url(settings: Settings, port: str) -> str:
    return str(getattr(settings, f"{port}_url", ""))


@contextmanager
def _beside(settings: Settings, parent: Path) -> Iterator[tuple[Settings, Path]]:
    """The settings of an empty platform that is gone when the block ends. Raises
    ConfigurationError where it would not be beside this one, but this one."""
    fixed = [port for port in ORDER if _url(settings, port).startswith("sqlite:////")]
    if fixed:
        raise ConfigurationError(
            f"{fixed[0]}_url is a file at an absolute path: restoring to it would replace it.",
            cure="Write the path relative to the deployment's folder.",
        )
    folder = parent / SCRATCH
    connections = settings.connections.model_copy(update={"schema_name": SCRATCH})
    elsewhere = settings.model_copy(
        update={
            "home": folder,
            "connections": connections,
            "lake_url": "file://lake",
            "files_url": "file://files",
            "tracker_url": "null://",
        }
    )
    _clear(settings, folder)
    folder.mkdir(parents=True)
    try:
        yield elsewhere, folder
    finally:
        _clear(settings, folder)


def _clear(settings: Settings, folder: Path) -> None:
    """Also what a verification left that was killed."""
    shutil.rmtree(folder, ignore_errors=True)
    database = open_sql(settings, settings.event_log_url)
    try:
        with database.begin() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {SCRATCH} CASCADE"))
    finally:
        database.close()

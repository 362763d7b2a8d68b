"""MovieLens' files out of a folder that people put them into: what was used is moved to where used
files are, and what cannot be read is moved aside with the reason.

A file moves once all its rows are durable in the log. Killed before that, the next run reads it
again, which adds nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from nextup.domain.errors import CorruptData, InvalidInput
from nextup.services.importers import movielens
from nextup.services.importers.loading import nothing_to_tell
from nextup.services.importers.sources import Source, StoredSource
from nextup.services.manifests import read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.ports.files import Files
    from nextup.services.importers.loading import Destination, Progress
    from nextup.services.importers.report import IngestReport

REASON: Final = ".reason.json"


class Folders(NamedTuple):
    """Where files come in and where they go, in the platform's files."""

    input: str = "input"
    processed: str = "processed"
    errors: str = "errors"


class Taken(NamedTuple):
    """What became of the files."""

    reports: Sequence[IngestReport]  # of what was read
    used: Sequence[str]  # moved to the run's folder
    unreadable: Sequence[str]  # moved aside
    left: Sequence[str]  # still there: nothing here reads files of these names

    def counts(self) -> dict[str, int]:
        """For the record of a run."""
        return {
            "files": len(self.used),
            "unreadable": len(self.unreadable),
            "rows": sum(one.rows for one in self.reports),
            "accepted": sum(one.accepted for one in self.reports),
            "quarantined": sum(one.quarantined.total() for one in self.reports),
            "films": sum(one.items for one in self.reports),
        }


class _Chosen(StoredSource):
    """Some of a folder's files."""

    def __init__(self, files: Files, folder: str, names: Sequence[str]) -> None:
        super().__init__(files, folder)
        self._names = list(names)


def take_files(
    into: Destination,
    folders: Folders,
    run: str,
    *,
    again: bool = False,
    progress: Progress = nothing_to_tell,
) -> Taken:
    """Read what is in the folder, and what lies among the used files without having been read: of
    an earlier installation perhaps, or because somebody put it there. `again` reads all of them
    once more, into a log that has lost what it had.
    """
    reports = [
        _read(into, folder, progress=progress) for folder in _unread(into.files, folders, again)
    ]
    source = StoredSource(into.files, folders.input)
    unreadable = _set_aside(into, folders, run, source)
    used = movielens.files_of(_Chosen(into.files, folders.input, _others(source, unreadable)))
    if used:
        target = f"{folders.processed}/{run}"
        chosen = _Chosen(into.files, folders.input, used)
        reports.append(
            movielens.ingest(chosen, into, papers=target, whole=False, progress=progress)
        )
        for name in used:
            into.files.move(f"{folders.input}/{name}", f"{target}/{name}")
    left = [name for name in _others(source, unreadable) if name not in used]
    return Taken(reports, used, unreadable, left)


def _unread(files: Files, folders: Folders, again: bool) -> Sequence[str]:
    """Folders of used files, in order, that no complete manifest speaks for."""
    found = []
    for name in files.list(folders.processed):
        folder = f"{folders.processed}/{name.removesuffix('/')}"
        if not name.endswith("/") or not movielens.files_of(StoredSource(files, folder)):
            continue
        manifest = read_manifest(files, folder)
        if again or manifest is None or not manifest.complete:
            found.append(folder)
    return found


def _read(into: Destination, folder: str, *, progress: Progress) -> IngestReport:
    source = StoredSource(into.files, folder)
    return movielens.ingest(source, into, papers=folder, whole=False, progress=progress)


def _set_aside(into: Destination, folders: Folders, run: str, source: Source) -> list[str]:
    """Move what cannot be read, and say why in a file beside it."""
    unreadable = []
    for name in movielens.files_of(source):
        try:
            movielens.require_readable(source, name)
        except (InvalidInput, CorruptData) as error:
            target = _free_name(into.files, folders.errors, name)
            reason = {
                "file": name,
                "reason": error.message,
                "cure": error.cure,
                "run": run,
                "at": into.clock().isoformat(timespec="seconds"),
            }
            with into.files.create(f"{target}{REASON}") as stream:
                stream.write(json.dumps(reason, indent=2, ensure_ascii=False).encode() + b"\n")
            into.files.move(f"{folders.input}/{name}", target)
            unreadable.append(name)
    return unreadable


def _free_name(files: Files, folder: str, name: str) -> str:
    """Beside an earlier file of the name, which stays: `rating-2.csv`."""
    stem, dot, ending = name.rpartition(".")
    target, number = f"{folder}/{name}", 1
    while files.exists(target):
        number += 1
        target = f"{folder}/{stem}-{number}{dot}{ending}"
    return target


def _others(source: Source, names: Sequence[str]) -> list[str]:
    return [name for name in source.names() if name not in names]

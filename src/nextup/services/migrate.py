"""Migrate: everything, or some ports, into other backends, while the platform goes on.

What is copied row by row is compared afterwards; what can be made again from the truth is made
again there. Views come before the log that they were made from, as in a backup, so that they are
never ahead of it. Repeated, it goes on where it was broken off, and brings what came meanwhile.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nextup.domain.errors import Conflict, CorruptData, InvalidInput
from nextup.domain.tables import Table
from nextup.ports.backup import SupportsCopying
from nextup.services.backup import ORDER
from nextup.services.broken_rows import SOURCE as REFINING
from nextup.services.collect import SOURCE
from nextup.settings import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nextup.ports.files import Files
    from nextup.ports.lake import Lake

    Report = Callable[[str, int, int], None]

CLIENTS: Final = "clients"  # of all tenants, beside the control data
FOLDER: Final = "migrations"  # of the source's files: what was begun
COPY_BYTES: Final = 1 << 20
HOLDS: Final[Mapping[str, tuple[str, ...]]] = {
    "postgresql": ("recommendation_store", "online_state", "control", "catalog", "event_log"),
    "sqlite": ("recommendation_store", "online_state", "control", "catalog", "event_log"),
    "file": ("lake", "files"),
    "hdfs": ("lake", "files"),
    "s3": ("lake",),  # which has no files that grow at their end
}
"""What one URL can take in, by its scheme; `lake` and `files` get folders of these names in it."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One part of a port, as it is in both places now."""

    port: str
    part: str  # a table, or a kind of files
    rows: int  # or files
    written: int  # of them, this time


def targets_of(url: str, others: Mapping[str, str]) -> dict[str, str]:
    """The ports' new URLs: all that `url` can hold, and the `others`, which win. Raises
    InvalidInput for a URL that can hold nothing."""
    scheme = url.partition(":")[0].partition("+")[0]
    if url and scheme not in HOLDS:
        raise InvalidInput(
            f"Nothing can be migrated to '{scheme}:' as a whole.",
            cure=f"Name one of {', '.join(HOLDS)}, or single ports: --port lake=s3://bucket/lake.",
        )
    if unknown := others.keys() - set(ORDER):
        raise InvalidInput(
            f"There is no port '{min(unknown)}'.", cure=f"Ports: {', '.join(ORDER)}."
        )
    found = {port: _place(url, port) for port in HOLDS.get(scheme, ())} if url else {}
    chosen = {**found, **others}
    if not chosen:
        raise InvalidInput("Migrate what, and where to?", cure="Give --to URL, or --port NAME=URL.")
    if CLIENTS in others:
        raise InvalidInput("Clients go with the control data.", cure="Name control=URL.")
    if "control" in chosen:
        chosen[CLIENTS] = chosen["control"]
    return {port: chosen[port] for port in ORDER if port in chosen}


def _place(url: str, port: str) -> str:
    return f"{url.rstrip('/')}/{port}" if port in {"lake", "files"} else url


def migrate(
    source: Mapping[str, Any],
    target: Mapping[str, Any],
    urls: Mapping[str, str],
    *,
    anyway: bool = False,
    report: Report | None = None,
) -> list[Moved]:
    """Bring the ports in `urls` to the target's; returns what is there now.

    Raises Conflict, with nothing changed, for a target that holds something else already, unless
    `anyway`; CorruptData where source and target differ in the end.
    """
    for port, url in urls.items():
        if not (anyway or _was_begun(source["files"], port, url) or _is_empty(port, target[port])):
            raise Conflict(
                f"{without_credentials(url)} holds something already, as {port}.",
                cure="Name an empty one; --anyway replaces what is there.",
            )
    moved: list[Moved] = []
    for port, url in urls.items():
        _note(source["files"], port, url)
        moved += _move(port, source[port], target[port], report)
    return moved


def _move(port: str, here: Any, there: Any, report: Report | None) -> Sequence[Moved]:
    if port == "files":
        return [_copy_files(here, there, report)]
    if port == "lake":
        return list(_copy_lake(here, there, report))
    if not isinstance(here, SupportsCopying):
        raise InvalidInput(
            f"{type(here).__name__} cannot be copied ({port}).",
            cure="Lists are made again by `nextup publish`, live histories by `nextup stream`; "
            "leave the port out.",
        )
    return [
        Moved(port, one.table, one.rows, one.written + one.removed)
        for one in here.copy_to(there, report)
    ]


def _is_empty(port: str, backend: Any) -> bool:
    return {
        "event_log": lambda: not any(backend.head().values()),
        "catalog": lambda: not backend.count_items(),
        "recommendation_store": lambda: not backend.generations(),
        "online_state": lambda: not backend.position(),
        CLIENTS: lambda: not list(backend.clients()),
        "control": lambda: not (backend.models() or backend.runs(1)),
        "lake": lambda: not backend.status(),
        "files": lambda: not [name for name in backend.list() if name != f"{FOLDER}/"],
    }[port]()


def _was_begun(files: Files, port: str, url: str) -> bool:
    return files.exists(_note_name(port, url))


def _note(files: Files, port: str, url: str) -> None:
    with files.create(_note_name(port, url)) as stream:
        stream.write(msgspec.json.encode({"port": port, "url": without_credentials(url)}))


def _note_name(port: str, url: str) -> str:
    return f"{FOLDER}/{hashlib.sha256(f'{port} {url}'.encode()).hexdigest()[:16]}.json"


def _copy_files(here: Files, there: Files, report: Report | None) -> Moved:
    """Each file that is missing or different; what the target has besides stays."""
    names = list(_all_files(here))
    written = 0
    for number, name in enumerate(names, 1):
        if not _same(here, there, name):
            with here.open(name) as old, there.create(name) as new:
                while chunk := old.read(COPY_BYTES):
                    new.write(chunk)
            written += 1
            if not _same(here, there, name):
                raise CorruptData(
                    f"'{name}' is not what was written.", cure="Stop writers, and migrate again."
                )
        if report is not None:
            report("files", number, len(names))
    return Moved("files", "files", len(names), written)


def _all_files(files: Files, folder: str = "") -> Iterator[str]:
    for entry in files.list(folder):
        name = f"{folder}/{entry}" if folder else entry
        if name == f"{FOLDER}/":
            continue
        if entry.endswith("/"):
            yield from _all_files(files, name.removesuffix("/"))
        else:
            yield name


def _same(here: Files, there: Files, name: str) -> bool:
    if not there.exists(name) or here.size(name) != there.size(name):
        return False
    return _digest(here, name) == _digest(there, name)


def _digest(files: Files, name: str) -> bytes:
    with files.open(name) as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(COPY_BYTES):
            digest.update(chunk)
    return digest.digest()


def _copy_lake(here: Lake, there: Lake, report: Report | None) -> Iterator[Moved]:
    """Each table's rows as they are now, with how far the log has come in them; earlier versions
    stay behind. A table that is equal already is left alone."""
    tables = [one for one in here.status() if one.table in set(Table)]
    for number, one in enumerate(tables, 1):
        wanted = here.content_hash(one.table)
        position = here.position(one.table, SOURCE)
        fresh = there.version(one.table) is None or there.content_hash(one.table) != wanted
        if fresh or there.position(one.table, SOURCE) != position:
            there.replace(one.table, [here.scan(one.table)], source=SOURCE, position=position)
            if broken := here.position(one.table, REFINING):
                none = here.scan(one.table).head(0).collect()
                there.append(one.table, none, source=REFINING, position=broken)
            if there.content_hash(one.table) != wanted:
                raise CorruptData(
                    f"{one.table} is not what was written.", cure="Stop writers; migrate again."
                )
        yield Moved("lake", one.table.value, one.rows, one.rows if fresh else 0)
        if report is not None:
            report("lake", number, len(tables))

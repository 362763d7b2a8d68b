"""Copies on this machine's disk of what is read from a lake on HDFS.

delta-rs reads and writes HDFS; Polars, which scans the tables, reads local disks and object
stores. Files of a Delta table never change once they are written, so that a copy stays true: only
what is new is fetched, once for all processes of the machine.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from deltalake import DeltaTable
from hdfs_native import Client

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LOG: Final = "_delta_log"
LAST: Final = "_last_checkpoint"  # the one file that is replaced; a log is whole without it
CHUNK_BYTES: Final = 4 << 20


class HdfsMirror:
    """Copies of tables, below one local folder."""

    def __init__(self, copies: Path) -> None:
        self._copies = copies
        self._clients: dict[str, Client] = {}

    def readable(self, delta: DeltaTable) -> DeltaTable:
        """The same version of the table, on this machine's disk."""
        uri = urlsplit(delta.table_uri)
        folder = unquote(uri.path).rstrip("/")
        client = self._client(f"{uri.scheme}://{uri.netloc}")
        copy = self._copies / folder.lstrip("/")
        wanted = [unquote(urlsplit(name).path) for name in delta.file_uris()]
        log = (entry.path for entry in client.list_status(f"{folder}/{LOG}") if not entry.isdir)
        self._fetch(client, folder, copy, wanted)
        self._fetch(client, folder, copy, (path for path in log if not path.endswith(LAST)))
        return DeltaTable(copy, version=delta.version())

    def forget(self, delta: DeltaTable) -> None:
        """Remove copies of data that the table's latest version does not need."""
        folder = unquote(urlsplit(delta.table_uri).path).rstrip("/")
        copy = self._copies / folder.lstrip("/")
        paths = (unquote(urlsplit(uri).path) for uri in delta.file_uris())
        needed = {path.removeprefix(f"{folder}/") for path in paths}
        for file in copy.rglob("*.parquet"):
            name = file.relative_to(copy).as_posix()
            if not name.startswith(LOG) and name not in needed:
                file.unlink(missing_ok=True)

    def _client(self, place: str) -> Client:
        if place not in self._clients:
            self._clients[place] = Client(place)
        return self._clients[place]

    @staticmethod
    def _fetch(client: Client, folder: str, copy: Path, paths: Iterable[str]) -> None:
        """Each file under another name first: what has its name is whole."""
        for path in paths:
            target = copy / path.removeprefix(f"{folder}/")
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            making = target.with_name(f".{uuid4().hex}")
            try:
                with client.read(path) as source, making.open("wb") as file:
                    while chunk := source.read(CHUNK_BYTES):
                        file.write(chunk)
                making.rename(target)
            finally:
                with suppress(FileNotFoundError):
                    making.unlink()

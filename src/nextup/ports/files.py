"""Plain folders: raw data and artifacts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable


class Files(Protocol):
    """Names are relative, with `/` between their parts; `..` and absolute names are refused."""

    def list(self, folder: str = "") -> list[str]:
        """The names directly in the folder, sorted; folders end in `/`. Absent: empty."""
        ...

    def exists(self, name: str) -> bool: ...

    def size(self, name: str) -> int:
        """In bytes. Raises NotFound."""
        ...

    def modified_at(self, name: str) -> datetime:
        """When the file was last written; aware, UTC. Raises NotFound, also for a folder."""
        ...

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """For reading. Raises NotFound."""
        ...

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """For writing: the file appears, whole and durable, under its name when the block ends;
        after an error or a kill the old one is still there. Makes the folders above it."""
        ...

    def append(self, name: str, data: bytes, *, committed: int) -> int:
        """Cut the file back to its first `committed` bytes, add `data` durably, and return the
        new length: repeating an append after a kill does not double it."""
        ...

    def replace_folder(self, name: str) -> AbstractContextManager[Path]:
        """A new local folder to fill; it takes the place of `name` as a whole when the block
        ends, and nothing changes after an error or a kill."""
        ...

    def make_folder(self, name: str) -> None:
        """Make the folder and those above it; one that is there stays as it is. Raises InvalidInput
        where a file has the name."""
        ...

    def move(self, name: str, target: str) -> None:
        """Give a file, or a folder with all in it, another name, in one step; makes the folders
        above that. Raises NotFound where nothing has the name, Conflict where the other is taken,
        and then changes nothing."""
        ...

    def remove(self, name: str) -> bool:
        """A file, or a folder with all in it; returns whether it was there."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class SupportsLocalPath(Protocol):
    """Is on this machine's disk, so that arrays can be memory-mapped."""

    def local_path(self, name: str) -> Path: ...


@runtime_checkable
class HasUrls(Protocol):
    """Other programs can open its files where they lie."""

    def url_of(self, name: str) -> str:
        """As they name it; whether it is there or not."""
        ...

"""Files on this machine's disk, or on a disk that it mounts.

Everything is first written under `.nextup/` in the root, which is on the same disk, made durable
there, and then renamed to its name: a kill leaves the old file or the new one, and at most
something in `.nextup/` that the next one to open the root sweeps away.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nextup.adapters.files.copying import FolderBackup
from nextup.adapters.files.durable import (
    disk_errors,
    full_disk_errors,
    make_durable,
    make_folders,
    sync_folder,
    sync_tree,
    write_all,
)
from nextup.adapters.files.naming import STAGING, place_of, refuse_move, refuse_shorter
from nextup.adapters.files.staging import Staging
from nextup.domain.errors import ConfigurationError, InvalidInput, NotFound

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO


class LocalFiles(FolderBackup):
    """A folder of the local disk; it is made when something is first written.

    Several processes may share it. `append` to one file is for one writer at a time.
    """

    def __init__(self, root: Path | str, *, folders: Mapping[str, str] | None = None) -> None:
        """`folders` says where some of the first folders of names are kept."""
        self._root = Path(root).absolute()
        self._folders = folders or {}
        if self._root.exists() and not self._root.is_dir():
            raise ConfigurationError(
                f"{self._root} is not a folder.", cure="Set NEXTUP_FILES_URL to one."
            )
        self._staging = Staging(self._root)
        with disk_errors(str(self._root)):
            self._staging.settle()
            self._staging.sweep()

    def list(self, folder: str = "") -> builtins.list[str]:
        """The names directly in the folder, sorted; folders end in `/`. Absent: empty."""
        path = self._settled(self._path(folder)) if folder else self._root
        if not os.path.isdir(path):
            return []
        with disk_errors(folder), os.scandir(path) as entries:
            names = [entry.name + "/" * entry.is_dir() for entry in entries]
        return sorted(name for name in names if folder or name != f"{STAGING}/")

    def exists(self, name: str) -> bool:
        """Whether there is a file or folder of the name."""
        path = self._path(name)
        with disk_errors(name):
            return self._staging.is_there(path)

    def size(self, name: str) -> int:
        """In bytes. Raises NotFound, also for a folder."""
        with disk_errors(name):
            return self._file(name).stat().st_size

    def modified_at(self, name: str) -> datetime:
        """When it was last written. Raises NotFound, also for a folder."""
        with disk_errors(name):
            return datetime.fromtimestamp(self._file(name).stat().st_mtime, UTC)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """For reading. Raises NotFound, also for a folder. A file that is replaced or removed
        meanwhile is read on as it was."""
        with disk_errors(name):
            stream = self._opened(name)
        with stream:
            yield stream

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """For writing; see the port. Of two at once, the one that ends last wins."""
        path = self._new_file(name)
        with self._staging.file(name) as (staged, stream):
            with full_disk_errors(name):
                yield stream
            with disk_errors(name):
                make_durable(stream)
                make_folders(path.parent)
                staged.replace(path)
                sync_folder(path.parent)

    def append(self, name: str, data: bytes, *, committed: int) -> int:
        """Cut back to `committed` bytes, add `data`, return the new length. Raises CorruptData,
        and changes nothing, where the file is shorter than that."""
        path = self._new_file(name)
        with disk_errors(name):
            new = not self._settled(path).exists()
            refuse_shorter(name, 0 if new else path.stat().st_size, committed)
            make_folders(path.parent)
            with path.open("ab", buffering=0) as stream:  # a buffer might write after a failure
                try:
                    stream.truncate(committed)
                    write_all(stream, data)
                    make_durable(stream)
                except OSError:
                    stream.truncate(committed)
                    raise
            if new:
                sync_folder(path.parent)
        return committed + len(data)

    @contextmanager
    def replace_folder(self, name: str) -> Iterator[Path]:
        """A new folder to fill; see the port.

        Where the name is taken this needs two renames: the old one aside, the new one in. For the
        moment between them a reader who misses the name waits. A kill in that moment leaves a note
        of what was under way; whoever next opens the root, or misses the name, moves the old
        folder back.
        """
        target = self._path(name)
        with self._staging.folder(name) as staged:
            with full_disk_errors(name):
                yield staged
            with disk_errors(name):
                sync_tree(staged)
                make_folders(target.parent)
                self._staging.swap(staged, target)

    def make_folder(self, name: str) -> None:
        """Make the folder and those above it, durably; see the port."""
        path = self._settled(self._path(name))
        if path.exists() and not path.is_dir():
            raise InvalidInput(f"{name!r} names a file.", cure="Choose another name.")
        with disk_errors(name):
            make_folders(path)

    def move(self, name: str, target: str) -> None:
        """By one rename; see the port. Whoever creates the other name at the same moment may lose
        what they wrote."""
        path, wanted = self._settled(self._path(name)), self._settled(self._path(target))
        refuse_move(name, target, there=os.path.lexists(path), taken=os.path.lexists(wanted))
        with disk_errors(name):
            make_folders(wanted.parent)
            path.rename(wanted)
            sync_folder(wanted.parent)
            sync_folder(path.parent)

    def remove(self, name: str) -> bool:
        """A file, or a folder with all in it, as a whole; returns whether it was there."""
        path = self._settled(self._path(name))
        if not os.path.lexists(path):
            return False
        with self._staging.folder(name) as aside, disk_errors(name):
            try:
                path.rename(aside / "removed")
            except FileNotFoundError:  # somebody else was faster
                return False
            sync_folder(path.parent)
        return True

    def local_path(self, name: str) -> Path:
        """Where it is, or would be. What is mapped stays readable when its name is replaced."""
        return self._settled(self._path(name))

    def backup_root(self) -> Path:
        """The root."""
        return self._root

    def url_of(self, name: str) -> str:
        """As in the port."""
        return f"file://{self._path(name)}"

    def close(self) -> None:
        """Nothing is held that must be released."""

    def _path(self, name: str) -> Path:
        """The absolute path. A `/` at the end is allowed, since `list` writes folders so."""
        return self._root.joinpath(*place_of(name, self._folders))

    def _settled(self, path: Path) -> Path:
        """The path, once a replacement that was interrupted or is under way is settled."""
        if not os.path.lexists(path):
            with disk_errors(path.name):
                self._staging.is_there(path)
        return path

    def _file(self, name: str) -> Path:
        path = self._settled(self._path(name))
        if name.endswith("/") or os.path.isdir(path):
            raise NotFound(f"{name!r} is not a file.")
        return path

    def _opened(self, name: str) -> BinaryIO:
        """Again, when a folder above it was replaced between finding the file and opening it."""
        while True:
            path = self._file(name)
            try:
                return path.open("rb")
            except FileNotFoundError:
                if not self._staging.is_there(path):
                    raise

    def _new_file(self, name: str) -> Path:
        path = self._path(name)
        if name.endswith("/") or os.path.isdir(path):
            raise InvalidInput(f"{name!r} names a folder.", cure="Choose another name.")
        return path

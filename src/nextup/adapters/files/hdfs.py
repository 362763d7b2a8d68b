"""Files on HDFS, through its own protocol and without a JVM on our side.

As on a local disk, everything is first written under `.nextup/` in the root and then renamed to
its name. A file is replaced by one rename of the NameNode, which is atomic; for a folder that is
there already HDFS needs two, see `hdfs_swap`.
"""

from __future__ import annotations

import io
import tempfile
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import uuid4

from hdfs_native import Client

from nextup.adapters.files.hdfs_errors import hdfs_errors, is_leased
from nextup.adapters.files.hdfs_streams import ReadStream, WriteStream
from nextup.adapters.files.hdfs_swap import Swapping
from nextup.adapters.files.naming import STAGING, parts_of, place_of, refuse_move, refuse_shorter
from nextup.domain.errors import ConfigurationError, InvalidInput, NextupError, NotFound

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from hdfs_native import FileReader, FileStatus, FileWriter

CLIENT: Final = {  # Hadoop's own names
    "dfs.client.failover.max.attempts": "3",
    "dfs.client.failover.sleep.base.millis": "100",
    "dfs.client.failover.sleep.max.millis": "1000",
    "dfs.client.socket-timeout": "10000",
}
BUFFER_BYTES: Final = 1 << 20  # between us and the DataNodes
LEFT_SECONDS: Final = 86_400.0  # what was staged longer ago belongs to nobody any more
LEASE_SECONDS: Final = 30.0  # for the NameNode to close what a dead writer had open
LEASE_PAUSE_SECONDS: Final = 0.2


class HdfsFiles:
    """A folder of HDFS; it is made when something is first written.

    Several processes may share it. `append` to one file is for one writer at a time. HDFS allows
    no ':' in a name: it is kept as '%3A', and '%' as '%25'.
    """

    def __init__(
        self,
        url: str,
        *,
        copies: Path,
        prefix: str = "",
        folders: Mapping[str, str] | None = None,
    ) -> None:
        """`url` is `hdfs://host:port/folder`, or names a service of Hadoop's configuration, which
        lies where HADOOP_CONF_DIR says. `copies` is a local folder for what must be mapped into
        memory; `folders` says where some of the first folders of names are kept."""
        parts = urlsplit(url)
        self._place = f"{parts.scheme}://{parts.netloc}"
        self._root = "/" + "/".join(filter(None, [*parts.path.split("/"), prefix]))
        self._copies = copies
        self._folders = folders or {}
        self._client = _connect(self._place)
        self._swapping = Swapping(self._client, self._place, f"{self._root.rstrip('/')}/{STAGING}")
        self._swept = False

    def list(self, folder: str = "") -> builtins.list[str]:
        """The names directly in the folder, sorted; folders end in `/`. Absent: empty."""
        path = self._path(folder) if folder else self._root
        found = self._swapping.find(path)
        if found is None or not found.isdir:
            return []
        with self._errors(folder), suppress(FileNotFoundError):
            entries = [
                _unquoted(entry.path.rpartition("/")[2]) + "/" * entry.isdir
                for entry in self._client.list_status(path)
            ]
            return sorted(name for name in entries if folder or name != f"{STAGING}/")
        return []

    def exists(self, name: str) -> bool:
        """Whether there is a file or folder of the name."""
        return self._swapping.find(self._path(name)) is not None

    def size(self, name: str) -> int:
        """In bytes. Raises NotFound, also for a folder."""
        return int(self._file(name).length)

    def modified_at(self, name: str) -> datetime:
        """When it was last written. Raises NotFound, also for a folder."""
        return datetime.fromtimestamp(self._file(name).modification_time / 1000, UTC)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """For reading. Raises NotFound, also for a folder."""
        reader = self._reader(name)
        with io.BufferedReader(ReadStream(reader, self._place), BUFFER_BYTES) as stream:
            yield stream

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """For writing; see the port. Of two at once, the one that ends last wins."""
        path = self._new_file(name)
        staged = self._staged()
        with self._errors(name):
            writer = WriteStream(self._client.create(staged), self._place)
        stream = io.BufferedWriter(writer, BUFFER_BYTES)
        try:
            yield stream
            stream.flush()
            writer.sync()
            stream.close()
            with self._errors(name):
                self._make_folder_of(path)
                self._client.rename(staged, path, overwrite=True)
        finally:
            self._forget(staged, stream)

    def append(self, name: str, data: bytes, *, committed: int) -> int:
        """Cut back to `committed` bytes, add `data`, return the new length. Raises CorruptData,
        and changes nothing, where the file is shorter than that."""
        path = self._new_file(name)
        writer = self._writer_at(name, path, committed)
        if writer is None:
            self._rewrite(name, data, committed)
        else:
            with self._errors(name):
                writer.write(data)
                writer.hsync()
                writer.close()
        return committed + len(data)

    @contextmanager
    def replace_folder(self, name: str) -> Iterator[Path]:
        """A new local folder to fill, which is copied to HDFS when the block ends; see the port."""
        target = self._path(name)
        with tempfile.TemporaryDirectory(prefix="nextup-") as filling:
            yield Path(filling)
            staged = self._staged()
            try:
                with self._errors(name):
                    self._client.mkdirs(staged, create_parent=True)
                    self._copy_in(Path(filling), staged)
                    self._make_folder_of(target)
                self._swapping.swap(staged, target)
            finally:
                self._forget(staged)

    def make_folder(self, name: str) -> None:
        """Make the folder and those above it; see the port."""
        found = self._swapping.find(self._path(name))
        if found is not None and not found.isdir:
            raise InvalidInput(f"{name!r} names a file.", cure="Choose another name.")
        with self._errors(name):
            self._client.mkdirs(self._path(name), create_parent=True)

    def move(self, name: str, target: str) -> None:
        """By one rename of the NameNode; see the port."""
        path, wanted = self._path(name), self._path(target)
        there = self._swapping.find(path) is not None
        taken = there and self._swapping.find(wanted) is not None
        refuse_move(name, target, there=there, taken=taken)
        with self._errors(name):
            self._make_folder_of(wanted)
            try:
                self._client.rename(path, wanted)
            except FileExistsError:  # somebody else was faster
                refuse_move(name, target, there=True, taken=True)

    def remove(self, name: str) -> bool:
        """A file, or a folder with all in it, as a whole; returns whether it was there."""
        path = self._path(name)
        if self._swapping.find(path) is None:
            return False
        aside = self._staged()
        with self._errors(name):
            try:
                self._client.rename(path, aside)
            except FileNotFoundError:  # somebody else was faster
                return False
            self._client.delete(aside, recursive=True)
        return True

    def local_path(self, name: str) -> Path:
        """A copy on this machine's disk, shared by its processes and made anew once the name has
        been replaced. What is mapped stays readable."""
        found = self._swapping.find(self._path(name))
        copies = self._copies.joinpath(*(_quoted(part) for part in parts_of(name)))
        if found is None:
            return copies / "absent"
        copy = copies / str(found.modification_time)
        if not copy.exists():
            copies.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=copies, prefix=".") as filling:
                made = Path(filling) / "copy"
                self._copy_out(name, made, folder=found.isdir)
                with suppress(OSError):  # another process was faster
                    made.rename(copy)
        return copy

    def url_of(self, name: str) -> str:
        """As in the port."""
        return f"{self._place}{self._path(name)}"

    def close(self) -> None:
        """Nothing is held that must be released."""

    # ---- inside

    def _path(self, name: str) -> str:
        return "/".join([self._root.rstrip("/"), *map(_quoted, place_of(name, self._folders))])

    def _file(self, name: str) -> FileStatus:
        found = self._swapping.find(self._path(name))
        if found is None or found.isdir or name.endswith("/"):
            raise NotFound(f"{name!r} is not a file.")
        return found

    def _reader(self, name: str) -> FileReader:
        """Again, when a folder above it was replaced between finding the file and opening it."""
        while True:
            self._file(name)
            with self._errors(name), suppress(FileNotFoundError):
                return self._client.read(self._path(name))

    def _new_file(self, name: str) -> str:
        path = self._path(name)
        found = self._swapping.find(path)
        if name.endswith("/") or (found is not None and found.isdir):
            raise InvalidInput(f"{name!r} names a folder.", cure="Choose another name.")
        return path

    def _staged(self) -> str:
        """A name in the staging folder, which is made and swept when it is first needed."""
        folder = f"{self._root.rstrip('/')}/{STAGING}"
        if not self._swept:
            with self._errors(folder):
                self._client.mkdirs(folder, create_parent=True)
                for entry in self._client.list_status(folder):
                    if time.time() - entry.modification_time / 1000 > LEFT_SECONDS:
                        self._client.delete(entry.path, recursive=True)
            self._swept = True
        return f"{folder}/{uuid4().hex}"

    def _make_folder_of(self, path: str) -> None:
        self._client.mkdirs(path.rpartition("/")[0] or "/", create_parent=True)

    def _writer_at(self, name: str, path: str, committed: int) -> FileWriter | None:
        """A writer at the file's end; None where that is not at the committed length. What a
        writer that died had open is closed first, and may be longer then."""
        deadline = time.monotonic() + LEASE_SECONDS
        while True:
            found = self._swapping.find(path)
            length = 0 if found is None else found.length
            refuse_shorter(name, length, committed)
            if found is None or length > committed:
                return None
            with self._errors(name):
                try:
                    return self._client.append(path)
                except (RuntimeError, FileExistsError) as error:  # the latter: it was ourselves
                    if not is_leased(error) or time.monotonic() > deadline:
                        raise
                    self._client.recover_lease(path)
            time.sleep(LEASE_PAUSE_SECONDS)

    def _rewrite(self, name: str, data: bytes, committed: int) -> None:
        """HDFS's protocol could cut a file off, its client here cannot: write what stays again."""
        with self.create(name) as stream:
            left = committed
            if left:
                with self.open(name) as old:
                    while left:
                        chunk = old.read(min(left, BUFFER_BYTES))
                        left -= stream.write(chunk)
            stream.write(data)

    def _copy_in(self, folder: Path, target: str) -> None:
        for entry in sorted(folder.iterdir()):
            path = f"{target}/{_quoted(entry.name)}"
            if entry.is_dir():
                self._client.mkdirs(path)
                self._copy_in(entry, path)
                continue
            with entry.open("rb") as source, self._client.create(path) as writer:
                while chunk := source.read(BUFFER_BYTES):
                    writer.write(chunk)
                writer.hsync()

    def _copy_out(self, name: str, target: Path, *, folder: bool) -> None:
        if folder:
            target.mkdir()
            for entry in self.list(name):
                below = f"{name.removesuffix('/')}/{entry}"
                self._copy_out(below, target / entry, folder=entry.endswith("/"))
            return
        with self.open(name) as source, target.open("wb") as copy:
            while chunk := source.read(BUFFER_BYTES):
                copy.write(chunk)

    def _forget(self, staged: str, stream: BinaryIO | None = None) -> None:
        """Remove what was staged and not renamed; a sweep finds what cannot be removed now."""
        if stream is not None and not stream.closed:
            with suppress(NextupError, OSError, ValueError):
                stream.close()
        with suppress(OSError, RuntimeError):
            self._client.delete(staged, recursive=True)

    def _errors(self, name: str) -> AbstractContextManager[None]:
        return hdfs_errors(name, self._place)


def _connect(place: str) -> Client:
    try:
        return Client(place, config=CLIENT)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"{place} does not name an HDFS: {error}.",
            cure="Write files_url as hdfs://host:port/folder.",
        ) from error


def _quoted(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A")


def _unquoted(part: str) -> str:
    return part.replace("%3A", ":").replace("%25", "%")

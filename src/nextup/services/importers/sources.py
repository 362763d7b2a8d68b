"""A data set as its owner has it: a zip archive or a folder. Nothing is unpacked to disk."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nextup.domain.errors import BackendUnavailable, CorruptData, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nextup.ports.files import Files

_BLOCK = 1 << 20  # bytes read at once


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a manifest says about one file."""

    name: str
    bytes: int
    lines: int
    sha256: str

    @property
    def digest(self) -> str:
        """The short form that event ids carry."""
        return self.sha256[:8]


class Source:
    """The files of a zip archive, a folder or a single file, found by their last name."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotFound(f"There is no {path}.", cure="Give the path of a zip file or a folder.")
        self.path = path
        self._is_zip = path.is_file() and zipfile.is_zipfile(path)
        if path.is_file() and path.suffix.lower() == ".zip" and not self._is_zip:
            raise CorruptData(
                f"{path} is damaged: it is no zip archive.", cure="Fetch the file again."
            )
        self._names = self._list()

    def names(self) -> Sequence[str]:
        """All files."""
        return self._names

    def find(self, *names: str) -> str | None:
        """The first of the names that is there, as `open` wants it; the shallowest wins."""
        for wanted in names:
            found = [name for name in self._names if name.rsplit("/", 1)[-1].lower() == wanted]
            if found:
                return min(found, key=lambda name: (name.count("/"), name))
        return None

    def need(self, *names: str) -> str:
        """Like `find`; raises InvalidInput when none is there."""
        found = self.find(*names)
        if found is None:
            here = ", ".join(sorted(self._names)[:8]) or "nothing"
            raise InvalidInput(
                f"{self.path} has no {' or '.join(names)}; it has {here}.",
                cure="Give the archive or the folder as the publisher made it.",
            )
        return found

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """For reading. Damage that shows while reading raises CorruptData."""
        try:
            if self._is_zip:
                with zipfile.ZipFile(self.path) as archive, archive.open(name) as stream:
                    yield stream
            else:
                root = self.path if self.path.is_dir() else self.path.parent
                with (root / name).open("rb") as stream:
                    yield stream
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise CorruptData(
                f"{name} in {self.path} is damaged: {error}.", cure="Fetch the file again."
            ) from error
        except (RuntimeError, NotImplementedError) as error:  # encrypted, or an odd compression
            raise InvalidInput(
                f"{name} in {self.path} cannot be read: {error}.", cure="Unpack it first."
            ) from error
        except OSError as error:
            raise BackendUnavailable(
                f"{name} in {self.path} cannot be read: {error.strerror or error}."
            ) from error

    def survey(self, name: str, *, copy_to: Callable[[bytes], object] | None = None) -> FileFacts:
        """Read the file once for its size, lines and hash; hands the bytes on, if asked."""
        digest, size, lines, last = hashlib.sha256(), 0, 0, b"\n"
        with self.open(name) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
                lines += block.count(b"\n")
                last = block[-1:]
                if copy_to is not None:
                    copy_to(block)
        lines += last != b"\n"
        return FileFacts(name.rsplit("/", 1)[-1], size, lines, digest.hexdigest())

    def _list(self) -> Sequence[str]:
        """Every file, as `open` wants it."""
        if self._is_zip:
            with zipfile.ZipFile(self.path) as archive:
                return [name for name in archive.namelist() if not name.endswith("/")]
        if self.path.is_file():
            return [self.path.name]
        # one level of subfolders is what an unpacked archive has
        found = [*self.path.glob("*"), *self.path.glob("*/*")]
        return [file.relative_to(self.path).as_posix() for file in found if file.is_file()]


class StoredSource(Source):
    """The files of a folder of the platform's own, wherever that is."""

    def __init__(self, files: Files, folder: str) -> None:
        self.path = Path(folder)
        self._files = files
        self._names = self._list()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """For reading."""
        with self._files.open(f"{self.path}/{name}") as stream:
            yield stream

    def _list(self) -> Sequence[str]:
        return [name for name in self._files.list(str(self.path)) if not name.endswith("/")]

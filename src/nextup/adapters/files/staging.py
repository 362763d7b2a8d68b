"""Where files and folders are made before they take their names."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from nextup.adapters.files.durable import (
    disk_errors,
    make_durable,
    make_folders,
    remove_any,
    sync_folder,
)
from nextup.adapters.files.naming import STAGING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_LOCK: Final = "lock"
_NOTE: Final = "swap.json"


class Staging:
    """The folder `.nextup` of a root, shared by every process that has the root open.

    An entry's maker holds a file lock on it, which the system releases when the maker dies: an
    entry that can be locked is rubbish. `.nextup/lock` is held while an entry is made, while
    rubbish is swept, and while a folder is swapped. `.nextup/swap.json` says which folder is being
    swapped, so whoever holds the lock and finds that note knows that its writer died.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / STAGING
        self._note = self._folder / _NOTE

    @contextmanager
    def file(self, name: str) -> Iterator[tuple[Path, BinaryIO]]:
        """A new file to write and to rename; removed at the end if it was not renamed."""
        with disk_errors(name), self._locked():
            staged = self._folder / uuid4().hex
            stream = staged.open("xb")
            fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            yield staged, stream
        finally:
            with suppress(OSError):  # closing writes what is left, to a file that nobody wants
                stream.close()
            remove_any(staged)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A new folder to fill and to rename; removed at the end if it was not renamed."""
        with disk_errors(name), self._locked():
            staged = self._folder / uuid4().hex
            staged.mkdir()
            descriptor = os.open(staged, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield staged
        finally:
            remove_any(staged)
            os.close(descriptor)

    def swap(self, staged: Path, target: Path) -> None:
        """Put the staged folder in the place of the target, which may be absent."""
        aside = self._folder / uuid4().hex
        with self._locked():
            self._undo_swap()
            if os.path.lexists(target):
                self._write_note(target, aside)
            try:
                if self._note.exists():
                    target.rename(aside)
                staged.rename(target)
                sync_folder(target.parent)
            finally:
                self._undo_swap()
        remove_any(aside)

    def settle(self) -> None:
        """Wait for a swap that is under way, and undo one whose process died in the middle."""
        if self._note.exists():
            with self._locked():
                self._undo_swap()

    def is_there(self, path: Path) -> bool:
        """Whether the name is taken. A miss is believed only when no swap can be under way."""
        if os.path.lexists(path):
            return True
        if not self._folder.is_dir():
            return False
        with self._locked():
            self._undo_swap()
            return os.path.lexists(path)

    def sweep(self) -> None:
        """Remove what dead processes left. Where that is not permitted it stays."""
        if not self._folder.is_dir():
            return
        with suppress(OSError), self._locked():
            for entry in self._folder.iterdir():
                if entry.name not in {_LOCK, _NOTE}:
                    _remove_ownerless(entry)

    def _write_note(self, target: Path, aside: Path) -> None:
        note = {"target": str(target.relative_to(self._root)), "aside": aside.name}
        with self._note.open("xb") as stream:
            stream.write(json.dumps(note).encode())
            make_durable(stream)
        sync_folder(self._folder)

    def _undo_swap(self) -> None:
        """Move the old folder back unless the new one has its place. Needs the lock."""
        try:
            note = json.loads(self._note.read_bytes())
        except FileNotFoundError:
            return
        except ValueError:  # half a note: its writer died before it moved anything
            note = None
        if note is not None:
            target, aside = self._root / note["target"], self._folder / note["aside"]
            if os.path.lexists(aside) and not os.path.lexists(target):
                aside.rename(target)
                sync_folder(target.parent)
        self._note.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold `.nextup/lock`, against other threads too."""
        make_folders(self._folder)
        descriptor = os.open(self._folder / _LOCK, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)  # which releases it


def _remove_ownerless(entry: Path) -> None:
    descriptor = os.open(entry, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        remove_any(entry)
    finally:
        os.close(descriptor)

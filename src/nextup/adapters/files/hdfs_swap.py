"""Putting a folder in the place of another on HDFS, which renames onto empty folders only.

Two renames are needed: the old one aside, the new one in. A note in the staging folder says so
while that lasts. Creating it is atomic, so only one process at a time swaps a name; a reader who
misses a name and finds a note that concerns it looks again. A note that stays the same for long
belongs to a process that died: whoever meets it moves the old folder back.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from nextup.adapters.files.hdfs_errors import hdfs_errors
from nextup.domain.errors import Conflict

if TYPE_CHECKING:
    from hdfs_native import Client, FileStatus

NOTE: Final = "swap-"  # + the name's digest
DEAD_SECONDS: Final = 10.0  # two renames take some milliseconds
PAUSE_SECONDS: Final = 0.02
LOOKS: Final = 3  # in a row that must miss a name, with no note, before the miss is believed


class Swapping:
    """Finds names and swaps folders below one root."""

    def __init__(self, client: Client, place: str, staging: str) -> None:
        self._client = client
        self._place = place
        self._staging = staging

    def find(self, path: str) -> FileStatus | None:
        """What has the name; None if nothing has. Waits where it is just being swapped."""
        with hdfs_errors(path, self._place):
            misses = 0
            while misses < LOOKS:
                found = self._look(path)
                if found is not None:
                    return found
                note = self._note_about(path)
                if note is None:
                    misses += 1
                else:
                    misses = 0
                    self._wait_for(note)
            return None

    def swap(self, staged: str, target: str) -> None:
        """Put the staged folder in the place of the target, which may be absent."""
        with hdfs_errors(target, self._place):
            note, aside = self._note(target), f"{self._staging}/{uuid4().hex}"
            self._take(note, target, aside)
            try:
                with suppress(FileNotFoundError):
                    self._client.rename(target, aside)
                self._client.rename(staged, target)
            finally:
                self._undo(note)
            self._client.delete(aside, recursive=True)

    def _look(self, path: str) -> FileStatus | None:
        try:
            return self._client.get_file_info(path)
        except FileNotFoundError:
            return None
        except RuntimeError as error:
            if "not a directory" in str(error) or "TooLong" in str(error):  # nothing can be there
                return None
            raise

    def _note(self, path: str) -> str:
        return f"{self._staging}/{NOTE}{hashlib.sha256(path.encode()).hexdigest()[:32]}"

    def _note_about(self, path: str) -> str | None:
        """The note about the name, or about a folder above it."""
        try:
            there = {entry.path for entry in self._client.list_status(self._staging)}
        except FileNotFoundError:
            return None
        while path:
            if (note := self._note(path)) in there:
                return note
            path = path.rpartition("/")[0]
        return None

    def _take(self, note: str, target: str, aside: str) -> None:
        deadline = time.monotonic() + 6 * DEAD_SECONDS
        while True:
            try:
                with self._client.create(note) as writer:
                    writer.write(f"{target}\n{aside}".encode())
            except FileExistsError:
                self._wait_for(note)
                if time.monotonic() > deadline:
                    raise Conflict(
                        f"{target} is being replaced by others all the time.", cure="Try again."
                    ) from None
            else:
                return

    def _wait_for(self, note: str) -> None:
        """Return when the note is gone; one that outlives its writer is undone."""
        deadline = time.monotonic() + DEAD_SECONDS
        while self._look(note) is not None:
            if time.monotonic() > deadline:
                self._undo(note)
                return
            time.sleep(PAUSE_SECONDS)

    def _undo(self, note: str) -> None:
        """Move the old folder back unless the new one has its place, and remove the note."""
        with suppress(FileNotFoundError):
            target, _, aside = self._client.read(note).read().decode().partition("\n")
            if aside and self._look(target) is None:
                self._client.rename(aside, target)
        self._client.delete(note)

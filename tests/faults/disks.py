"""A small disk of its own, which a test may fill up or make read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 64 * 1024
BALLAST = "ballast"


class Disk:
    """A tmpfs; it is there until `unmount`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        _system("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "nextup-test", str(folder))

    @property
    def free(self) -> int:
        """Bytes."""
        return shutil.disk_usage(self.folder).free

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes free, to the next page."""
        with (self.folder / BALLAST).open("ab", buffering=0) as ballast:
            while (room := self.free - leave) > 0:
                try:
                    written = ballast.write(b"\0" * min(CHUNK, room))
                except OSError:
                    return
                if not written:
                    return

    def clear(self) -> None:
        """Take back what `fill` took."""
        (self.folder / BALLAST).unlink(missing_ok=True)

    def make_read_only(self) -> None:
        _system("mount", "-o", "remount,ro", str(self.folder))

    def make_writable(self) -> None:
        _system("mount", "-o", "remount,rw", str(self.folder))

    def unmount(self) -> None:
        _system("umount", "--lazy", str(self.folder))


def small_disk(folder: Path, megabytes: int) -> Disk:
    """Skips the test where mounting is not permitted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        return Disk(folder, megabytes)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")


def _system(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)

"""SupportsBackup for adapters that keep everything in one folder of the local disk."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from nextup.adapters.files.durable import disk_errors, sync_tree
from nextup.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path

    StrPath = str | PathLike[str]


class FolderBackup(ABC):
    """Copies files as they are, while others may add some. What was there at the beginning is
    whole in the copy if nobody removes it meanwhile, which is up to whoever calls."""

    copied_first: ClassVar[tuple[str, ...]] = ()
    """Names of files and folders, at any depth, that are copied before all others, in this order:
    a file that says which others there are must not be newer than they."""

    @abstractmethod
    def backup_root(self) -> Path | None:
        """The folder; None where it is not on this machine's disk."""

    def backup(self, folder: Path) -> None:
        """Raises ConfigurationError for a folder that is elsewhere."""
        root = self._local_root()
        if root.is_dir():
            with disk_errors(str(root)):
                for number, name in enumerate(self.copied_first):
                    for found in sorted(root.rglob(name)):
                        done = self.copied_first[:number]
                        _copy(found, folder / found.relative_to(root), without=done)
                _copy(root, folder, without=self.copied_first)

    def restore(self, folder: Path) -> None:
        """The new folder is made whole beside the old one, which it then replaces."""
        root = self._local_root()
        fresh, old = root.with_name(root.name + ".restored"), root.with_name(root.name + ".old")
        with disk_errors(str(root)):
            for leftover in (fresh, old):
                shutil.rmtree(leftover, ignore_errors=True)
            shutil.copytree(folder, fresh)
            sync_tree(fresh)
            if root.exists():
                root.rename(old)
            fresh.rename(root)
            shutil.rmtree(old, ignore_errors=True)

    def _local_root(self) -> Path:
        root = self.backup_root()
        if root is None:
            raise ConfigurationError(
                "Only folders on this machine's disk can be copied yet.",
                cure="Use the tools of the file system that holds it.",
            )
        return root


def _copy(source: Path, target: Path, *, without: Sequence[str]) -> None:
    """A file, or a folder but for what has one of the names."""
    if source.is_dir():
        shutil.copytree(
            source,
            target,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns(*without),
            copy_function=_copy_if_there,
        )
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy_if_there(source, target)


def _copy_if_there(source: StrPath, target: StrPath) -> None:
    """A file that is gone was a temporary one of somebody who writes. Other errors end the copy:
    `copytree` would go on, and lose what the system said."""
    with disk_errors(str(target)), suppress(FileNotFoundError):
        shutil.copy2(source, target)

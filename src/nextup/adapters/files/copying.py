"""SupportsBackup for adapters that keep everything in one folder of the local disk."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from nextup.adapters.files.durable import disk_errors, sync_tree
from nextup.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


class FolderBackup(ABC):
    """Copies files as they are. Whoever calls sees to it that nobody writes meanwhile."""

    @abstractmethod
    def backup_root(self) -> Path | None:
        """The folder; None where it is not on this machine's disk."""

    def backup(self, folder: Path) -> None:
        """Raises ConfigurationError for a folder that is elsewhere."""
        root = self._local_root()
        if root.is_dir():
            with disk_errors(str(root)):
                shutil.copytree(root, folder, dirs_exist_ok=True)

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

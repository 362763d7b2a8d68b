"""SupportsTrial for the lake, wherever it lies: a file beside the tables, which no table knows."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import deltalake
from deltalake._internal import DeltaFileSystemHandler  # the public one wants PyArrow

from nextup.adapters.files.copying import FolderBackup
from nextup.adapters.lake.delta_errors import translated
from nextup.domain.errors import CorruptData
from nextup.ports.trial import Trial

if TYPE_CHECKING:
    from nextup.adapters.lake.delta_folder import DeltaFolder

_NAME: Final = ".doctor-"


class TriedFolder(FolderBackup):
    """Goes the way that the tables' own files go: the same driver, the same options."""

    _folder: DeltaFolder
    _options: dict[str, str] | None

    def trial(self) -> Trial:
        """As in the port."""
        root, name, content = (
            self._folder.root,
            _NAME + secrets.token_hex(8),
            secrets.token_bytes(16),
        )
        with translated(f"The lake in {root}"):
            self._folder.make_root()
            store = DeltaFileSystemHandler(root, self._options)
            stream = store.open_output_stream(name)
            try:
                stream.write(content)
            finally:
                stream.close()  # type: ignore[attr-defined]  # which its stubs forget
            try:
                found = store.open_input_file(name).read(len(content))
            finally:
                store.delete_file(name)
        if found != content:
            raise CorruptData(f"The lake in {root} gave back other bytes than it was given.")
        return Trial(f"Delta (delta-rs {deltalake.__version__})")

"""What may name a file or folder, on every backend."""

from __future__ import annotations

import os
from typing import Final

from nextup.domain.errors import CorruptData, InvalidInput

STAGING: Final = ".nextup"
"""The folder of a root in which files and folders are made before they take their names."""


def parts_of(name: str) -> list[str]:
    """The name's parts. A `/` at the end is allowed, since `list` writes folders so.

    Raises InvalidInput for what leads elsewhere, and for what no disk can hold.
    """
    parts = name.removesuffix("/").split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts) or parts[0] == STAGING:
        raise InvalidInput(
            f"{name!r} cannot name a file or folder.",
            cure=f"Names are relative, with '/' between non-empty parts, none of them "
            f"'.' or '..', and do not begin with '{STAGING}'.",
        )
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name!r} is not text that a disk can hold.") from error
    return parts


def refuse_shorter(name: str, size: int, committed: int) -> None:
    """Raise CorruptData for a file that has lost some of what was committed."""
    if size < committed:
        raise CorruptData(
            f"{name!r} has {size} bytes, but {committed} were committed.",
            cure="Restore it from a backup, or remove it and write it again from the start.",
        )

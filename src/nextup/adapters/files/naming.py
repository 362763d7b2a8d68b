"""What may name a file or folder, on every backend."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from nextup.domain.errors import Conflict, CorruptData, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def place_of(name: str, folders: Mapping[str, str]) -> list[str]:
    """The parts of where it is kept: `folders` says where the platform's own folders are."""
    first, *rest = parts_of(name)
    return [*parts_of(folders.get(first, first)), *rest]


def refuse_move(name: str, target: str, *, there: bool, taken: bool) -> None:
    """Raise NotFound or Conflict for a move that cannot be."""
    if not there:
        raise NotFound(f"There is no {name!r}.")
    if taken:
        raise Conflict(
            f"{target!r} is there already; {name!r} was not moved.", cure="Choose another name."
        )


def refuse_shorter(name: str, size: int, committed: int) -> None:
    """Raise CorruptData for a file that has lost some of what was committed."""
    if size < committed:
        raise CorruptData(
            f"{name!r} has {size} bytes, but {committed} were committed.",
            cure="Restore it from a backup, or remove it and write it again from the start.",
        )

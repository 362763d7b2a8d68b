"""Opaque marks of where a page ended. What is in one is ours to change."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, TypeVar

import msgspec
from fastapi import Query

from nextup.domain.errors import InvalidInput

T = TypeVar("T")

LONGEST = 4_000  # characters; a mark may hold an item's title and id
Cursor = Annotated[
    str | None,
    Query(max_length=LONGEST, description="Where the page before ended: its `next_cursor`."),
]


def write_cursor(mark: object) -> str:
    """The mark as text that survives in a URL."""
    return urlsafe_b64encode(msgspec.json.encode(mark)).rstrip(b"=").decode()


def read_cursor(text: str, kind: type[T]) -> T:
    """The inverse of `write_cursor`. Raises InvalidInput for anything that is no mark of this
    kind."""
    try:
        packed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(packed, type=kind)
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(
            "The cursor is not one of ours.", cure="Begin again without it."
        ) from error

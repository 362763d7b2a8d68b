"""Ids that must be whole numbers, because other programs read them as such."""

from __future__ import annotations

from typing import Final

from nextup.domain.errors import InvalidInput

LARGEST: Final = 2**31 - 1  # of an `int` in Cassandra


def is_int(text: str) -> bool:
    """Whether the id is a whole number, written as such numbers are."""
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(LARGEST))
    return plain and str(int(text)) == text and abs(int(text)) <= LARGEST


def int_id(text: str) -> int:
    """The id as a number. Raises InvalidInput for one that would not come back as it was."""
    if not is_int(text):
        raise InvalidInput(
            f"The id {text!r} is not a whole number.",
            cure='This layout keeps ids as numbers; `contracts.id_type = "int"` checks events.',
        )
    return int(text)

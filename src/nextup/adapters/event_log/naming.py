"""Whether a record that broke a contract is about a certain person."""

from __future__ import annotations

from typing import Any

import msgspec

from nextup.domain.tables import USER_ID


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")


_NAMES = frozenset({_plain(USER_ID), "user", "uid"})  # as people name the column in their files


def names_person(record: str, user_id: str) -> bool:
    """True for JSON in which a field that holds a user's id has this one, at any depth; a number
    counts as its text. False for what is not JSON."""
    try:
        content = msgspec.json.decode(record)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return _names(content, user_id)


def _names(content: Any, user_id: str) -> bool:
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            for name, inner in value.items():
                if _plain(name) in _NAMES and str(inner) == user_id:
                    return True
                waiting.append(inner)
    return False

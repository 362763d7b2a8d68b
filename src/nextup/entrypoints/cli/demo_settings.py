"""The settings of a demo on real servers: somebody's file, and what a demo needs besides."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

from nextup.domain.errors import ConfigurationError, Conflict

if TYPE_CHECKING:
    from pathlib import Path

    from nextup.bootstrap import Platform

NEEDED: Final = (
    ("access", "auth", "none"),  # the demo asks its own API, as anybody on this machine may
    ("stream", "in_server", "yes"),  # what is liked changes the list without a `nextup stream`
)


def settings_from(config: Path) -> str:
    """The file's text; what a demo needs is added where the file says nothing about it.

    Raises ConfigurationError for a file that cannot be read or that says something else.
    """
    try:
        text = config.read_text(encoding="utf-8")
        said = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{config} cannot be read: {error}.", cure="`nextup init` in a new folder shows a file."
        ) from error
    for section, key, value in NEEDED:
        text = _with(text, said.get(section), section, key, value)
    return text


def refuse_what_is_in_use(platform: Platform) -> None:
    """Raise Conflict where items or events are there already: a demo mixes with nobody's data."""
    if platform.catalog.count_items() or any(platform.event_log.head().values()):
        raise Conflict(
            "The servers hold data already; a demo would mix its own with it.",
            cure='Name a tenant of the demo\'s own in the file: tenant = "demo".',
        )


def _with(text: str, said: Any, section: str, key: str, value: str) -> str:
    line = f'{key} = "{value}"'
    if said is None:
        return f"{text.rstrip()}\n\n[{section}]\n{line}\n"
    if key not in said:
        header = re.compile(rf"^\[{section}\][^\n]*$", re.MULTILINE)
        added, times = header.subn(lambda found: f"{found[0]}\n{line}", text, count=1)
        if times:
            return added
    if said.get(key) != value:
        raise ConfigurationError(
            f"The demo needs {section}.{line}.", cure="Give it a file of its own that says so."
        )
    return text

"""The log that a command leaves in the platform's files, where `logs.commands` names a folder.

Commands that do the platform's work leave one, at their end: what they said, what was logged, how
they ended and how long they took. Those that only show something leave none, nor do those that
print credentials.
"""

from __future__ import annotations

import logging
from collections import deque
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.settings import Settings

LOGGED: Final = frozenset(
    {
        *("pipeline run", "train", "publish", "evaluate", "tune", "stream", "schedule"),
        *("events produce", "topics create", "files put", "files make", "files empty"),
        *("ingest sample", "ingest movielens", "ingest goodbooks", "ingest table", "validate"),
        *("history extract", "history archive", "history merge", "history clear"),
        *("lake maintain", "db upgrade", "quarantine readmit", "spark fetch"),
        *("model promote", "model rollback"),
    }
)
MOST_LINES: Final = 10_000  # of a command that runs for weeks, the last ones
_LOGGER: Final = "nextup"


class CommandLog(logging.Handler):
    """Collects a command's lines from its beginning on."""

    def __init__(self, command: str) -> None:
        """`command` is one of LOGGED; of any other nothing is kept."""
        super().__init__()
        self._began = datetime.now(UTC)
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._command = command
        self._settings: Settings | None = None
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def note_settings(self, settings: Settings) -> None:
        """Whose platform it works on; the first one counts."""
        if self._settings is None and self._command in LOGGED and settings.logs.commands:
            self._settings = settings
            logging.getLogger(_LOGGER).addHandler(self)

    def say(self, text: str) -> None:
        """What was printed."""
        at = datetime.now(UTC)
        self._lines += [f"{at:%Y-%m-%dT%H:%M:%SZ} {line}".rstrip() for line in text.splitlines()]

    def emit(self, record: logging.LogRecord) -> None:
        """What was logged; a program that has no other handler goes on telling its warnings."""
        self.say(self.format(record))
        if logging.getLogger(_LOGGER).handlers == [self] and logging.lastResort is not None:
            logging.lastResort.handle(record)

    def leave(self, status: int) -> str:
        """Write it; returns its name, empty where none is kept. What goes wrong is raised as the
        adapter says it."""
        settings = self._settings
        if settings is None:
            return ""
        logging.getLogger(_LOGGER).removeHandler(self)
        from nextup.bootstrap import open_platform

        called = settings.logs.name or self._command.replace(" ", "-")
        name = f"{settings.logs.commands}/{called}-{self._began:%Y%m%dT%H%M%S%fZ}.log"
        seconds = (datetime.now(UTC) - self._began).total_seconds()
        self.say(f"ended with {status} after {seconds:.1f} s")
        first = f"{self._began:%Y-%m-%dT%H:%M:%SZ} nextup {self._command}"
        with open_platform(settings) as platform, platform.files.create(name) as stream:
            stream.write("\n".join([first, *self._lines, ""]).encode(errors="backslashreplace"))
        return name


kept: ContextVar[CommandLog | None] = ContextVar("kept", default=None)
"""Of this program, which is one command."""


def command_of(arguments: Sequence[str]) -> str:
    """Which of LOGGED was typed; empty for any other. Options of a command come after its name."""
    words = list(arguments)
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] == "--tenant" else words[1:]
    names = (" ".join(words[:2]), *words[:1])
    return next((name for name in names if name in LOGGED), "")

"""Logs to standard error, as lines for people or as JSON for machines.

What a request logs carries its request id and who asked. Bodies, headers, query strings and the
tokens in paths are never logged: a secret that is not there cannot leak.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from nextup.settings import Logs

ROOT = "nextup"
EXTRA = ("handler", "method", "status", "milliseconds")  # of a line about a request


class Asked(NamedTuple):
    """The request that is at work here."""

    request_id: str = ""
    client_id: str = ""


NOBODY = Asked()
asked: ContextVar[Asked] = ContextVar("nextup_asked", default=NOBODY)


def configure_logs(settings: Logs) -> None:
    """Let this program log as the settings say. Doing so twice changes nothing more."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.format == "json" else Lines())
    root = logging.getLogger(ROOT)
    for old in root.handlers[:]:
        if isinstance(old, logging.StreamHandler):  # others were put there by whoever listens, too
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    root.propagate = False


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; an exception is one field."""
        at = asked.get()
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if at.request_id:
            line["request_id"] = at.request_id
        if at.client_id:
            line["client_id"] = at.client_id
        line |= {name: vars(record)[name] for name in EXTRA if name in vars(record)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class Lines(logging.Formatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """As usual, with the request's id at the end."""
        line = super().format(record)
        at = asked.get()
        return f"{line} [{at.request_id}]" if at.request_id else line

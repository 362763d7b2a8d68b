"""An optional ability of any backend: show that it can be used, and say what it is."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable


class Trial(NamedTuple):
    """How a trial went well."""

    product: str  # with its version, as `PostgreSQL 15.18`
    clock: datetime | None = None  # the server's, aware; None where it is this machine's
    warning: str = ""  # what works now and may not work later
    cure: str = ""  # what to do about the warning


@runtime_checkable
class SupportsTrial(Protocol):
    """Something is written, read and deleted; nothing of it is left, and nobody else sees it."""

    def trial(self) -> Trial:
        """Raises what writing and reading raise."""
        ...

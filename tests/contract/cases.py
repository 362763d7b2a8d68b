"""The material of the suites of the event log, the catalogue and the control data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nextup.domain.events import Event

if TYPE_CHECKING:
    import threading

BASE = datetime(2024, 3, 1, tzinfo=UTC)

Opener = Callable[..., Any]
"""Opens the backend of the test once more, with the adapter's options."""


def event(number: int, user: str = "ada", **changes: Any) -> Event:
    """An event that differs from those with other numbers."""
    at = BASE + timedelta(seconds=number)
    return Event(f"e{number:06d}", "view", user, f"item-{number % 7}", at)._replace(**changes)


def in_threads(work: list[threading.Thread]) -> None:
    """Run all at once, to their ends."""
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()

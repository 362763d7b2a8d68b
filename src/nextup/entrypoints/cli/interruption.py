"""Ctrl-C and SIGTERM as an event, for work that ends between two steps."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator


@contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that work ends between two steps."""
    import signal
    import threading

    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

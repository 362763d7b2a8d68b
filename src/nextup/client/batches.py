"""Events that are sent many at a time, in the background."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self, Unpack

from nextup.client import calls
from nextup.client.gathering import Counted, Gathering

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from nextup.client.answers import BatchResult
    from nextup.client.calls import Event
    from nextup.client.wishes import EventFields


class Batch(Counted):
    """Gathers events. Safe to share between threads.

    The end of the block sends what is left. When the server refuses a request, or stays away for
    longer than the retries, the next call, or the end of the block, raises BatchFailed with all
    that was not sent; nothing is lost silently.
    """

    def __init__(
        self, send: Callable[[Sequence[Event]], BatchResult], size: int, seconds: float
    ) -> None:
        self._send_now = send
        self._gathering = Gathering(size, seconds)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="nextup-batch", daemon=True)

    def send(
        self,
        type: str,  # noqa: A002 (the word of the events)
        user_id: str,
        item_id: str,
        **fields: Unpack[EventFields],
    ) -> str:
        """Add an event and return its id; it is sent soon. Waits while too many wait."""
        return self.add(calls.event(type, user_id, item_id, **fields))

    def add(self, event: Event) -> str:
        """The same for an event as it is."""
        ready = calls.with_id(event)
        with self._changed:
            self._changed.wait_for(self._gathering.has_room)
            self._gathering.raise_failure()
            self._gathering.add(ready)
            self._changed.notify_all()
        return str(ready["event_id"])

    def flush(self) -> None:
        """Send all that waits, and return when it is durable."""
        with self._changed:
            self._gathering.hurry()
            self._changed.notify_all()
            self._changed.wait_for(self._gathering.is_settled)
            self._gathering.raise_failure()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._gathering.closing = True
            self._changed.notify_all()
        self._thread.join()
        if exc is None:
            with self._changed:
                self._gathering.raise_failure()

    def _run(self) -> None:
        while events := self._next():
            try:
                result = self._send_now(events)
            except Exception as error:  # whatever it is, whoever adds events must learn of it
                with self._changed:
                    self._gathering.failure = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._gathering.note(result)
                self._changed.notify_all()

    def _next(self) -> Sequence[Event]:
        """Wait until a batch is due and take it; none when all is done."""
        with self._changed:
            while (due := self._gathering.due_in()) != 0.0:
                if due is None and self._gathering.closing:
                    return ()
                self._changed.wait(due)
            taken = self._gathering.take()
            self._changed.notify_all()
            return taken

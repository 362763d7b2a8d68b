"""Events that are sent many at a time, in the background."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self, Unpack

from nextup.client import calls
from nextup.client.gathering import Gathering
from nextup.client.problems import BatchFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from nextup.client.answers import BatchResult, Row
    from nextup.client.calls import Event
    from nextup.client.wishes import EventFields

BACKLOG = 20  # batches that wait at most; whoever adds more waits as well


class Batch:
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
        self._sending: list[dict[str, Any]] = []
        self._closing = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="nextup-batch", daemon=True)

    @property
    def accepted(self) -> int:
        """How many are durable so far; with `duplicates` and `rejected` it adds up to what was
        sent."""
        return self._gathering.accepted

    @property
    def duplicates(self) -> int:
        """How many the server knew already."""
        return self._gathering.duplicates

    @property
    def rejected(self) -> int:
        """How many broke the contract; they are in quarantine."""
        return self._gathering.rejected

    @property
    def broken(self) -> Sequence[Row]:
        """The latest of those, with their reasons."""
        return tuple(self._gathering.broken)

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
            self._changed.wait_for(
                lambda: (
                    len(self._gathering.waiting) < self._gathering.size * BACKLOG
                    or self._failure is not None
                )
            )
            self._raise_failure()
            self._gathering.add(ready)
            self._changed.notify_all()
        return str(ready["event_id"])

    def flush(self) -> None:
        """Send all that waits, and return when it is durable."""
        with self._changed:
            self._gathering.oldest_at = float("-inf")  # due at once
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not (self._gathering.waiting or self._sending) or self._failure is not None
            )
            self._raise_failure()

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
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if exc is None:
            with self._changed:
                self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            unsent = [*self._sending, *self._gathering.waiting]
            raise BatchFailed(unsent, self._failure) from self._failure

    def _run(self) -> None:
        while self._next():
            try:
                result = self._send_now(self._sending)
            except Exception as error:  # whatever it is, whoever adds events must learn of it
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._gathering.note(result)
                self._sending = []
                self._changed.notify_all()

    def _next(self) -> bool:
        """Wait until a batch is due and take it; false when all is done."""
        with self._changed:
            while True:
                due = self._gathering.due_in()
                if due is None and self._closing:
                    return False
                if due is not None and (due <= 0 or self._closing):
                    self._sending = self._gathering.take()
                    self._changed.notify_all()
                    return True
                self._changed.wait(due)

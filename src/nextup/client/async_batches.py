"""Events that are sent many at a time, by a task beside."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, Unpack

from nextup.client import calls
from nextup.client.batches import BACKLOG
from nextup.client.gathering import Gathering
from nextup.client.problems import BatchFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from nextup.client.answers import BatchResult, Row
    from nextup.client.calls import Event
    from nextup.client.wishes import EventFields


class AsyncBatch:
    """`Batch` for one event loop."""

    def __init__(
        self, send: Callable[[Sequence[Event]], Awaitable[BatchResult]], size: int, seconds: float
    ) -> None:
        self._send_now = send
        self._gathering = Gathering(size, seconds)
        self._changed = asyncio.Condition()
        self._sending: list[dict[str, Any]] = []
        self._closing = False
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def accepted(self) -> int:
        """How many are durable so far."""
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

    async def send(
        self,
        type: str,  # noqa: A002 (the word of the events)
        user_id: str,
        item_id: str,
        **fields: Unpack[EventFields],
    ) -> str:
        """Add an event and return its id; it is sent soon. Waits while too many wait."""
        return await self.add(calls.event(type, user_id, item_id, **fields))

    async def add(self, event: Event) -> str:
        """The same for an event as it is."""
        ready = calls.with_id(event)
        async with self._changed:
            await self._changed.wait_for(
                lambda: (
                    len(self._gathering.waiting) < self._gathering.size * BACKLOG
                    or self._failure is not None
                )
            )
            self._raise_failure()
            self._gathering.add(ready)
            self._changed.notify_all()
        return str(ready["event_id"])

    async def flush(self) -> None:
        """Send all that waits, and return when it is durable."""
        async with self._changed:
            self._gathering.oldest_at = float("-inf")  # due at once
            self._changed.notify_all()
            await self._changed.wait_for(
                lambda: not (self._gathering.waiting or self._sending) or self._failure is not None
            )
            self._raise_failure()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        async with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._task is not None:
            await self._task
        if exc is None:
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            unsent = [*self._sending, *self._gathering.waiting]
            raise BatchFailed(unsent, self._failure) from self._failure

    async def _run(self) -> None:
        while await self._next():
            try:
                result = await self._send_now(self._sending)
            except Exception as error:  # whatever it is, whoever adds events must learn of it
                async with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return
            async with self._changed:
                self._gathering.note(result)
                self._sending = []
                self._changed.notify_all()

    async def _next(self) -> bool:
        """Wait until a batch is due and take it; false when all is done."""
        async with self._changed:
            while True:
                due = self._gathering.due_in()
                if due is None and self._closing:
                    return False
                if due is not None and (due <= 0 or self._closing):
                    self._sending = self._gathering.take()
                    self._changed.notify_all()
                    return True
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), due)

"""Events that are sent many at a time, by a task beside."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self, Unpack

from nextup.client import calls
from nextup.client.gathering import Counted, Gathering

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from nextup.client.answers import BatchResult
    from nextup.client.calls import Event
    from nextup.client.wishes import EventFields


class AsyncBatch(Counted):
    """`Batch` for one event loop."""

    def __init__(
        self, send: Callable[[Sequence[Event]], Awaitable[BatchResult]], size: int, seconds: float
    ) -> None:
        self._send_now = send
        self._gathering = Gathering(size, seconds)
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

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
            await self._changed.wait_for(self._gathering.has_room)
            self._gathering.raise_failure()
            self._gathering.add(ready)
            self._changed.notify_all()
        return str(ready["event_id"])

    async def flush(self) -> None:
        """Send all that waits, and return when it is durable."""
        async with self._changed:
            self._gathering.hurry()
            self._changed.notify_all()
            await self._changed.wait_for(self._gathering.is_settled)
            self._gathering.raise_failure()

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
            self._gathering.closing = True
            self._changed.notify_all()
        if self._task is not None:
            await self._task
        if exc is None:
            self._gathering.raise_failure()

    async def _run(self) -> None:
        while events := await self._next():
            try:
                result = await self._send_now(events)
            except Exception as error:  # whatever it is, whoever adds events must learn of it
                async with self._changed:
                    self._gathering.failure = error
                    self._changed.notify_all()
                return
            async with self._changed:
                self._gathering.note(result)
                self._changed.notify_all()

    async def _next(self) -> Sequence[Event]:
        """Wait until a batch is due and take it; none when all is done."""
        async with self._changed:
            while (due := self._gathering.due_in()) != 0.0:
                if due is None and self._gathering.closing:
                    return ()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), due)
            taken = self._gathering.take()
            self._changed.notify_all()
            return taken

"""Many callers, one transaction: what arrives while one is being written shares the next."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from nextup.domain.errors import BackendUnavailable, NextupError, StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable

Request = TypeVar("Request")
Result = TypeVar("Result")


class _Ticket(Generic[Request, Result]):
    """One caller's request, until it is served with a result or an error."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.results: list[Result] = []  # one, when it went well
        self.error: Exception | None = None

    @property
    def served(self) -> bool:
        return bool(self.results) or self.error is not None

    def outcome(self) -> Result:
        if isinstance(self.error, NextupError):
            # A copy for each caller: one exception must not be raised in several threads.
            raise type(self.error)(self.error.message, cure=self.error.cure) from self.error
        if self.error is not None:
            raise self.error
        return self.results[0]


class GroupCommit(Generic[Request, Result]):
    """Queues requests of many threads and has one thread at a time write all that are waiting.

    No thread of its own: whoever finds nobody writing leads, and writes for the others too.
    Requests are served in the order they came. One that cannot be written fails alone.
    """

    def __init__(
        self,
        write: Callable[[list[Request]], list[Result]],
        *,
        weigh: Callable[[Request], int],
        most: int,
    ) -> None:
        """`write` is all or nothing for its list; a group weighs at most `most`, or is a single
        request."""
        self._write = write
        self._weigh = weigh
        self._most = most
        self._queue: deque[_Ticket[Request, Result]] = deque()
        self._changed = threading.Condition()
        self._busy = False

    def submit(self, request: Request) -> Result:
        """Returns or raises what `write` did for this request."""
        ticket = _Ticket[Request, Result](request)
        while group := self._next_group(ticket):
            try:
                self._serve(group)
            finally:
                self._finish(group)
        return ticket.outcome()

    def _next_group(self, ticket: _Ticket[Request, Result]) -> list[_Ticket[Request, Result]]:
        """What this thread has to write; nothing once its own ticket has been served."""
        with self._changed:
            if ticket.served:
                return []
            if ticket not in self._queue:
                self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: ticket.served or not self._busy)
            except BaseException:  # an interrupt: the caller will not learn what became of it
                if ticket in self._queue:
                    self._queue.remove(ticket)
                raise
            if ticket.served:
                return []
            self._busy = True
            return self._take()

    def _take(self) -> list[_Ticket[Request, Result]]:
        group = [self._queue.popleft()]
        weight = self._weigh(group[0].request)
        while self._queue:
            weight += self._weigh(self._queue[0].request)
            if weight > self._most:
                break
            group.append(self._queue.popleft())
        return group

    def _serve(self, group: list[_Ticket[Request, Result]]) -> None:
        try:
            results = self._write([ticket.request for ticket in group])
        except Exception as error:
            alone = isinstance(error, StorageFull) or not isinstance(error, BackendUnavailable)
            if len(group) > 1 and alone:  # one of them is at fault, or a smaller one still fits
                for ticket in group:
                    self._serve([ticket])
                return
            for ticket in group:
                ticket.error = error
        else:
            for ticket, result in zip(group, results, strict=True):
                ticket.results.append(result)

    def _finish(self, group: list[_Ticket[Request, Result]]) -> None:
        for ticket in group:
            if not ticket.served:  # an interrupt hit the thread that led
                ticket.error = BackendUnavailable(
                    "The write was interrupted.", cure="Repeat it: what was written is not doubled."
                )
        with self._changed:
            self._busy = False
            self._changed.notify_all()

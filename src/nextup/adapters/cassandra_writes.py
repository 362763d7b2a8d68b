"""Many writes under way at once, and never more than so many."""

from __future__ import annotations

from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cassandra.cluster import ResponseFuture


class Writes:
    """A bounded pipeline: a new write starts when an earlier one has ended."""

    def __init__(self, send: Callable[[Any], ResponseFuture], in_flight: int) -> None:
        """`send` begins one and does not wait for it."""
        self._send = send
        self._in_flight = in_flight

    def run(self, statements: Iterable[Any]) -> list[tuple[Any, Exception]]:
        """Run all and wait for them; returns those that failed, with the reason.

        After a failure no more are sent than the caller had begun to make: the rest is returned
        as failed, too, so that a dead server is not asked for each of them.
        """
        places = Semaphore(self._in_flight)
        failed: list[tuple[Any, Exception]] = []

        def succeed(_: Any) -> None:
            places.release()

        def fail(error: Exception, *, statement: Any) -> None:
            failed.append((statement, error))
            places.release()

        try:
            for statement in statements:
                places.acquire()
                if failed:
                    failed.append((statement, failed[0][1]))
                    places.release()
                    continue
                try:
                    future = self._send(statement)
                except BaseException:
                    places.release()  # else the end would wait for this one for ever
                    raise
                future.add_callbacks(succeed, partial(fail, statement=statement))
        finally:
            for _ in range(self._in_flight):
                places.acquire()
        return failed

"""Events on their way into batches: what both kinds of batch have in common."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from nextup.client import calls
from nextup.client.answers import BatchResult

if TYPE_CHECKING:
    from nextup.client.answers import Row
    from nextup.client.calls import Event

KEPT_ROWS = 1_000  # broken records that a batch remembers, the latest


class Gathering:
    """Events that wait, and what became of those that were sent. Not safe between threads."""

    def __init__(self, size: int, seconds: float) -> None:
        self.size = size
        self.seconds = seconds
        self.waiting: list[dict[str, Any]] = []
        self.oldest_at = 0.0  # monotonic seconds
        self.accepted = self.duplicates = self.rejected = 0
        self.broken: list[Row] = []

    def add(self, event: Event) -> None:
        """The id is minted now: however often the event is sent from here, it counts once."""
        if not self.waiting:
            self.oldest_at = monotonic()
        self.waiting.append(calls.with_id(event))

    def due_in(self) -> float | None:
        """Seconds until the oldest has waited long enough; None while nothing waits."""
        if not self.waiting:
            return None
        if len(self.waiting) >= self.size:
            return 0.0
        return max(0.0, self.oldest_at + self.seconds - monotonic())

    def take(self) -> list[dict[str, Any]]:
        """What is sent next; the rest goes on waiting."""
        taken, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        if self.waiting:
            self.oldest_at = monotonic()
        return taken

    def note(self, result: BatchResult) -> None:
        """What became of them."""
        self.accepted += result.accepted
        self.duplicates += result.duplicates
        self.rejected += result.rejected
        self.broken = [*self.broken, *result.broken][-KEPT_ROWS:]


def joined(results: list[BatchResult]) -> BatchResult:
    """Several batches as one, with its rows numbered through."""
    rows: list[Row] = []
    for result in results:
        start = len(rows)
        rows += [_moved(row, start) for row in result.rows]
    return BatchResult(
        accepted=sum(one.accepted for one in results),
        duplicates=sum(one.duplicates for one in results),
        rejected=sum(one.rejected for one in results),
        rows=tuple(rows),
    )


def _moved(row: Row, by: int) -> Row:
    return replace(row, row=row.row + by)

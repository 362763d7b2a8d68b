"""Events on their way into batches: what both kinds of batch have in common."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from nextup.client import calls
from nextup.client.answers import BatchResult
from nextup.client.problems import BatchFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.client.answers import Row
    from nextup.client.calls import Event

BACKLOG = 20  # batches that wait at most; whoever adds more waits as well
KEPT_ROWS = 1_000  # broken records that a batch remembers, the latest


class Gathering:
    """Events that wait, are on their way, or were sent, and what became of them. Not safe between
    threads: whoever sends them takes turns."""

    def __init__(self, size: int, seconds: float) -> None:
        self.size = size
        self.seconds = seconds
        self.waiting: list[dict[str, Any]] = []
        self.sending: list[dict[str, Any]] = []
        self.oldest_at = 0.0  # monotonic seconds
        self.closing = False  # what waits is due at once, to the end
        self.hurried = False  # likewise, until nothing waits
        self.failure: Exception | None = None
        self.accepted = self.duplicates = self.rejected = 0
        self.broken: list[Row] = []

    def add(self, event: Event) -> None:
        """The id is minted now: however often the event is sent from here, it counts once."""
        if not self.waiting:
            self.oldest_at = monotonic()
        self.waiting.append(calls.with_id(event))

    def has_room(self) -> bool:
        """Whether another may be added now, or never will be."""
        return len(self.waiting) < self.size * BACKLOG or self.failure is not None

    def is_settled(self) -> bool:
        """Whether all that was added is durable, or never will be."""
        return not (self.waiting or self.sending) or self.failure is not None

    def hurry(self) -> None:
        """What waits is due at once."""
        self.hurried = bool(self.waiting)

    def raise_failure(self) -> None:
        """Raises BatchFailed with all that was not sent, if sending has failed."""
        if self.failure is not None:
            raise BatchFailed([*self.sending, *self.waiting], self.failure) from self.failure

    def due_in(self) -> float | None:
        """Seconds until the next batch is to be sent; None while nothing waits."""
        if not self.waiting:
            return None
        if self.closing or self.hurried or len(self.waiting) >= self.size:
            return 0.0
        return max(0.0, self.oldest_at + self.seconds - monotonic())

    def take(self) -> list[dict[str, Any]]:
        """What is sent next; the rest goes on waiting."""
        self.sending, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        self.hurried = self.hurried and bool(self.waiting)
        self.oldest_at = monotonic()
        return self.sending

    def note(self, result: BatchResult) -> None:
        """What became of those on their way."""
        self.sending = []
        self.accepted += result.accepted
        self.duplicates += result.duplicates
        self.rejected += result.rejected
        self.broken = [*self.broken, *result.broken][-KEPT_ROWS:]


class Counted:
    """What a batch can be asked at any time, and after its end."""

    _gathering: Gathering

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

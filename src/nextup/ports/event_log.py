"""The truth: an append-only log of events, and beside it the records that broke a contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from nextup.domain.events import Appended, Event, LogRow, Position, Rejected, RejectedRow


class EventBatch(NamedTuple):
    """Consecutive rows, in offset order within each partition, and where to read on."""

    rows: list[LogRow]
    position: Position


class RejectedBatch(NamedTuple):
    """Consecutive rejected rows and where to read on."""

    rows: list[RejectedRow]
    position: Position


class EventLog(Protocol):
    """Durable, ordered per person, idempotent by `event_id`. Safe to share between threads."""

    def append(self, events: Sequence[Event]) -> list[Appended]:
        """Write durably, then return one receipt per event, in order.

        An `event_id` that the log already holds, or that came earlier in `events`, is not written
        again; its receipt says `duplicate`. All or nothing: an error means that none was written
        (in a log without transactions, Kafka: some may be; repeating the call completes it).
        Raises InvalidInput for an event that cannot be kept (a time without a zone, a value that
        is not finite), BackendUnavailable, or StorageFull when no space is left.
        """
        ...

    def read(self, position: Position, limit: int) -> EventBatch:
        """At most `limit` rows from `position` on; empty at the end. Never skips a row that a
        finished `append` wrote, whatever other appends are still under way. Raises InvalidInput
        for a position in partitions that this log does not have."""
        ...

    def head(self) -> Position:
        """The position after the last durable event. A partition without events is absent."""
        ...

    def reject(self, records: Sequence[Rejected]) -> int:
        """Keep records that broke a contract, durably; returns how many were new."""
        ...

    def read_rejected(self, position: Position, limit: int) -> RejectedBatch:
        """Like `read`, for rejected records. Their offsets are of their own."""
        ...

    def committed(self, group: str) -> Position:
        """Where the consumer group stands; `START` if it never committed."""
        ...

    def commit(self, group: str, position: Position) -> None:
        """Remember where the group stands, durably."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        ...


@runtime_checkable
class NamesPeople(Protocol):
    """A log whose people have other ids in it, and in the tables made of it, than for its
    callers."""

    def stored_id(self, user_id: str) -> str:
        """The person's id in the tables."""
        ...


@runtime_checkable
class SupportsErasure(Protocol):
    """Can forget one person. A log without it (Kafka) relies on retention and says so."""

    def erase(self, user_id: str) -> int:
        """Remove all events of the person and all rejected records that name them; returns how
        many. Offsets of the others stay as they are."""
        ...

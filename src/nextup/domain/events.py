"""What people do, and the log's way of counting it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Position = Mapping[str, int]
"""Where a reader stands: for each partition of the log the offset it reads next."""

START: Position = {}


class EventType(StrEnum):
    """What somebody did with an item."""

    VIEW = "view"
    CLICK = "click"
    LIKE = "like"
    RATING = "rating"
    IMPRESSION = "impression"  # the item was shown; not a touch by the person
    DISMISS = "dismiss"  # "not for me"
    RETRACT = "retract"  # "I take it back": what this person did with the item until then


class Event(NamedTuple):
    """One thing that one person did with one item. The same `event_id` twice is one event."""

    event_id: str
    type: str  # an EventType's value
    user_id: str
    item_id: str
    occurred_at: datetime  # aware, UTC
    value: float | None = None  # the stars of a rating
    session_id: str | None = None
    recommendation_id: str | None = None  # the served list that it came from
    context: str | None = None  # JSON text, as the client sent it


class LogRow(NamedTuple):
    """An event as the log keeps it. Times are integers so that millions of rows move fast."""

    partition: str
    offset: int  # ascending within a partition; all events of one person share a partition
    received_at: int  # microseconds since the epoch
    event_id: str
    type: str
    user_id: str
    item_id: str
    occurred_at: int  # microseconds since the epoch
    value: float | None
    session_id: str | None
    recommendation_id: str | None
    context: str | None

    def event(self) -> Event:
        """The event without the log's own columns."""
        return Event(
            self.event_id,
            self.type,
            self.user_id,
            self.item_id,
            from_microseconds(self.occurred_at),
            self.value,
            self.session_id,
            self.recommendation_id,
            self.context,
        )


class Appended(NamedTuple):
    """The log's receipt for one event."""

    event_id: str
    partition: str
    offset: int  # of the first event with this id, when it is a duplicate
    duplicate: bool


class Rejected(NamedTuple):
    """A record that broke a contract: kept whole, with the rule it broke."""

    rejected_id: str  # derived from source and record, so that a retry is not counted twice
    source: str  # "api", or the file and line it came from
    record: str  # what arrived, as JSON text where it could be read as such
    rule: str  # the short name of the rule, as in the schemas
    reason: str  # one sentence for a person
    rejected_at: datetime  # aware, UTC


class RejectedRow(NamedTuple):
    """A rejected record as the log keeps it."""

    partition: str
    offset: int
    rejected_id: str
    source: str
    record: str
    rule: str
    reason: str
    rejected_at: int  # microseconds since the epoch


def to_microseconds(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime; exact."""
    return (moment - EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The inverse of `to_microseconds`; exact, and right before 1970 too."""
    return EPOCH + timedelta(microseconds=microseconds)

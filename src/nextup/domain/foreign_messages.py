"""Messages of programs that have formats of their own: MovieLens ratings, as they are replayed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from nextup.domain.events import EventType, from_microseconds, to_microseconds
from nextup.domain.tables import ITEM_ID, OCCURRED_AT, TYPE, USER_ID, VALUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextup.domain.events import Event

FIELDS: Final = {
    "userId": USER_ID,
    "movieId": ITEM_ID,
    "rating": VALUE,
    "timestamp": OCCURRED_AT,
}
_SECONDS: Final = 1_000_000  # microseconds


def movielens_rating(event: Event) -> dict[str, Any]:
    """A rating as `{userId, movieId, rating, timestamp}`: whole seconds, and ids as numbers where
    they are numbers."""
    values = (
        _number_or_text(event.user_id),
        _number_or_text(event.item_id),
        event.value,
        to_microseconds(event.occurred_at) // _SECONDS,
    )
    return dict(zip(FIELDS, values, strict=True))


def event_record(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message in the words of the event contract. One that is not of MovieLens stays as it is;
    numbers as ids become text, seconds since the epoch a time, and a time without a zone is UTC.
    """
    if not {"userId", "movieId"} <= message.keys():
        return dict(message)
    record = {FIELDS.get(name, name): value for name, value in message.items()}
    record.setdefault(TYPE, EventType.RATING.value)
    for name in (USER_ID, ITEM_ID):
        if isinstance(record[name], int):
            record[name] = str(record[name])
    at = record.get(OCCURRED_AT)
    if isinstance(at, int):
        record[OCCURRED_AT] = _moment(at)
    elif isinstance(at, str):
        record[OCCURRED_AT] = _in_utc(at)
    return record


def _moment(seconds: int) -> str | int:
    """As ISO text; a number that is no moment stays, for the contract to refuse."""
    try:
        return from_microseconds(seconds * _SECONDS).isoformat()
    except OverflowError:
        return seconds


def _in_utc(text: str) -> str:
    """As a mirror's files write it: `2005-04-02 23:53:47`. What is no time stays, as above."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


def _number_or_text(text: str) -> int | str:
    """A number only where it comes back as the same text."""
    is_number = text.isascii() and text.isdigit() and str(int(text)) == text
    return int(text) if is_number else text

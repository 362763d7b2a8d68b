"""Events and rejected records as Kafka's messages: JSON that other programs can read."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from nextup.domain.errors import InvalidInput
from nextup.domain.events import (
    EPOCH,
    Event,
    EventType,
    LogRow,
    Rejected,
    RejectedRow,
    to_microseconds,
)
from nextup.domain.foreign_messages import movielens_rating
from nextup.domain.tables import EVENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Headers = list[tuple[str, str | bytes | None]]

HEADER_ID: Final = EVENT_ID  # of a copy whose format has no place for it
HEADER_COPY: Final = "nextup-copy"  # this event is in the log: not to be taken in again


_Context = tuple[msgspec.Raw | msgspec.UnsetType, str | None]  # as JSON, or as text
_INFINITE: Final = float("inf")

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Message(msgspec.Struct, omit_defaults=True, gc=False):
    """An event's message: the fields of the event contract, and when it was received."""

    event_id: str
    type: str
    user_id: str
    item_id: str
    occurred_at: _Moment
    received_at: _Moment
    value: float | None = None
    session_id: str | None = None
    recommendation_id: str | None = None
    context: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # JSON within JSON
    context_text: str | None = None  # a context that is not JSON


class _Identified(msgspec.Struct):
    """As much of a message as the search for repeated ids needs."""

    event_id: str


class _IdentifiedRejected(msgspec.Struct):
    rejected_id: str


class _RejectedMessage(msgspec.Struct):
    rejected_id: str
    source: str
    record: str
    rule: str
    reason: str
    rejected_at: _Moment


_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(_Message).decode
_decode_id = msgspec.json.Decoder(_Identified).decode
_decode_rejected_id = msgspec.json.Decoder(_IdentifiedRejected).decode
_decode_rejected = msgspec.json.Decoder(_RejectedMessage).decode

LARGEST_MESSAGE: Final = 900_000  # bytes; brokers take 1 MB with their own words around it

_MICROSECOND: Final = timedelta(microseconds=1)

# tuple's own constructor, past the named tuple's Python one
_row: Callable[[Iterable[Any]], LogRow] = partial(tuple.__new__, LogRow)

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError)


def require_size(content: bytes) -> bytes:
    """Raises InvalidInput for a message that the brokers would not take."""
    if len(content) > LARGEST_MESSAGE:
        raise InvalidInput(
            "An event is too large.", cure=f"Up to {LARGEST_MESSAGE:,} bytes are kept."
        )
    return content


def event_messages(events: Iterable[Event], received_at: datetime) -> list[bytes]:
    """Raises InvalidInput where one of the events cannot be kept."""
    contents = []
    for event in events:
        name, kind, user_id, item_id, occurred_at, value, session_id, served, context = event
        if occurred_at.tzinfo is None:
            raise InvalidInput(
                "An event's time has no time zone.", cure="Send times like 2024-05-01T12:00:00Z."
            )
        if value is not None and not abs(value) < _INFINITE:
            raise InvalidInput("An event's value is not a finite number.")
        if not (
            type(name) is type(kind) is type(user_id) is type(item_id) is str
            and (session_id is None or type(session_id) is str)
            and (served is None or type(served) is str)
            and (context is None or type(context) is str)
        ):
            raise InvalidInput("An event cannot be stored: one of its texts is something else.")
        raw, text = _NO_CONTEXT if context is None else _context(context)
        message = _Message(
            name,
            kind,
            user_id,
            item_id,
            occurred_at,
            received_at,
            value,
            session_id,
            served,
            raw,
            text,
        )
        try:
            contents.append(_encode(message))
        except (UnicodeEncodeError, msgspec.MsgspecError, TypeError) as error:
            raise InvalidInput(f"An event cannot be stored: {error}.") from error
    require_size(max(contents, key=len, default=b""))
    return contents


_NO_CONTEXT: Final[_Context] = (msgspec.UNSET, None)


def _context(context: str) -> _Context:
    """As JSON where it is, so that whoever reads the topic need not parse twice."""
    try:
        encoded = context.encode()
        msgspec.json.decode(encoded)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return msgspec.UNSET, context
    if encoded.strip() != encoded or encoded == b"null":  # would not come back as it was
        return msgspec.UNSET, context
    return msgspec.Raw(encoded), None


def log_rows(
    partitions: Sequence[str], offsets: Sequence[int], contents: Sequence[bytes]
) -> list[LogRow]:
    """Raises one of UNREADABLE if one of the messages is no event."""
    rows = []
    received, received_at = EPOCH, 0  # what was appended together was received at one moment
    for partition, offset, content in zip(partitions, offsets, contents, strict=True):
        message = _decode_event(content)
        if message.received_at != received:
            received = message.received_at
            received_at = (received - EPOCH) // _MICROSECOND
        raw = message.context
        rows.append(
            _row(
                (
                    partition,
                    offset,
                    received_at,
                    message.event_id,
                    message.type,
                    message.user_id,
                    message.item_id,
                    (message.occurred_at - EPOCH) // _MICROSECOND,
                    message.value,
                    message.session_id,
                    message.recommendation_id,
                    message.context_text if raw is msgspec.UNSET else bytes(raw).decode(),
                )
            )
        )
    return rows


def event_id_of(content: bytes) -> str:
    """Raises one of UNREADABLE for a message that is no event."""
    return _decode_id(content).event_id


def rejected_id_of(content: bytes) -> str:
    """Raises one of UNREADABLE for a message that is no rejected record."""
    return _decode_rejected_id(content).rejected_id


def rejected_message(record: Rejected) -> bytes:
    """Raises InvalidInput for a record that is no text."""
    try:
        return require_size(_encode(_RejectedMessage(*record)))
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError) as error:
        raise InvalidInput(f"A rejected record cannot be stored: {error}.") from error


def rejected_rows(
    partitions: Sequence[str], offsets: Sequence[int], contents: Sequence[bytes]
) -> list[RejectedRow]:
    """Raises one of UNREADABLE if one of the messages is no rejected record."""
    return [
        RejectedRow(
            partition,
            offset,
            message.rejected_id,
            message.source,
            message.record,
            message.rule,
            message.reason,
            to_microseconds(message.rejected_at),
        )
        for partition, offset, message in zip(
            partitions, offsets, map(_decode_rejected, contents), strict=True
        )
    ]


def copied(event: Event, content: bytes, rating_format: str) -> tuple[bytes, Headers]:
    """What a topic for other programs gets of an event; `content` is its message in the log."""
    headers: Headers = [(HEADER_COPY, b"1"), (HEADER_ID, event.event_id.encode())]
    if rating_format == "movielens" and event.type == EventType.RATING:
        return _encode(movielens_rating(event)), headers
    return content, headers

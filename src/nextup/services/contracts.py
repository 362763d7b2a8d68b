"""The door: what an event must satisfy to be counted, and what is said when it does not.

Rules, in the order they are asked; the first one broken names the rejection:

==================== ======================================================================
`bad_encoding`       the bytes are not UTF-8, or hold half a character
`not_json`           the text is not JSON
`unknown_type`       `type` is none of the event types
`schema`             the JSON Schema of the type does not fit; a time must carry its time zone
`rating_out_of_range` the stars are outside the settings' bounds
`id_not_integer`     the settings ask for integer ids (canonical: `7`, not `07` or `7.0`)
`in_future`          the time is further ahead than a client's clock may be
`too_old`            the time is before the settings' oldest day
`unknown_item`       the catalogue does not have the item, and the settings don't create it
==================== ======================================================================

Importers add `bad_row` for a line of a file that is no row at all.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from nextup.domain.errors import ConfigurationError, InvalidInput
from nextup.domain.events import Event, EventType, Rejected
from nextup.domain.items import Item
from nextup.domain.tables import (
    CONTEXT,
    EVENT_ID,
    ITEM_ID,
    OCCURRED_AT,
    RECOMMENDATION_ID,
    SESSION_ID,
    TYPE,
    USER_ID,
    VALUE,
)
from nextup.services.event_ids import EventIds
from nextup.services.event_schemas import Broken, EventShape, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from nextup.settings import Contracts

INTEGER_ID = r"^(0|-?[1-9][0-9]{0,17})$"  # canonical, and within 64 bits
INTEGERS: Final = {"string": (), "int": (USER_ID, ITEM_ID), "int_users": (USER_ID,)}
"""By `contracts.id_type`: whose ids must be integers."""
_INTEGER = re.compile(INTEGER_ID)
_TYPES = ", ".join(EventType)


class Checked(NamedTuple):
    """A batch, sorted: what may be appended and what goes to quarantine, each in its order."""

    events: list[Event]
    rejected: list[Rejected]


class KnowsItems(Protocol):
    """The part of a catalogue that a contract needs."""

    def unknown_items(self, item_ids: Collection[str]) -> set[str]:
        """Those of the ids that do not exist."""
        ...

    def put_items(self, items: Iterable[Item]) -> int:
        """Insert or replace."""
        ...


class EventContract:
    """Turns records into events or rejections. Safe to share between threads.

    `new_item_kind` is the kind of the bare items made where the settings say `create`.
    """

    def __init__(
        self,
        contracts: Contracts,
        catalog: KnowsItems,
        clock: Callable[[], datetime],
        *,
        new_item_kind: str = "item",
    ) -> None:
        self.settings = contracts
        self.clock = clock
        self.oldest = oldest_moment(contracts)
        self.tolerance = timedelta(seconds=contracts.future_tolerance_seconds)
        self._catalog = catalog
        self._new_item_kind = new_item_kind
        self._shapes = {kind.value: EventShape(kind, contracts) for kind in EventType}
        self._ids = EventIds()

    def check(self, record: object, source: str) -> Event | Rejected:
        """Check one record: JSON as bytes or text, or what it was parsed to."""
        return self.check_each([record], source)[0]

    def check_many(self, records: Sequence[object], source: str | Sequence[str]) -> Checked:
        """Check a batch, with one look into the catalogue for all of it.

        `source` is one for all or one for each. Where the settings say `create`, items that only
        good records name are made, bare.
        """
        return _sorted(self.check_each(records, source))

    def check_each(
        self, records: Sequence[object], source: str | Sequence[str]
    ) -> list[Event | Rejected]:
        """Like `check_many`, and each record's verdict stays in its place."""
        checked, unknown = self._judge_all(records, source)
        if unknown:
            self.create_items(unknown)
        return checked

    def explain_many(self, records: Sequence[object], source: str | Sequence[str]) -> Checked:
        """Like `check_many`, and changes nothing anywhere."""
        return _sorted(self._judge_all(records, source)[0])

    def reject(self, record: object, broken: Broken, source: str) -> Rejected:
        """The rejection of a record by a rule that was judged elsewhere."""
        return _rejected(record, broken, source, self.clock())

    def create_items(self, item_ids: Collection[str]) -> None:
        """Make bare items; for imports, which look into the catalogue themselves."""
        self._catalog.put_items(Item(name, self._new_item_kind) for name in sorted(item_ids))

    def _judge_all(
        self, records: Sequence[object], source: str | Sequence[str]
    ) -> tuple[list[Event | Rejected], set[str]]:
        now = self.clock()
        verdicts = [self._judge(record, now) for record in records]
        named = {verdict.item_id for verdict in verdicts if isinstance(verdict, Event)}
        unknown = self._catalog.unknown_items(named) if named else set()
        forbidden = unknown if self.settings.unknown_items == "quarantine" else set()
        checked: list[Event | Rejected] = []
        for index, verdict in enumerate(verdicts):
            if isinstance(verdict, Broken):
                broken = verdict
            elif verdict.item_id in forbidden:
                broken = _unknown_item(verdict.item_id)
            else:
                checked.append(verdict)
                continue
            where = source if isinstance(source, str) else source[index]
            checked.append(_rejected(records[index], broken, where, now))
        return checked, unknown - forbidden

    def _judge(self, record: object, now: datetime) -> Event | Broken:
        parsed = parse_record(record)
        if isinstance(parsed, Broken):
            return parsed
        event_type = parsed.get(TYPE)
        shape = self._shapes.get(event_type) if isinstance(event_type, str) else None
        if shape is None:
            return _unknown_type(parsed)
        try:
            if not shape.fits(parsed):
                return shape.broken(parsed)
            context = _context_text(parsed)
        except UnicodeEncodeError:
            return Broken("bad_encoding", "A text in the record holds half a character.")
        except (ValueError, TypeError) as error:  # a Python object that JSON does not have
            return Broken("not_json", f"The record cannot be written as JSON: {error}.")
        return self._timely(parsed, shape, now, context)

    def _timely(
        self, record: dict[str, Any], shape: EventShape, now: datetime, context: str | None
    ) -> Event | Broken:
        moment = _moment(record, now)
        if moment is None:
            wanted, text = shape.expected(OCCURRED_AT), quoted(record[OCCURRED_AT])
            return Broken("schema", f"$.{OCCURRED_AT}: expected {wanted}, got {text}.")
        return self._beyond_schema(record, moment, now) or Event(
            record.get(EVENT_ID) or self._ids.mint(now),
            record[TYPE],
            record[USER_ID],
            record[ITEM_ID],
            moment,
            float(record[VALUE]) if VALUE in record else None,
            record.get(SESSION_ID),
            record.get(RECOMMENDATION_ID),
            context,
        )

    def _beyond_schema(
        self, record: dict[str, Any], moment: datetime, now: datetime
    ) -> Broken | None:
        for name in INTEGERS[self.settings.id_type]:
            if not _INTEGER.match(record[name]):
                wrong = quoted(record[name])
                return Broken("id_not_integer", f"$.{name}: expected an integer, got {wrong}.")
        if moment > now + self.tolerance:
            seconds = self.settings.future_tolerance_seconds
            return Broken(
                "in_future",
                f"$.{OCCURRED_AT}: {moment.isoformat()} is more than {seconds:g} s ahead of now.",
            )
        if moment < self.oldest:
            day = self.settings.oldest_event
            return Broken("too_old", f"$.{OCCURRED_AT}: {moment.isoformat()} is before {day}.")
        return None


def require_integers(named: Mapping[str, Any], contracts: Contracts) -> None:
    """Raises InvalidInput for an id, by the name of its field, that the settings want to be an
    integer and that is none; other fields are not looked at."""
    for name in INTEGERS[contracts.id_type]:
        if name in named and not _INTEGER.match(str(named[name])):
            raise InvalidInput(
                f"The {name} {quoted(named[name])} is not an integer.", cure="Ids are numbers here."
            )


def oldest_moment(contracts: Contracts) -> datetime:
    """The start, in UTC, of the oldest day that is accepted. Raises ConfigurationError."""
    try:
        return datetime.fromisoformat(contracts.oldest_event).replace(tzinfo=UTC)
    except ValueError as error:
        raise ConfigurationError(
            f"Setting 'contracts.oldest_event' is no ISO date: {contracts.oldest_event!r}.",
            cure="Write it like 1970-01-02.",
        ) from error


def parse_record(record: object) -> dict[str, Any] | Broken:
    """The JSON object in bytes or text, or the object itself; or why there is none."""
    parsed = record
    try:
        if isinstance(record, bytes | bytearray):
            record = record.decode("utf-8")
        if isinstance(record, str):
            parsed = msgspec.json.decode(record.removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        where = f"byte {error.start}"
        return Broken("bad_encoding", f"The bytes are not UTF-8: {error.reason} ({where}).")
    except UnicodeEncodeError:
        return Broken("bad_encoding", "The text holds half a character.")
    except msgspec.DecodeError as error:
        return Broken("not_json", f"The text is not JSON: {error}.")
    except RecursionError:
        return Broken("not_json", "The text is nested more deeply than any event.")
    if not isinstance(parsed, dict):
        return Broken("schema", f"$: expected an object, got {quoted(parsed)}.")
    return parsed


def record_text(record: object) -> str:
    """What arrived, whole, as text that every backend can store: JSON where it was parsed."""
    if isinstance(record, bytes | bytearray):
        text = record.decode("utf-8", errors="backslashreplace")
    elif isinstance(record, str):
        text = record.encode("utf-8", errors="backslashreplace").decode()
    else:
        try:
            text = msgspec.json.encode(record).decode()
        except (TypeError, ValueError, OverflowError):
            text = repr(record).encode("utf-8", errors="backslashreplace").decode()
    return text.replace("\0", "\\x00")  # PostgreSQL has no such character


def _sorted(verdicts: Sequence[Event | Rejected]) -> Checked:
    checked = Checked([], [])
    for verdict in verdicts:
        if isinstance(verdict, Event):
            checked.events.append(verdict)
        else:
            checked.rejected.append(verdict)
    return checked


def _context_text(record: dict[str, Any]) -> str | None:
    context = record.get(CONTEXT)
    return None if context is None else msgspec.json.encode(context).decode()


def _moment(record: dict[str, Any], now: datetime) -> datetime | None:
    """The event's time in UTC; None for one that RFC 3339 allows and no calendar here holds."""
    text = record.get(OCCURRED_AT)
    if text is None:
        return now
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # a leap second, the year 0
        return None


def _unknown_type(record: dict[str, Any]) -> Broken:
    if TYPE not in record:
        return Broken("schema", f"$.{TYPE} is required, and missing.")
    return Broken(
        "unknown_type", f"$.{TYPE}: expected one of {_TYPES}, got {quoted(record[TYPE])}."
    )


def _unknown_item(item_id: str) -> Broken:
    return Broken("unknown_item", f"$.{ITEM_ID}: the catalogue has no item {quoted(item_id)}.")


def _rejected(record: object, broken: Broken, source: str, now: datetime) -> Rejected:
    text = record_text(record)
    digest = hashlib.sha256(f"{source}\0{text}".encode()).hexdigest()
    reason = (
        broken.reason.encode("utf-8", errors="backslashreplace").decode().replace("\0", "\\x00")
    )
    return Rejected(digest[:32], source, text, broken.rule, reason, now)

"""Events that other programs write to topics of their own: into the log, under the contract.

What breaks the contract goes to the dead-letter topic. A message has an id of its own: that which
came with it, or one made of where it lies; so taking it in again, after a kill or a change of
hands, adds nothing.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nextup.domain.events import from_microseconds
from nextup.domain.foreign_messages import event_record
from nextup.domain.tables import EVENT_ID, OCCURRED_AT, TYPE
from nextup.services.intake import UNKNOWN_TYPE, accepted_outcome, rejected_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextup.domain.events import Appended
    from nextup.ports.event_log import EventLog
    from nextup.ports.topics import ForeignMessage, IntakeMember
    from nextup.services.contracts import Checked, EventContract
    from nextup.services.intake import Outcome

INTAKE_GROUP: Final = "intake"
_ID_BYTES: Final = 16


class ForeignIntake:
    """A share of `nextup stream`."""

    name = "intake"

    def __init__(
        self,
        member: IntakeMember,
        event_log: EventLog,
        contract: EventContract,
        *,
        types: Mapping[str, str],
        rows: int,
        on_outcome: Callable[[str, Outcome], None] | None = None,
    ) -> None:
        """`types` says what a topic holds, where its messages need not say it themselves;
        `on_outcome` is told of each message, as an `Intake`'s is."""
        self._on_outcome = on_outcome
        self._member = member
        self._log = event_log
        self._contract = contract
        self._types = types
        self._rows = rows

    def step(self) -> bool:
        """One batch: durable in the log before it counts as taken."""
        messages = self._member.take(self._rows)
        fresh = [message for message in messages if not message.is_copy]
        if fresh:
            records = [self._record(message) for message in fresh]
            checked = self._contract.check_many(records, [_source(message) for message in fresh])
            if checked.rejected:
                self._log.reject(checked.rejected)
            receipts = self._log.append(checked.events) if checked.events else ()
            self._tell(checked, receipts)
        if messages:
            self._member.commit()
        return bool(messages)

    def close(self) -> None:
        """Leave the group."""
        self._member.close()

    def _tell(self, checked: Checked, receipts: Sequence[Appended]) -> None:
        if self._on_outcome is None:
            return
        for one in checked.rejected:
            self._on_outcome(UNKNOWN_TYPE, rejected_outcome(one))
        for event, receipt in zip(checked.events, receipts, strict=True):
            self._on_outcome(event.type, accepted_outcome(receipt))

    def _record(self, message: ForeignMessage) -> dict[str, Any] | bytes:
        """In the contract's words; what is no JSON object stays, for the contract to refuse."""
        try:
            content = msgspec.json.decode(message.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return message.content
        if not isinstance(content, dict):
            return message.content
        record = event_record(content)
        if kind := self._types.get(message.topic):
            record.setdefault(TYPE, kind)
        record.setdefault(EVENT_ID, message.message_id or _minted(message))
        record.setdefault(OCCURRED_AT, from_microseconds(message.sent_at).isoformat())
        return record


def _minted(message: ForeignMessage) -> str:
    return blake2b(_place(message).encode(), digest_size=_ID_BYTES).hexdigest()


def _source(message: ForeignMessage) -> str:
    """The same for a message that was sent again, so that it is rejected once."""
    return f"{message.topic}/{message.message_id}" if message.message_id else _place(message)


def _place(message: ForeignMessage) -> str:
    return f"{message.topic}/{message.partition}/{message.offset}"

"""Take events in: check the contract, append durably, and let them count at once."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from nextup.domain.errors import BackendUnavailable, CorruptData, StorageFull
from nextup.domain.events import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nextup.domain.events import Appended
    from nextup.ports.event_log import EventLog
    from nextup.services.contracts import EventContract
    from nextup.services.stream import OnlineUpdater

log = logging.getLogger(__name__)

SOURCE = "api"
UNKNOWN_TYPE = "unknown"


class Fate(StrEnum):
    """What became of a record."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the log already held this event id
    REJECTED = "rejected"  # kept in quarantine


class Outcome(NamedTuple):
    """What became of one record, and why."""

    fate: Fate
    event_id: str = ""  # of an event
    rejected_id: str = ""  # of a rejection, with
    rule: str = ""
    reason: str = ""


class Intake:
    """Safe to share between threads. What it returned as accepted is durable."""

    def __init__(
        self,
        contract: EventContract,
        event_log: EventLog,
        updater: OnlineUpdater,
        *,
        on_outcome: Callable[[str, Outcome], None] | None = None,
        source: str = SOURCE,
        touched: Callable[[Iterable[str]], object] = lambda user_ids: None,
    ) -> None:
        """`source` is where rejected records are said to come from; `touched` is told whose
        answers have changed, before they are told that their events were accepted."""
        self._touched = touched
        self._contract = contract
        self._log = event_log
        self._updater = updater
        self._on_outcome = on_outcome  # told the event's type and the outcome
        self._source = source

    def take(self, record: object) -> Outcome:
        """One record: JSON bytes or text, or what it was parsed to.

        Raises BackendUnavailable when it could not be made durable; the caller sends it again.
        """
        checked = self._contract.check(record, self._source)
        if isinstance(checked, Rejected):
            self._log.reject([checked])
            outcome = rejected_outcome(checked)
            self._tell(UNKNOWN_TYPE, outcome)
            return outcome
        receipts = self._log.append([checked])
        self._apply(receipts)
        self._touched((checked.user_id,))
        outcome = accepted_outcome(receipts[0])
        self._tell(checked.type, outcome)
        return outcome

    def take_each(self, records: Sequence[object]) -> list[Outcome | Exception]:
        """Records of as many callers, together: for each what `take` returns or raises for it."""
        try:
            return [*self._take_together(records)]
        except BackendUnavailable as error:
            if not isinstance(error, StorageFull):  # a smaller one may still fit
                return [type(error)(error.message, cure=error.cure) for _ in records]
        except Exception:
            log.debug("One of %d records is at fault", len(records), exc_info=True)
        return [self._taken_alone(record) for record in records]

    def _taken_alone(self, record: object) -> Outcome | Exception:
        try:
            return self.take(record)
        except Exception as error:
            return error

    def _take_together(self, records: Sequence[object]) -> list[Outcome]:
        verdicts = self._contract.check_each(records, self._source)
        rejected = [verdict for verdict in verdicts if isinstance(verdict, Rejected)]
        events = [verdict for verdict in verdicts if not isinstance(verdict, Rejected)]
        if rejected:
            self._log.reject(rejected)
        receipts = self._log.append(events) if events else []
        self._apply(receipts)
        self._touched({event.user_id for event in events})
        appended = iter(receipts)
        outcomes = []
        for verdict in verdicts:
            if isinstance(verdict, Rejected):
                event_type, outcome = UNKNOWN_TYPE, rejected_outcome(verdict)
            else:
                event_type, outcome = verdict.type, accepted_outcome(next(appended))
            self._tell(event_type, outcome)
            outcomes.append(outcome)
        return outcomes

    def take_many(self, records: Sequence[object]) -> list[Outcome]:
        """A batch; bad rows go to quarantine and good ones are kept. One outcome per record."""
        sources = [f"{self._source} row {row}" for row in range(len(records))]
        checked = self._contract.check_many(records, sources)
        if checked.rejected:
            self._log.reject(checked.rejected)
        receipts = self._log.append(checked.events) if checked.events else []
        self._apply(receipts)
        self._touched({event.user_id for event in checked.events})
        rejected = {rejection.source: rejection for rejection in checked.rejected}
        appended = zip(checked.events, receipts, strict=True)
        outcomes = []
        for source in sources:
            if source in rejected:
                event_type, outcome = UNKNOWN_TYPE, rejected_outcome(rejected[source])
            else:
                event, receipt = next(appended)
                event_type, outcome = event.type, accepted_outcome(receipt)
            self._tell(event_type, outcome)
            outcomes.append(outcome)
        return outcomes

    def _apply(self, receipts: Sequence[Appended]) -> None:
        """Let the events count for the next answer. They are safe already: when the state does
        not answer, the background brings them in later."""
        until: dict[str, int] = {}
        for receipt in receipts:
            until[receipt.partition] = max(until.get(receipt.partition, 0), receipt.offset + 1)
        try:
            self._updater.catch_up(until)
        except (BackendUnavailable, CorruptData) as error:
            log.warning("Events are in the log and count later: %s", error)

    def _tell(self, event_type: str, outcome: Outcome) -> None:
        if self._on_outcome is not None:
            self._on_outcome(event_type, outcome)


def accepted_outcome(receipt: Appended) -> Outcome:
    """Of an event that is in the log."""
    return Outcome(Fate.DUPLICATE if receipt.duplicate else Fate.ACCEPTED, receipt.event_id)


def rejected_outcome(rejection: Rejected) -> Outcome:
    """Of a record that is in quarantine."""
    return Outcome(
        Fate.REJECTED,
        rejected_id=rejection.rejected_id,
        rule=rejection.rule,
        reason=rejection.reason,
    )

"""What is written once: which records are sent, and what is known of them afterwards."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaError
from tests.contract.cases import event

from nextup.adapters.event_log.kafka_once import OnceShipment, Window
from nextup.domain.errors import BackendUnavailable, InvalidInput, NextupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nextup.adapters.event_log.kafka_once import Copy
    from nextup.adapters.event_log.kafka_writing import Outgoing
    from nextup.domain.events import Event

LOST = KafkaError(KafkaError._MSG_TIMED_OUT)


class Kept(NamedTuple):
    """What the driver tells of a message that was acknowledged."""

    place: int

    def partition(self) -> int:
        return self.place % 3

    def offset(self) -> int:
        return self.place


class Broker:
    """Sends shipments by hand."""

    def __init__(self, most: int = 100, *, copies: bool = False) -> None:
        self.window = Window(most)
        self.copies = copies
        self.sent: list[str] = []
        self.settled = 0  # how often everything else had to be waited for
        self.under_way: list[tuple[OnceShipment[Event], int]] = []

    def pack(self, events: Sequence[Event]) -> tuple[Iterable[Outgoing], list[Copy]]:
        if any(one.user_id == "bad" for one in events):
            raise InvalidInput("An event cannot be stored.")
        messages = [("log", b"", one.event_id.encode(), None) for one in events]
        copies = [(one.event_id, ("copies", b"", b"", None)) for one in events]
        return messages, copies if self.copies else []

    def send(self, *events: Event) -> OnceShipment[Event]:
        """What is not settled by this is under way."""
        shipment = OnceShipment(events, self.pack, self.window)
        try:
            count, messages = shipment.load(self.settle_all)
        except NextupError as error:
            shipment.stop(error, 0)
            return shipment
        shipment.begin(count, lambda _: BackendUnavailable("did not acknowledge"))
        first = len(self.sent)
        self.sent += [content.decode() for topic, _, content, _ in messages if topic == "log"]
        if count:
            self.under_way.append((shipment, first))
        return shipment

    def answer(self, *refused: int) -> None:
        """To the oldest shipment; the messages with these numbers are refused."""
        shipment, first = self.under_way.pop(0)
        for index in range(shipment._unheard):
            shipment.note(index, LOST if index in refused else None, Kept(first + index))  # type: ignore[arg-type]

    def settle_all(self) -> None:
        self.settled += 1
        while self.under_way:
            self.answer()


def names(shipment: OnceShipment[Event]) -> list[tuple[int, bool]]:
    assert shipment.wait(0)
    assert shipment.failure is None
    return [(receipt.offset, receipt.duplicate) for receipt in shipment.receipts]


def test_receipts_say_where_and_whether_it_was_there() -> None:
    """In the order of the records, whatever order they are sent in."""
    broker = Broker()
    first = broker.send(event(0), event(1))
    broker.answer()
    assert names(first) == [(0, False), (1, False)]
    second = broker.send(event(1), event(2), event(2), event(0))
    broker.answer()
    assert names(second) == [(1, True), (2, False), (2, True), (0, True)]
    assert [receipt.partition for receipt in second.receipts] == ["1", "2", "2", "0"]
    assert len(broker.sent) == 3


def test_nothing_to_send_is_settled_at_once() -> None:
    """All of it was known."""
    broker = Broker()
    broker.send(event(0))
    broker.answer()
    assert names(broker.send(event(0))) == [(0, True)]


def test_what_is_under_way_is_waited_for() -> None:
    """It is sent once, and whoever came second has a duplicate."""
    broker = Broker()
    first = broker.send(event(0), event(1))
    second = broker.send(event(1), event(2))
    broker.answer()
    assert broker.settled == 1
    assert names(first) == [(0, False), (1, False)]
    assert names(second) == [(1, True), (2, False)]


def test_what_failed_under_way_is_sent_by_the_next() -> None:
    """Whoever waits for it does not share its fate."""
    broker = Broker()
    first = broker.send(event(0))
    broker.settle_all = lambda: broker.answer(0)  # type: ignore[method-assign]
    second = broker.send(event(0))
    broker.answer()
    assert isinstance(first.failure, BackendUnavailable)
    assert names(second) == [(1, False)]


def test_only_what_was_refused_is_sent_again() -> None:
    """The rest is known, although its shipment failed."""
    broker = Broker()
    first = broker.send(event(0), event(1), event(2))
    broker.answer(1)
    assert isinstance(first.failure, BackendUnavailable)
    second = broker.send(event(0), event(1), event(2))
    broker.answer()
    assert names(second) == [(0, True), (3, False), (2, True)]


def test_a_record_without_its_copy_is_sent_again() -> None:
    """Readers of the copies would never see it."""
    broker = Broker(copies=True)
    broker.send(event(0), event(1))
    broker.answer(3)  # the second one's copy
    second = broker.send(event(0), event(1))
    broker.answer()
    assert [duplicate for _, duplicate in names(second)] == [True, False]


def test_what_cannot_be_packed_leaves_no_trace() -> None:
    """Neither do the records beside it."""
    broker = Broker()
    assert isinstance(broker.send(event(0), event(1, user="bad")).failure, InvalidInput)
    assert not broker.window.places
    shipment = broker.send(event(0))
    broker.answer()
    assert names(shipment) == [(0, False)]


def test_what_was_not_sent_is_not_known() -> None:
    """The driver gave up in the middle."""
    broker = Broker()
    shipment = OnceShipment([event(0), event(1), event(2)], broker.pack, broker.window)
    count, _ = shipment.load(broker.settle_all)
    shipment.begin(count, lambda _: BackendUnavailable("did not acknowledge"))
    shipment.stop(BackendUnavailable("cannot be written"), 2)
    assert not shipment.wait(0)
    shipment.note(0, None, Kept(7))  # type: ignore[arg-type]
    assert shipment.wait(0)
    assert broker.window.places == {event(0).event_id: ("1", 7)}


def test_a_window_forgets_the_oldest() -> None:
    """And a shipment larger than it has all its receipts."""
    broker = Broker(most=10)
    large = broker.send(*map(event, range(25)))
    broker.answer()
    assert names(large) == [(number, False) for number in range(25)]
    assert list(broker.window.places) == [event(number).event_id for number in range(15, 25)]


def test_a_caller_waits_until_all_is_known() -> None:
    """However long the others take."""
    broker = Broker()
    shipment = broker.send(event(0))
    waiting = threading.Thread(target=shipment.wait, args=(60,))
    waiting.start()
    broker.answer()
    waiting.join(10)
    assert not waiting.is_alive()

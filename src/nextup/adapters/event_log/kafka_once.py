"""Writing what has an id only once."""

from __future__ import annotations

from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from nextup.adapters.event_log.kafka_writing import Load, Outgoing, Shipment
from nextup.domain.events import Appended, Event, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from confluent_kafka import KafkaError, Message

Place = tuple[str, int]
"""Where a message lies: partition and offset."""

Copy = tuple[str, Outgoing]
"""For another topic: the id of the record that it is a copy of, and the message."""

Record = TypeVar("Record", Event, Rejected)  # their first field is their id

_appended: Callable[[Iterable[Any]], Appended] = partial(tuple.__new__, Appended)
_NOWHERE: Final[Place] = ("", -1)  # as long as it is not known


class Window:
    """The ids written or seen last, with their places; the oldest are forgotten first.

    An id that is under way has its shipment instead of a place.
    """

    def __init__(self, most: int, places: Iterable[tuple[str, Place]] = ()) -> None:
        self._most = most
        self.places: dict[str, Place | Shipment] = dict(places)

    def trim(self) -> None:
        """Forget what is too much; many at once, because each time what was forgotten before is
        looked past."""
        too_many = len(self.places) - self._most
        if too_many > self._most // 16:
            for name in list(islice(self.places, too_many)):
                del self.places[name]


class OnceShipment(Shipment, Generic[Record]):
    """Records, of which those are sent that the window does not know.

    One that was not acknowledged is sent again when it is repeated, and readers leave out the
    second.
    """

    def __init__(
        self,
        records: Sequence[Record],
        pack: Callable[[list[Record]], tuple[Iterable[Outgoing], list[Copy]]],
        window: Window,
    ) -> None:
        """`pack` gives the message of each, and copies: a record counts as written when these are
        acknowledged, too."""
        super().__init__()
        self.receipts: list[Appended] = []  # one for each, when it is settled without a failure
        self._records: Sequence[Record] = records
        self._pack: Callable[[list[Record]], tuple[Iterable[Outgoing], list[Copy]]] = pack
        self._window = window
        self._known: dict[str, Place] = {}  # before it was loaded
        self._sent: list[str] = []  # ids, as their messages go
        self._places = [_NOWHERE] * len(records)  # of these, as they become known
        self._copies: list[Copy] = []
        self._uncopied: set[str] = set()

    def load(self, settle_all: Callable[[], None]) -> Load:
        """See `Shipment`."""
        places, sent = self._window.places, self._sent
        fresh: list[Record] = []
        for record in self._records:
            name = record[0]
            place = places.get(name)
            if isinstance(place, Shipment) and place is not self:
                settle_all()
                place = places.get(name)
            if place is None:
                places[name] = self
                sent.append(name)
                fresh.append(record)
            elif place is not self:
                self._known[name] = place  # type: ignore[assignment]  # all are settled
        messages, self._copies = self._pack(fresh)
        copies = (copy for _, copy in self._copies)
        return len(sent) + len(self._copies), chain(messages, copies)

    def note(self, index: int, error: KafkaError | None, message: Message) -> None:
        """See `Shipment`."""
        if error is None and index < len(self._sent):
            self._places[index] = _NAMES[message.partition()], message.offset()  # type: ignore
        elif error is not None and index >= len(self._sent):
            self._uncopied.add(self._copies[index - len(self._sent)][0])
        super().note(index, error, message)

    def settle(self) -> None:
        """See `Shipment`."""
        if self.failure is None:
            self._window.places.update(self._written())
            self.receipts = self._received()
        else:
            self._forget()
        self._window.trim()
        super().settle()

    def _written(self) -> Iterable[tuple[str, Place]]:
        return zip(self._sent, self._places, strict=False)

    def _forget(self) -> None:
        """Whatever was not written, or not copied."""
        places = self._window.places
        for name, place in self._written():
            if place is _NOWHERE or name in self._uncopied:
                places.pop(name, None)
            else:
                places[name] = place

    def _received(self) -> list[Appended]:
        """Whoever comes first with an id has written it; all others are duplicates."""
        if len(self._sent) == len(self._records):
            return [_appended((name, at, offset, False)) for name, (at, offset) in self._written()]
        receipts = []
        written, seen = dict(self._written()), self._known
        for record in self._records:
            name = record[0]
            duplicate = name in seen
            partition, offset = seen.setdefault(name, written.get(name, _NOWHERE))
            receipts.append(Appended(name, partition, offset, duplicate))
        return receipts


class _Names(dict[int, str]):
    """Of partitions."""

    def __missing__(self, number: int) -> str:
        name = self[number] = f"{number}"
        return name


_NAMES = _Names()

"""Writing to a topic, each id once, acknowledged by all brokers that keep a copy."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from confluent_kafka import KafkaException, Producer

from nextup.adapters.event_log.kafka_messages import HEADER_ID
from nextup.domain.errors import BackendUnavailable, InvalidInput, NextupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from confluent_kafka import KafkaError, Message

    from nextup.adapters.event_log.kafka_client import KafkaClient
    from nextup.adapters.event_log.kafka_messages import Headers
    from nextup.ports.topics import TopicMessage

LARGEST_MESSAGE: Final = 900_000  # bytes; brokers take 1 MB with their own words around it
BUFFERED_KILOBYTES: Final = 65_536  # of messages under way
_GRACE_SECONDS: Final = 5.0  # for the driver's last word on a message whose time is over


class Place(NamedTuple):
    """Where a message lies."""

    partition: str
    offset: int


class Outgoing(NamedTuple):
    """A message on its way. Messages of one key keep their order."""

    topic: str
    key: bytes
    content: bytes
    headers: Headers | None = None


class KafkaWriter:
    """One idempotent producer: what the driver sends again is not written twice.

    Safe to share between threads. A producer that has failed for good is replaced by a new one.
    """

    def __init__(self, client: KafkaClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._closed = False

    def write(self, messages: Sequence[Outgoing]) -> list[Place | NextupError]:
        """Send all and wait for every acknowledgement; an error in the place of each that has
        none. It may have been written all the same: then an acknowledgement was lost."""
        for message in messages:
            if len(message.content) > LARGEST_MESSAGE:
                raise InvalidInput(
                    f"An event of {len(message.content):,} bytes is too large.",
                    cure=f"Up to {LARGEST_MESSAGE:,} bytes are kept.",
                )
        producer = self._open()
        outcomes: list[Place | NextupError | None] = [None] * len(messages)
        for at, message in enumerate(messages):
            self._send(producer, message, partial(self._note, outcomes, at))
        producer.flush(self._client.timeout + _GRACE_SECONDS)
        return [outcome or self._client.explain(None, "did not answer") for outcome in outcomes]

    def close(self) -> None:
        """Closing twice does nothing."""
        with self._lock:
            self._closed = True
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(_GRACE_SECONDS)

    def _open(self) -> Producer:
        with self._lock:
            if self._closed:
                raise BackendUnavailable("The event log is closed.")
            if self._producer is None:
                self._producer = Producer(
                    self._client.configuration(
                        enable_idempotence=True,
                        acks="all",
                        partitioner="murmur2_random",  # as Java's clients; an empty key counts
                        linger_ms=50,  # what is written together travels together: flush ends it
                        compression_type="lz4",
                        message_timeout_ms=int(self._client.timeout * 1000),
                        queue_buffering_max_kbytes=BUFFERED_KILOBYTES,
                        queue_buffering_max_messages=1_000_000,
                    )
                )
            return self._producer

    def _send(
        self,
        producer: Producer,
        message: Outgoing,
        note: Callable[[KafkaError | None, Message], None],
    ) -> None:
        while True:
            try:
                producer.produce(
                    message.topic,
                    message.content,
                    message.key,
                    on_delivery=note,
                    headers=message.headers,
                )
            except BufferError:  # as much as fits is under way
                producer.poll(0.1)
            except KafkaException as error:
                self._replace(producer, error.args[0])
                raise self._client.explain(error.args[0], "cannot be written") from error
            else:
                producer.poll(0)
                return

    def _note(
        self,
        outcomes: list[Place | NextupError | None],
        at: int,
        error: KafkaError | None,
        message: Message,
    ) -> None:
        if error is None:
            self._client.forget_reason()
            offset = message.offset()
            outcomes[at] = Place(f"{message.partition()}", -1 if offset is None else offset)
        else:
            outcomes[at] = self._client.explain(error, "did not acknowledge")
            if error.fatal():
                self._replace(self._producer, error)

    def _replace(self, producer: Producer | None, error: KafkaError) -> None:
        with self._lock:
            if error.fatal() and self._producer is producer:
                self._producer = None


class Named(NamedTuple):
    """What is written together under one id; the first message is the one that counts."""

    name: str
    messages: Sequence[Outgoing]


class Receipt(NamedTuple):
    """Where an id lies, and whether it lay there before."""

    place: Place
    duplicate: bool


class Window:
    """The ids written or seen last, with their places; the oldest are forgotten first."""

    def __init__(self, most: int, places: Iterable[tuple[str, Place]] = ()) -> None:
        self._most = most
        self._places: OrderedDict[str, Place] = OrderedDict()
        self.note(places)

    def get(self, name: str) -> Place | None:
        """Where the id lies; None for one that is not known."""
        return self._places.get(name)

    def note(self, places: Iterable[tuple[str, Place]]) -> None:
        """Remember; an id that is known keeps its first place."""
        for name, place in places:
            self._places.setdefault(name, place)
        while len(self._places) > self._most:
            self._places.popitem(last=False)


def foreign(topic: str, message: TopicMessage) -> Outgoing:
    """A message for other programs."""
    headers: Headers = [(HEADER_ID, message.message_id.encode())] if message.message_id else []
    return Outgoing(topic, message.key.encode(), message.content, headers)


def write_once(
    writer: KafkaWriter, window: Window, calls: Sequence[Sequence[Named]]
) -> list[list[Receipt] | NextupError]:
    """Write what the window does not know, for several callers together.

    Each gets the receipts of its own ids, or an error where one of them was not acknowledged; that
    one is written again when it is repeated, and readers leave out the second.
    """
    sent: list[Outgoing] = []
    fresh: dict[str, range] = {}  # by id, the places among what is sent
    for one in (one for call in calls for one in call):
        if one.name not in fresh and window.get(one.name) is None:
            fresh[one.name] = range(len(sent), len(sent) + len(one.messages))
            sent += one.messages
    outcomes = writer.write(sent) if sent else []
    found: dict[str, Place | NextupError] = {}
    for name, where in fresh.items():
        theirs = outcomes[where.start : where.stop]
        found[name] = next((one for one in theirs if isinstance(one, NextupError)), theirs[0])
    known = {one.name: window.get(one.name) for call in calls for one in call}
    window.note((name, place) for name, place in found.items() if isinstance(place, Place))
    unclaimed = set(fresh)
    return [_receipts(call, found, known, unclaimed) for call in calls]


def _receipts(
    call: Sequence[Named],
    found: Mapping[str, Place | NextupError],
    known: Mapping[str, Place | None],
    unclaimed: set[str],
) -> list[Receipt] | NextupError:
    """Whoever comes first with an id has written it; for all others it is a duplicate."""
    receipts = []
    for name, _ in call:
        place = known[name] or found[name]
        if isinstance(place, NextupError):
            return place
        receipts.append(Receipt(place, name not in unclaimed))
        unclaimed.discard(name)
    return receipts

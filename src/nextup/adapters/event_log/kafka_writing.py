"""Writing to a topic, each id once, acknowledged by all brokers that keep a copy."""

from __future__ import annotations

import threading
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException, Producer

from nextup.adapters.event_log.kafka_messages import HEADER_ID, Headers
from nextup.domain.errors import BackendUnavailable, InvalidInput, NextupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from confluent_kafka import KafkaError, Message

    from nextup.adapters.event_log.kafka_client import KafkaClient
    from nextup.ports.topics import TopicMessage

LARGEST_MESSAGE: Final = 900_000  # bytes; brokers take 1 MB with their own words around it
BUFFERED_KILOBYTES: Final = 65_536  # of messages under way
SERVED_AT_ONCE: Final = 500  # acknowledgements are heard in between
_GRACE_SECONDS: Final = 5.0  # for the driver's last word on a message whose time is over


# Plain tuples of texts and numbers: the garbage collector looks at each once and never again. As
# named tuples they made it cost more than all the rest of an append.

Place = tuple[str, int]
"""Where a message lies: partition and offset."""

Outgoing = tuple[str, bytes, bytes, Headers | None]
"""A message on its way: topic, key, content, headers. Messages of one key keep their order."""


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
        if any(len(message[2]) > LARGEST_MESSAGE for message in messages):
            raise InvalidInput(
                "An event is too large.", cure=f"Up to {LARGEST_MESSAGE:,} bytes are kept."
            )
        producer = self._open()
        outcomes: list[Place | NextupError | None] = [None] * len(messages)
        for at, message in enumerate(messages):
            self._send(producer, message, partial(self._note, outcomes, at))
            if at % SERVED_AT_ONCE == 0:
                producer.poll(0)
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
                topic, key, content, headers = message
                producer.produce(topic, content, key, on_delivery=note, headers=headers)
            except BufferError:  # as much as fits is under way
                producer.poll(0.1)
            except KafkaException as error:
                self._replace(producer, error.args[0])
                raise self._client.explain(error.args[0], "cannot be written") from error
            else:
                return

    def _note(
        self,
        outcomes: list[Place | NextupError | None],
        at: int,
        error: KafkaError | None,
        message: Message,
    ) -> None:
        if error is None:
            outcomes[at] = (str(message.partition()), message.offset())  # type: ignore[assignment]
        else:
            outcomes[at] = self._client.explain(error, "did not acknowledge")
            if error.fatal():
                self._replace(self._producer, error)

    def _replace(self, producer: Producer | None, error: KafkaError) -> None:
        with self._lock:
            if error.fatal() and self._producer is producer:
                self._producer = None


Named = tuple[str, tuple[Outgoing, ...]]
"""What is written together under one id; the first message is the one that counts."""

Receipt = tuple[Place, bool]
"""Where an id lies, and whether it lay there before."""


class Window:
    """The ids written or seen last, with their places; the oldest are forgotten first."""

    def __init__(self, most: int, places: Iterable[tuple[str, Place]] = ()) -> None:
        self._most = most
        self.places = dict(places)

    def trim(self) -> None:
        """Forget what is too much."""
        too_many = len(self.places) - self._most
        for name in list(islice(self.places, max(0, too_many))):
            del self.places[name]


def foreign(topic: str, message: TopicMessage) -> Outgoing:
    """A message for other programs."""
    headers: Headers = [(HEADER_ID, message.message_id.encode())] if message.message_id else []
    return topic, message.key.encode(), message.content, headers


def write_once(
    writer: KafkaWriter, window: Window, calls: Sequence[Sequence[Named]]
) -> list[list[Receipt] | NextupError]:
    """Write what the window does not know, for several callers together.

    Each gets the receipts of its own ids, or an error where one of them was not acknowledged; that
    one is written again when it is repeated, and readers leave out the second.
    """
    sent: list[Outgoing] = []
    fresh: dict[str, int] = {}  # by id, where its messages begin among those
    for call in calls:
        for name, messages in call:
            if name not in fresh and name not in window.places:
                fresh[name] = len(sent)
                sent += messages
    outcomes = writer.write(sent) if sent else []
    answers = [_receipts(call, window.places, fresh, outcomes) for call in calls]
    window.trim()
    return answers


def _receipts(
    call: Sequence[Named],
    places: dict[str, Place],
    fresh: Mapping[str, int],
    outcomes: Sequence[Place | NextupError],
) -> list[Receipt] | NextupError:
    """Whoever comes first with an id has written it; for all others it is a duplicate."""
    receipts: list[Receipt] = []
    failure: NextupError | None = None
    for name, messages in call:
        place = places.get(name)
        if place is not None:
            receipts.append((place, True))
            continue
        outcome = _outcome(outcomes, fresh[name], len(messages))
        if isinstance(outcome, NextupError):
            failure = outcome
        else:
            places[name] = outcome
            receipts.append((outcome, False))
    return failure or receipts


def _outcome(
    outcomes: Sequence[Place | NextupError], at: int, messages: int
) -> Place | NextupError:
    """Of the first message, unless one of its copies failed."""
    for one in outcomes[at + 1 : at + messages] if messages > 1 else ():
        if isinstance(one, NextupError):
            return one
    return outcomes[at]

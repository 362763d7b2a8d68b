"""Writing to topics: one producer, in a thread of its own.

Callers hand over shipments and wait, each for its own. Meanwhile the thread makes the messages of
the next, so that neither it nor the brokers wait for the other while there is work: with a flush
after each shipment, events cost half as much again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException, Producer

from nextup.adapters.event_log.kafka_messages import HEADER_ID, Headers, require_size
from nextup.domain.errors import BackendUnavailable, NextupError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import KafkaError, Message

    from nextup.adapters.event_log.kafka_client import KafkaClient
    from nextup.ports.topics import TopicMessage

BUFFERED_KILOBYTES: Final = 65_536  # of messages under way
SERVED_AT_ONCE: Final = 500  # acknowledgements are heard in between
_REST_SECONDS: Final = 0.002  # that the thread listens to the brokers before it looks for work
_GRACE_SECONDS: Final = 5.0  # for the driver's last word on a message whose time is over
_ANY_PARTITION: Final = -1  # the driver chooses, by the key
_NOW: Final = 0  # as a message's time


# A plain tuple: the garbage collector looks at it once and never again. As named tuples messages
# made it cost more than all the rest of an append.

Outgoing = tuple[str, bytes, bytes, Headers | None]
"""A message on its way: topic, key, content, headers. Messages of one key keep their order."""


Load = tuple[int, Iterable[Outgoing]]
"""How many messages a shipment has, and these."""


class Shipment:
    """What one caller wants written, until each message is acknowledged or refused.

    Everything but `wait` happens in the writer's thread.
    """

    def __init__(self, messages: Sequence[Outgoing] = ()) -> None:
        self.failure: Exception | None = None
        self._messages = messages
        self._unheard = 0  # messages of which it is not known what became of them
        self._settled = threading.Lock()
        self._settled.acquire()

    def load(self, settle_all: Callable[[], None]) -> Load:
        """What is to be sent. What is raised here, the caller gets. `settle_all` waits until no
        other shipment is under way."""
        return len(self._messages), self._messages

    def begin(self, count: int, explain: Callable[[KafkaError], Exception]) -> None:
        """So many messages are sent from now on."""
        self._unheard = count
        self._explain = explain
        if not count:
            self.settle()

    def note(self, index: int, error: KafkaError | None, message: Message) -> None:
        """What became of one message, which knows where it is."""
        if error is not None:
            self.failure = self._explain(error)
        self._unheard -= 1
        if not self._unheard:
            self.settle()

    def stop(self, error: Exception, unsent: int) -> None:
        """So many are not sent."""
        self.failure = error
        self._unheard -= unsent
        if not self._unheard:
            self.settle()

    def settle(self) -> None:
        """Nothing of it is under way any more."""
        self._settled.release()

    def wait(self, seconds: float) -> bool:
        """Whether it is settled within so long."""
        return self._settled.acquire(timeout=seconds)


class KafkaWriter:
    """One idempotent producer: what the driver sends again is not written twice.

    Safe to share between threads. Its own begins with the first shipment.
    """

    def __init__(self, client: KafkaClient) -> None:
        self._client = client
        self._queue: SimpleQueue[Shipment | None] = SimpleQueue()  # None: there will be no more
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def write(self, shipment: Shipment) -> None:
        """Send it and wait for every acknowledgement. Raises an error if one is missing: what was
        to be written may be there all the same."""
        with self._lock:
            if self._closed:
                raise BackendUnavailable("The event log is closed.")
            if self._thread is None or not self._thread.is_alive():
                sender = _Sender(self._client, self._queue)
                self._thread = threading.Thread(target=sender.run, name="kafka-writer", daemon=True)
                self._thread.start()
            self._queue.put(shipment)
        # in the queue, until there is room for it, and under way: each takes so long at most
        if not shipment.wait(3 * self._client.timeout + _GRACE_SECONDS):
            raise self._client.explain(None, "did not answer")
        if shipment.failure is not None:
            raise shipment.failure

    def close(self) -> None:
        """What is under way is given up. Closing twice does nothing."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(self._client.timeout + 2 * _GRACE_SECONDS)


class _Sender:
    """What the writer's thread does. A producer that has failed for good is replaced."""

    def __init__(self, client: KafkaClient, queue: SimpleQueue[Shipment | None]) -> None:
        self._client = client
        self._queue = queue
        self._producer = self._new_producer()
        self._broken = False

    def run(self) -> None:
        """Until the queue says that there will be no more."""
        while (shipment := self._next()) is not None:
            if self._broken:
                self._settle_all()
                self._producer, self._broken = self._new_producer(), False
            self._send(shipment)
        self._producer.purge()
        self._producer.flush(_GRACE_SECONDS)

    def _next(self) -> Shipment | None:
        """The brokers are listened to while nobody wants anything."""
        while True:
            try:
                return self._queue.get(block=not len(self._producer))
            except Empty:
                self._producer.flush(_REST_SECONDS)  # which sends what waits for company

    def _settle_all(self) -> None:
        while len(self._producer):
            self._producer.flush(_GRACE_SECONDS)

    def _send(self, shipment: Shipment) -> None:
        sent = count = 0
        try:
            count, messages = shipment.load(self._settle_all)
            shipment.begin(count, self._refused)
            produce, poll, note = self._producer.produce, self._producer.poll, shipment.note
            for sent, (topic, key, content, headers) in enumerate(messages):
                if sent % SERVED_AT_ONCE == 0:
                    poll(0)
                told = partial(note, sent)
                while True:
                    try:  # named arguments would cost as much again
                        produce(topic, content, key, _ANY_PARTITION, told, None, _NOW, headers)
                        break
                    except BufferError:  # as much as fits is under way
                        poll(0.1)
        except KafkaException as error:
            shipment.stop(self._refused(error.args[0]), count - sent)
        except Exception as error:  # whatever it is, somebody waits for it
            shipment.stop(error, count - sent)

    def _refused(self, error: KafkaError) -> NextupError:
        self._broken = self._broken or error.fatal()
        return self._client.explain(error, "did not acknowledge")

    def _new_producer(self) -> Producer:
        return Producer(
            self._client.configuration(
                enable_idempotence=True,
                acks="all",
                partitioner="murmur2_random",  # as Java's clients; an empty key counts
                compression_type="lz4",
                message_timeout_ms=int(self._client.timeout * 1000),
                queue_buffering_max_kbytes=BUFFERED_KILOBYTES,
                queue_buffering_max_messages=1_000_000,
            )
        )


def foreign(topic: str, message: TopicMessage) -> Outgoing:
    """A message for other programs."""
    headers: Headers = [(HEADER_ID, message.message_id.encode())] if message.message_id else []
    return topic, message.key.encode(), require_size(message.content), headers

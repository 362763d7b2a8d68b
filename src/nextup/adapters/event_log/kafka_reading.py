"""Reading a topic from any position, each event once.

Kafka keeps a message that was sent twice. A message is left out when its id was seen within the
`window` messages before it in its partition: what is left out depends on the topic alone, not on
who reads it or from where, so that all readers agree on what the log holds. A reader that starts
in the middle first looks at the ids of the window before it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from itertools import compress
from time import monotonic
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar, cast

from confluent_kafka import Consumer, KafkaError

from nextup.adapters.event_log.kafka_messages import UNREADABLE
from nextup.domain.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from confluent_kafka import Message

    from nextup.adapters.event_log.kafka_client import KafkaClient
    from nextup.adapters.event_log.kafka_topics import KafkaTopics
    from nextup.domain.events import Position

log = logging.getLogger(__name__)

Row = TypeVar("Row")

IDLE_CURSORS: Final = 4  # the lake's, the state's, and two that come by
MESSAGES_AT_ONCE: Final = 10_000
_PATIENCE: Final = 0.2  # seconds for a full batch; a gap in the offsets keeps it from filling
_UNREADABLE: Final = "\0"  # and the offset: the name of what has none


class RecentIds:
    """The ids of one partition's last messages, and where each was last."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._order: deque[tuple[int, str]] = deque()  # twice the window, to step back
        self._last: dict[str, int] = {}

    def repeats(self, offset: int, name: str) -> bool:
        """Note an id, later than all before; returns whether it was within the window."""
        before = self._last.get(name)
        self._last[name] = offset
        self._order.append((offset, name))
        self._forget(offset)
        return before is not None and before >= offset - self._window

    def repeated(self, offsets: Sequence[int], names: Sequence[str]) -> list[bool]:
        """`repeats` of several in their order; where nothing is repeated, at one go."""
        if not names or len(set(names)) < len(names) or not self._last.keys().isdisjoint(names):
            return list(map(self.repeats, offsets, names))
        self._last.update(zip(names, offsets, strict=True))
        self._order.extend(zip(offsets, names, strict=True))
        self._forget(offsets[-1])
        return [False] * len(names)

    def _forget(self, newest: int) -> None:
        order, last, oldest = self._order, self._last, newest - 2 * self._window
        while order[0][0] < oldest:
            gone, old = order.popleft()
            if last[old] == gone:
                del last[old]

    def step_back(self, offset: int, reached: int) -> bool:
        """Forget what lies at the offset and later; False where too little would be left."""
        if reached - offset > self._window:
            return False
        while self._order and self._order[-1][0] >= offset:
            self._order.pop()
        self._last = {name: at for at, name in self._order}
        return True


class _Batch(NamedTuple):
    """Messages, and where each lies."""

    messages: list[Message]
    partitions: list[int]
    offsets: list[int]


class Cursor(Generic[Row]):
    """One consumer that stands somewhere. Used by one thread at a time."""

    def __init__(self, reader: TopicReader[Row], consumer: Consumer) -> None:
        self._reader = reader
        self._consumer = consumer
        self._seen: dict[int, RecentIds] = {}
        self.next: dict[int, int] = {}

    def go_to(self, wanted: Mapping[int, int]) -> None:
        """Stand at these offsets, with the ids of the window before them known."""
        if self.next == wanted:
            return
        topic = self._reader.topic
        seed = {}
        for partition, offset in wanted.items():
            reached, seen = self.next.get(partition), self._seen.get(partition)
            if reached is None or seen is None or not self._can_reach(seen, offset, reached):
                self._seen[partition] = RecentIds(self._reader.window)
                seed[partition] = max(0, offset - self._reader.window)
            else:
                seed[partition] = min(offset, reached)
        self.next = seed
        self._consumer.assign([self._reader.topics.at(topic, p, o) for p, o in seed.items()])
        self._pass_over(wanted)
        self._reader.warn_of_lost(wanted)

    def _can_reach(self, seen: RecentIds, offset: int, reached: int) -> bool:
        if offset >= reached:
            return offset - reached <= self._reader.window
        return seen.step_back(offset, reached)

    def _pass_over(self, wanted: Mapping[int, int]) -> None:
        """Note the ids up to where reading begins. What came along from later is read again."""
        began = dict(self.next)
        if began == wanted:
            return
        for batch in self._batches(wanted, limit=None):
            for message, partition, offset in zip(*batch, strict=True):
                if offset < wanted[partition]:
                    self._seen[partition].repeats(offset, self._reader.name_of(message))
        self.next = dict(wanted)
        topic = self._reader.topic
        self._consumer.assign([self._reader.topics.at(topic, p, o) for p, o in wanted.items()])

    def read(self, ends: Mapping[int, int], limit: int) -> list[Row]:
        """At most so many rows of what lies before the ends; none only where there are none."""
        rows: list[Row] = []
        while len(rows) < limit and self._remaining(ends):
            for batch in self._batches(ends, limit - len(rows)):
                rows += self._fresh(batch)
        return rows

    def _fresh(self, batch: _Batch) -> list[Row]:
        """The rows of what was not seen within the window."""
        _, partitions, offsets = batch
        rows, names = self._rows(batch)
        places: dict[int, list[int]] = {partition: [] for partition in self._seen}
        for at, partition in enumerate(partitions):
            places[partition].append(at)
        for partition, chosen in places.items():
            noted = [offsets[at] for at in chosen], [names[at] for at in chosen]
            for at in compress(chosen, self._seen[partition].repeated(*noted)):
                rows[at] = None
        return [row for row in rows if row is not None]

    def _rows(self, batch: _Batch) -> tuple[list[Row | None], list[str]]:
        """Rows and names; none of what is unreadable, or a tombstone, which says nothing."""
        texts = {partition: f"{partition}" for partition in self._seen}
        reader = self._reader
        try:
            rows: list[Row | None] = [
                *reader.rows(
                    [texts[partition] for partition in batch.partitions],
                    batch.offsets,
                    [cast("bytes", message.value()) for message in batch.messages],
                )
            ]
        except (*UNREADABLE, TypeError):
            rows = [self._row(*one) for one in zip(*batch, strict=True)]
        return rows, [
            f"{_UNREADABLE}{offset}" if row is None else reader.name(row)
            for row, offset in zip(rows, batch.offsets, strict=True)
        ]

    def _row(self, message: Message, partition: int, offset: int) -> Row | None:
        content = message.value()
        if content is None:
            return None
        try:
            (row,) = self._reader.rows([f"{partition}"], [offset], [content])
        except UNREADABLE as error:
            self._reader.on_unreadable(message, error)
            return None
        return row

    def _remaining(self, ends: Mapping[int, int]) -> int:
        return sum(max(0, ends[partition] - offset) for partition, offset in self.next.items())

    def _batches(self, ends: Mapping[int, int], limit: int | None) -> Iterator[_Batch]:
        """The next messages; with a limit those of one look, else all before the ends."""
        deadline = monotonic() + self._reader.client.timeout
        while remaining := self._remaining(ends):
            number = min(remaining, MESSAGES_AT_ONCE if limit is None else limit, MESSAGES_AT_ONCE)
            found = self._consumer.consume(number, timeout=_PATIENCE)
            if messages := [message for message in found if self._is_content(message)]:
                yield self._passed(messages)
            if found:
                deadline = monotonic() + self._reader.client.timeout
                if limit is not None:
                    return
            elif monotonic() > deadline:
                raise self._reader.client.explain(None, "cannot be read")

    def _passed(self, messages: list[Message]) -> _Batch:
        """Move the cursor on behind these."""
        partitions = [cast("int", message.partition()) for message in messages]
        offsets = [cast("int", message.offset()) for message in messages]
        for partition, last in dict(zip(partitions, offsets, strict=True)).items():
            self.next[partition] = max(self.next[partition], last + 1)
        return _Batch(messages, partitions, offsets)

    def _is_content(self, message: Message) -> bool:
        """Tell messages from the driver's remarks; one of them moves the cursor on."""
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:  # gaps, such as marks of transactions, end
            partition, offset = _lies(message)
            if partition in self.next:
                self.next[partition] = max(self.next[partition], offset)
            return False
        if error.retriable() or error.code() in (KafkaError._ALL_BROKERS_DOWN,):
            return False
        raise self._reader.client.explain(error, "cannot be read")

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()


class TopicReader(Generic[Row]):
    """Reads one topic from any position. Safe to share between threads.

    Consumers are kept where they stopped, so that whoever reads on does not start anew.
    """

    def __init__(
        self,
        client: KafkaClient,
        topics: KafkaTopics,
        topic: str,
        *,
        window: int,
        rows: Callable[[Sequence[str], Sequence[int], Sequence[bytes]], list[Row]],
        name: Callable[[Row], str],
        name_of: Callable[[bytes], str],
        on_unreadable: Callable[[Message, Exception], None],
    ) -> None:
        """`rows` makes them of partitions, offsets and contents; it raises one of UNREADABLE, as
        `name_of` does."""
        self.client = client
        self.topics = topics
        self.topic = topic
        self.window = window
        self.rows = rows
        self.name = name
        self.on_unreadable = on_unreadable
        self._name_of = name_of
        self._idle: list[Cursor[Row]] = []
        self._lock = threading.Lock()
        self._closed = False

    def read(
        self, position: Position, limit: int, partitions: Collection[str] | None = None
    ) -> tuple[list[Row], Position]:
        """Rows and where to read on, of all partitions or of some."""
        self._refuse_closed()
        self.topics.check(self.topic, position)
        size = self.topics.partitions(self.topic)
        chosen = range(size) if partitions is None else sorted(int(each) for each in partitions)
        wanted = {number: position.get(f"{number}", 0) for number in chosen}
        ends = self.topics.ends(self.topic, wanted)
        self.topics.check_within(self.topic, wanted, ends)
        if limit <= 0 or all(ends[number] <= offset for number, offset in wanted.items()):
            return [], position
        cursor = self._cursor(wanted)
        try:
            cursor.go_to(wanted)
            rows = cursor.read(ends, limit)
            reached = {f"{number}": offset for number, offset in cursor.next.items() if offset}
        except BaseException:
            cursor.close()
            raise
        self._put_back(cursor)
        return rows, {**position, **reached}

    def tail(self) -> tuple[list[Row], int]:
        """The rows of the window before the end, and how many partitions there are."""
        ends = self.topics.ends(self.topic, range(self.topics.partitions(self.topic)))
        position = {f"{number}": max(0, end - self.window) for number, end in ends.items()}
        rows: list[Row] = []
        while (batch := self.read(position, MESSAGES_AT_ONCE))[0]:
            rows += batch[0]
            position = dict(batch[1])
            if all(position.get(f"{number}", 0) >= end for number, end in ends.items()):
                break
        return rows, len(ends)

    def name_of(self, message: Message) -> str:
        """The id in a message; one that has none gets one of its own."""
        content = message.value()
        try:
            return self._name_of(content or b"")
        except UNREADABLE:
            return f"{_UNREADABLE}{message.offset()}"

    def warn_of_lost(self, wanted: Mapping[int, int]) -> None:
        """Say so where retention has removed what was not read yet."""
        for partition, first in self.topics.beginnings(self.topic, wanted).items():
            if 0 < wanted[partition] < first:
                log.error(
                    "Topic %s: retention removed events %d to %d of partition %d before they "
                    "were read; kafka.retention_hours is too short.",
                    *(self.topic, wanted[partition], first - 1, partition),
                )

    def close(self) -> None:
        """Closing twice does nothing."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for cursor in idle:
            cursor.close()

    def _cursor(self, wanted: Mapping[int, int]) -> Cursor[Row]:
        """One that stands there, else one that is near, else a new one."""
        with self._lock:
            same = [cursor for cursor in self._idle if cursor.next.keys() == wanted.keys()]
            if same:
                nearest = min(same, key=lambda cursor: _distance(cursor.next, wanted))
                if _distance(nearest.next, wanted) <= self.window:
                    self._idle.remove(nearest)
                    return nearest
        return Cursor(self, self._consumer())

    def _consumer(self) -> Consumer:
        return Consumer(
            self.client.configuration(
                group_id=f"{self.topic}-reader",  # which never joins: the driver wants a name
                enable_auto_commit=False,
                enable_partition_eof=True,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                fetch_wait_max_ms=50,
                fetch_error_backoff_ms=50,
                queued_max_messages_kbytes=16_384,
            )
        )

    def _put_back(self, cursor: Cursor[Row]) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(cursor)
                cursor = self._idle.pop(0) if len(self._idle) > IDLE_CURSORS else None  # type: ignore[assignment]
        if cursor is not None:
            cursor.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise BackendUnavailable("The event log is closed.")


def _lies(message: Message) -> tuple[int, int]:
    """Partition and offset, which a message from a broker always has."""
    return cast("int", message.partition()), cast("int", message.offset())


def _distance(one: Mapping[int, int], other: Mapping[int, int]) -> int:
    return sum(abs(offset - other[partition]) for partition, offset in one.items())

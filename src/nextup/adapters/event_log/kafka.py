"""The event log on Kafka: one topic, keyed by person, and one for records that broke a contract.

Kafka has no unique keys and no transaction over this without making readers wait for dead
writers, so an event id is made unique in two places. A writer knows the ids of the log's end and
does not write them again; and readers leave out what was written twice all the same, by two
writers at once or after an acknowledgement that was lost. Both look back `dedupe_events` messages
of a partition; silver is deduplicated without bounds.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import cached_property
from itertools import repeat
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from nextup.adapters.event_log.kafka_client import KafkaClient, parse_url
from nextup.adapters.event_log.kafka_groups import KafkaGroupMember, KafkaIntakeMember
from nextup.adapters.event_log.kafka_messages import (
    copied,
    event_id_of,
    event_messages,
    log_rows,
    rejected_id_of,
    rejected_message,
    rejected_rows,
)
from nextup.adapters.event_log.kafka_once import Copy, OnceShipment, Window
from nextup.adapters.event_log.kafka_reading import TopicReader
from nextup.adapters.event_log.kafka_topics import KafkaTopics
from nextup.adapters.event_log.kafka_trial import trial
from nextup.adapters.event_log.kafka_writing import KafkaWriter, Outgoing, Shipment, foreign
from nextup.domain import tables as t
from nextup.domain.errors import BackendUnavailable
from nextup.domain.events import (
    Appended,
    Event,
    LogRow,
    Position,
    Rejected,
    RejectedRow,
    from_microseconds,
    to_microseconds,
)
from nextup.ports.event_log import EventBatch, RejectedBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from confluent_kafka import Message

    from nextup.ports.topics import GroupMember, IntakeMember, TopicMessage, TopicStatus
    from nextup.ports.trial import Trial
    from nextup.settings_servers import KafkaLog


def _now() -> datetime:
    return datetime.now(UTC)


class KafkaEventLog:
    """An EventLog, with SupportsTopics. Erasing one person is beyond Kafka.

    Nothing is asked of the brokers before the first use, so that a server starts without them.
    An append that failed may be there in part; repeated, it is completed. `clock` gives
    `received_at`, which stays where it was while the clock is behind it.
    """

    def __init__(
        self,
        url: str,
        settings: KafkaLog,
        *,
        prefix: str = "",
        home: Path = Path(),
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.client = KafkaClient(parse_url(url), settings, home)
        self.settings = settings
        self.prefix = prefix
        self._clock = clock
        self._last_at = 0  # microseconds
        self._closed = False
        self.topics = KafkaTopics(self.client, settings, prefix, self.admin)
        self.writer = KafkaWriter(self.client)
        self._reading_ends = threading.RLock()  # what is no event there is rejected meanwhile
        self._known: Window | None = None
        self._known_records: Window | None = None

    @cached_property
    def admin(self) -> AdminClient:
        """Connects by itself when it is asked something."""
        return AdminClient(self.client.configuration())

    def append(self, events: Sequence[Event]) -> list[Appended]:
        """As in the port."""
        if not events:
            return []
        self._refuse_closed()
        shipment = OnceShipment(events, self._packed, self._known_events())
        self.writer.write(shipment)
        return shipment.receipts

    def read(self, position: Position, limit: int) -> EventBatch:
        """As in the port. Raises InvalidInput for a position in another log's partitions."""
        return self.read_share(position, limit, None)

    def read_share(
        self, position: Position, limit: int, partitions: Collection[str] | None
    ) -> EventBatch:
        """Like `read`, of some partitions only."""
        return EventBatch(*self._events.read(position, limit, partitions))

    def head(self) -> Position:
        """As in the port."""
        self._refuse_closed()
        topic = self.topics.events
        ends = self.topics.ends(topic, range(self.topics.partitions(topic)))
        return {f"{partition}": end for partition, end in sorted(ends.items()) if end}

    def reject(self, records: Sequence[Rejected]) -> int:
        """As in the port."""
        if not records:
            return 0
        self._refuse_closed()
        shipment = OnceShipment(records, self._packed_rejected, self._known_rejected())
        self.writer.write(shipment)
        return sum(not receipt.duplicate for receipt in shipment.receipts)

    def read_rejected(self, position: Position, limit: int) -> RejectedBatch:
        """Like `read`, for rejected records."""
        return RejectedBatch(*self._rejected.read(position, limit))

    def committed(self, group: str) -> Position:
        """As in the port: what Kafka itself knows of the consumer group."""
        self._refuse_closed()
        topic = self.topics.events
        places = [self.topics.at(topic, n) for n in range(self.topics.partitions(topic))]
        asked = ConsumerGroupTopicPartitions(self.group_id(group), places)
        try:
            (future,) = self.admin.list_consumer_group_offsets(
                [asked], request_timeout=self.client.timeout
            ).values()
            found = future.result().topic_partitions
        except KafkaException as error:
            raise self.client.explain(error.args[0], "cannot say where a group is") from error
        return {f"{place.partition}": place.offset for place in found if place.offset > 0}

    def commit(self, group: str, position: Position) -> None:
        """As in the port. Raises BackendUnavailable while members of the group are at work: they
        commit themselves."""
        self._refuse_closed()
        topic = self.topics.events
        self.topics.check(topic, position)
        places = [
            self.topics.at(topic, number, position.get(f"{number}", 0))  # 0: from the beginning
            for number in range(self.topics.partitions(topic))
        ]
        asked = ConsumerGroupTopicPartitions(self.group_id(group), places)
        try:
            (future,) = self.admin.alter_consumer_group_offsets(
                [asked], request_timeout=self.client.timeout
            ).values()
            failed = [place.error for place in future.result().topic_partitions if place.error]
        except KafkaException as error:
            raise self.client.explain(error.args[0], "cannot move a group") from error
        if failed:
            raise self.client.explain(failed[0], "cannot move a group")

    def make_topics(self) -> Sequence[TopicStatus]:
        """As in the port."""
        self._refuse_closed()
        return self.topics.ensure()

    def produce(self, topic: str, messages: Sequence[TopicMessage]) -> None:
        """As in the port."""
        self._refuse_closed()
        name = f"{self.prefix}{topic}"
        self.topics.add(name)
        self.topics.partitions(name)
        self.writer.write(Shipment([foreign(name, message) for message in messages]))

    def trial(self) -> Trial:
        """As in the port: on a topic of its own."""
        self._refuse_closed()
        return trial(self)

    def join(self, group: str) -> GroupMember:
        """As in the port."""
        self._refuse_closed()
        return KafkaGroupMember(self, group)

    def join_intake(self, group: str) -> IntakeMember:
        """As in the port."""
        self._refuse_closed()
        return KafkaIntakeMember(self, self.group_id(f"{group}-intake"), self.topics.intake)

    def join_topics(self, group: str, topics: Sequence[str]) -> IntakeMember:
        """As in the port."""
        self._refuse_closed()
        names = [f"{self.prefix}{topic}" for topic in topics]
        return KafkaIntakeMember(self, f"{self.prefix}{group}", names)

    def group_id(self, group: str) -> str:
        """The consumer group's name on the brokers: apart from other logs' there."""
        return f"{self.topics.events}-{group}"

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self.writer.close()
            self._events.close()
            self._rejected.close()

    # ---- inside

    @cached_property
    def _events(self) -> TopicReader[LogRow]:
        return TopicReader(
            self.client,
            self.topics,
            self.topics.events,
            window=self.settings.dedupe_events,
            rows=log_rows,
            name=attrgetter(t.EVENT_ID),
            name_of=event_id_of,
            on_unreadable=self._reject_unreadable,
        )

    @cached_property
    def _rejected(self) -> TopicReader[RejectedRow]:
        return TopicReader(
            self.client,
            self.topics,
            self.topics.rejected,
            window=self.settings.dedupe_events,
            rows=rejected_rows,
            name=attrgetter(t.REJECTED_ID),
            name_of=rejected_id_of,
            on_unreadable=lambda message, error: None,  # nobody writes there but Nextup
        )

    def _packed(self, events: Sequence[Event]) -> tuple[Iterable[Outgoing], list[Copy]]:
        """The messages, and the copies that the settings want."""
        contents = event_messages(events, self._receive())
        keys = [event.user_id.encode() for event in events]
        messages = zip(repeat(self.topics.events), keys, contents, repeat(None))
        return messages, self._copies(events, contents) if self.topics.copies else []

    def _copies(self, events: Sequence[Event], contents: Sequence[bytes]) -> list[Copy]:
        copies: list[Copy] = []
        for event, content in zip(events, contents, strict=True):
            topic = self.topics.copies.get(event.type)
            if topic:
                copy, headers = copied(event, content, self.settings.rating_format)
                copies.append((event.event_id, (topic, event.user_id.encode(), copy, headers)))
        return copies

    def _packed_rejected(
        self, records: Sequence[Rejected]
    ) -> tuple[Iterable[Outgoing], list[Copy]]:
        topic = self.topics.rejected
        return [(topic, b"", rejected_message(record), None) for record in records], []

    def _receive(self) -> datetime:
        """Now, and never before what was received earlier."""
        self._last_at = max(self._last_at, to_microseconds(self._clock()))
        return from_microseconds(self._last_at)

    def _known_events(self) -> Window:
        """What the end of the log holds; read once, by the first who appends."""
        with self._reading_ends:
            if self._known is None:
                rows, size = self._events.tail()
                self._last_at = max((row.received_at for row in rows), default=0)
                places = ((row.event_id, (row.partition, row.offset)) for row in rows)
                self._known = Window(self.settings.dedupe_events * size, places)
            return self._known

    def _known_rejected(self) -> Window:
        with self._reading_ends:
            if self._known_records is None:
                rows, size = self._rejected.tail()
                places = ((row.rejected_id, (row.partition, row.offset)) for row in rows)
                self._known_records = Window(self.settings.dedupe_events * size, places)
            return self._known_records

    def _reject_unreadable(self, message: Message, error: Exception) -> None:
        """Somebody wrote to the topic what is no event: kept, told apart by where it lies."""
        where = f"{message.topic()}/{message.partition()}/{message.offset()}"
        content = (message.value() or b"").decode("utf-8", errors="backslashreplace")
        reason = f"The message is no event: {error}."
        record = content.replace("\0", "\\x00")
        self.reject([Rejected(where, where, record, "unreadable", reason, self._clock())])

    def _refuse_closed(self) -> None:
        if self._closed:
            raise BackendUnavailable("The event log is closed.")

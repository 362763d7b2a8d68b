"""The topics of one log: their names, their making, and how far they reach."""

from __future__ import annotations

import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic, OffsetSpec  # type: ignore[attr-defined]

from nextup.adapters.event_log.kafka_client import check_topic
from nextup.domain.errors import BackendUnavailable, CorruptData, InvalidInput, NextupError
from nextup.ports.topics import TopicStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from confluent_kafka.admin import AdminClient

    from nextup.adapters.event_log.kafka_client import KafkaClient
    from nextup.domain.events import Position
    from nextup.settings_servers import KafkaLog

LOOK_AGAIN_SECONDS: Final = 60.0  # until partitions that somebody added are seen
_HOUR_MILLISECONDS: Final = 3_600_000
_FOR_EVER: Final = -1
_SETTLING_SECONDS: Final = 0.05  # between questions, while brokers agree on who leads
_UNSETTLED: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,  # made a moment ago
    KafkaError._NOENT,  # "no leaders found"
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
)


class KafkaTopics:
    """Makes what is absent, before the first use. Safe to share between threads."""

    def __init__(
        self, client: KafkaClient, settings: KafkaLog, prefix: str, admin: AdminClient
    ) -> None:
        self._client = client
        self._settings = settings
        self._admin = admin
        self.events = f"{prefix}{client.address.topic}"
        self.rejected = f"{prefix}{settings.dead_letter or client.address.topic + '_rejected'}"
        self.copies = {kind: f"{prefix}{name}" for kind, name in settings.topics.items()}
        self.intake = [f"{prefix}{name}" for name in settings.intake]
        self._others = [f"{prefix}{name}" for name in settings.others]
        for name in self.all():
            check_topic(name)
        self._making = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._look_again_at = 0.0  # monotonic seconds

    def all(self) -> list[str]:
        """Every topic, each once."""
        return list(
            dict.fromkeys(
                [
                    self.events,
                    self.rejected,
                    *self.copies.values(),
                    *self.intake,
                    *self._others,
                ]
            )
        )

    def add(self, name: str) -> None:
        """One more that is used. Raises ConfigurationError for a name that Kafka would not take."""
        check_topic(name)
        if name not in self.all():
            self._others.append(name)

    def partitions(self, topic: str) -> int:
        """How many the topic has. Makes the topics, where they are absent."""
        if topic not in self._sizes or monotonic() > self._look_again_at:
            with self._making:
                if topic not in self._sizes or monotonic() > self._look_again_at:
                    self._look_again(needed=topic not in self._sizes)
        return self._sizes[topic]

    def _look_again(self, *, needed: bool) -> None:
        try:
            self.ensure()
        except BackendUnavailable:  # one partition without a leader must not stop the others
            if needed:
                raise
            self._look_again_at = monotonic() + LOOK_AGAIN_SECONDS

    def ensure(self) -> list[TopicStatus]:
        """Make those that are absent, and say how all are."""
        sizes = self._sizes_now()
        created = self._create([name for name in self.all() if name not in sizes])
        deadline = monotonic() + self._client.timeout
        while absent := [name for name in self.all() if name not in sizes]:
            if monotonic() > deadline:
                raise self._explained(None, f"has no leader for topic {absent[0]}")
            sleep(_SETTLING_SECONDS)
            sizes = self._sizes_now()
        self._sizes = {name: size for name, (size, _) in sizes.items()}
        self._look_again_at = monotonic() + LOOK_AGAIN_SECONDS
        return [TopicStatus(name, *sizes[name], name in created) for name in self.all()]

    def check(self, topic: str, position: Position) -> None:
        """Raises InvalidInput for a position in partitions that the topic does not have."""
        size = self.partitions(topic)
        for partition in position:
            if not (partition.isascii() and partition.isdigit() and int(partition) < size):
                raise InvalidInput(
                    f"This log has no partition '{partition}': the position is another log's.",
                    cure="Start the consumer group from the beginning, or where `migrate` put it.",
                )

    def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """By partition, the offset after the last message that can be read."""
        return self._offsets(topic, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def beginnings(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """By partition, the first offset that retention has left."""
        return self._offsets(topic, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def check_within(
        self, topic: str, position: Mapping[int, int], ends: Mapping[int, int]
    ) -> None:
        """Raises CorruptData for a reader that stands behind the end: the topic is another one."""
        for partition, offset in position.items():
            if offset > ends[partition]:
                raise CorruptData(
                    f"Topic {topic} ends at {ends[partition]} in partition {partition}, and a "
                    f"reader stands at {offset}: the topic was made anew, or lost events.",
                    cure="Restore the topic, or start lake and state from the beginning.",
                )

    def _offsets(self, topic: str, partitions: Iterable[int], which: Any) -> dict[int, int]:
        asked = {self.at(topic, partition): which for partition in partitions}
        deadline = monotonic() + self._client.timeout
        while asked:
            try:
                answers = self._admin.list_offsets(
                    asked,
                    isolation_level=IsolationLevel.READ_COMMITTED,
                    request_timeout=self._client.timeout,
                )
                found = {at.partition: future.result().offset for at, future in answers.items()}
            except KafkaException as error:
                if error.args[0].code() not in _UNSETTLED or monotonic() > deadline:
                    raise self._explained(error.args[0], "cannot be read") from error
            else:
                if min(found.values()) >= 0:  # else a broker did not say: no error, and no offset
                    return found
                if monotonic() > deadline:
                    raise self._explained(None, "cannot be read")
            sleep(_SETTLING_SECONDS)
            self._sizes_now()  # else the driver goes on believing that nobody leads
        return {}

    def _explained(self, error: KafkaError | None, doing: str) -> NextupError:
        self._admin.poll(0)  # in which the driver tells why it cannot connect
        return self._client.explain(error, doing)

    @staticmethod
    def at(topic: str, partition: int, offset: int | None = None) -> TopicPartition:
        """In the driver's words."""
        return (
            TopicPartition(topic, partition)
            if offset is None
            else TopicPartition(topic, partition, offset)
        )

    def _sizes_now(self) -> dict[str, tuple[int, int]]:
        try:
            topics = self._admin.list_topics(timeout=self._client.timeout).topics
        except KafkaException as error:
            raise self._explained(error.args[0], "does not answer") from error
        self._client.forget_reason()
        return {
            name: (len(topics[name].partitions), _replication(topics[name].partitions))
            for name in self.all()
            if name in topics and _is_led(topics[name].partitions)
        }

    def _create(self, names: list[str]) -> set[str]:
        if not names:
            return set()
        new = [
            NewTopic(
                name,
                num_partitions=self._wanted(name),
                replication_factor=self._settings.replication,
                config=self._configuration(name),
            )
            for name in names
        ]
        futures = self._admin.create_topics(
            new, operation_timeout=self._client.timeout, request_timeout=self._client.timeout
        )
        created = set()
        for name, future in futures.items():
            try:
                future.result()
                created.add(name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody was faster
                    doing = f"cannot create topic {name}"
                    raise self._explained(error.args[0], doing) from error
        return created

    def _wanted(self, name: str) -> int:
        """Rejected records are few, and are read in the order in which they came."""
        return 1 if name == self.rejected else self._settings.partitions

    def _configuration(self, name: str) -> dict[str, str]:
        hours = self._settings.retention_hours
        kept = int(hours * _HOUR_MILLISECONDS) if hours else _FOR_EVER
        safe = max(1, self._settings.replication - 1)  # copies that an acknowledgement vouches for
        return {
            "retention.ms": str(kept),
            "retention.bytes": str(_FOR_EVER),
            "cleanup.policy": "delete",
            "min.insync.replicas": str(safe),
        }


def _is_led(partitions: Mapping[int, Any]) -> bool:
    """Whether it is there, and brokers have agreed who leads what."""
    return bool(partitions) and all(each.leader >= 0 for each in partitions.values())


def _replication(partitions: Mapping[int, Any]) -> int:
    return min(len(partition.replicas) for partition in partitions.values())

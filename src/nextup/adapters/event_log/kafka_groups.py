"""Consumer groups: which partitions of the log are whose, and what other programs have written."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException

from nextup.adapters.event_log.kafka_messages import HEADER_COPY, HEADER_ID
from nextup.domain.errors import BackendUnavailable
from nextup.ports.topics import ForeignMessage

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from confluent_kafka import Message, TopicPartition

    from nextup.adapters.event_log.kafka import KafkaEventLog
    from nextup.domain.events import Position
    from nextup.ports.event_log import EventBatch

HEARTBEATS: Final = 3  # within a session, so that one lost does no harm
LONGEST_BATCH_SECONDS: Final = 300  # without a sign of life, others take over
TAKE_SECONDS: Final = 0.5  # to wait for the first message


class KafkaGroupMember:
    """A GroupMember. It is a member only for the sake of the division: what it reads comes from
    the log's own readers, at the positions that lie beside the results."""

    def __init__(self, event_log: KafkaEventLog, group: str) -> None:
        self._log = event_log
        event_log.topics.partitions(event_log.topics.events)  # made, where absent
        self._mine: set[str] = set()
        self._consumer: Consumer | None = _consumer(
            event_log, event_log.group_id(group), "earliest"
        )
        self._consumer.subscribe(
            [event_log.topics.events],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )

    def partitions(self) -> Collection[str]:
        """As in the port."""
        message = self._open().poll(0)  # the division is told in here; messages are paused
        if message is not None and (error := message.error()) is not None:
            _refuse_fatal(self._log, error)
        return frozenset(self._mine)

    def read(self, position: Position, limit: int) -> EventBatch:
        """As in the port."""
        return self._log.read_share(position, limit, position.keys())

    def commit(self, position: Position) -> None:
        """As in the port; of partitions that have gone to others nothing is said."""
        topics = self._log.topics
        places = [
            topics.at(topics.events, int(partition), offset)
            for partition, offset in position.items()
            if partition in self._mine
        ]
        if not places:
            return
        try:
            self._open().commit(offsets=places, asynchronous=True)
        except KafkaException as error:
            raise self._log.client.explain(error.args[0], "cannot commit") from error

    def close(self) -> None:
        """As in the port."""
        consumer, self._consumer = self._consumer, None
        self._mine.clear()
        if consumer is not None:
            consumer.close()

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        consumer.incremental_assign(places)
        consumer.pause(places)  # nothing is read through the group itself
        self._mine |= {f"{place.partition}" for place in places}

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._mine -= {f"{place.partition}" for place in places}

    def _open(self) -> Consumer:
        if self._consumer is None:
            raise BackendUnavailable("This member has left its group.")
        return self._consumer


class KafkaIntakeMember:
    """An IntakeMember of the group of that name on the brokers, which reads these topics."""

    def __init__(self, event_log: KafkaEventLog, group: str, topics: Sequence[str]) -> None:
        self._log = event_log
        for name in topics:
            event_log.topics.add(name)
            event_log.topics.partitions(name)
        self._consumer: Consumer | None = _consumer(event_log, group, "earliest")
        self._taken: dict[tuple[str, int], int] = {}
        if topics:
            self._consumer.subscribe(list(topics), on_revoke=self._gone)

    def take(self, limit: int) -> Sequence[ForeignMessage]:
        """As in the port."""
        found: list[ForeignMessage] = []
        until = monotonic() + TAKE_SECONDS
        while len(found) < limit and (not found or monotonic() < until):
            messages = self._open().consume(min(limit - len(found), 1000), timeout=TAKE_SECONDS / 5)
            for message in messages:
                if (error := message.error()) is not None:
                    _refuse_fatal(self._log, error)
                else:
                    found.append(self._note(message))
            if not messages and monotonic() > until:
                break
        return found

    def commit(self) -> None:
        """As in the port."""
        places = [self._log.topics.at(*place, offset) for place, offset in self._taken.items()]
        if not places:
            return
        try:
            self._open().commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            raise self._log.client.explain(error.args[0], "cannot commit") from error
        self._taken.clear()

    def close(self) -> None:
        """As in the port."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _note(self, message: Message) -> ForeignMessage:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        self._taken[topic, partition] = offset + 1
        headers: dict[str, Any] = dict(message.headers() or [])
        return ForeignMessage(
            topic.removeprefix(self._log.prefix),
            partition,
            offset,
            message.value() or b"",
            message.timestamp()[1] * 1000,
            _text(headers.get(HEADER_ID)),
            HEADER_COPY in headers,
        )

    def _gone(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Others take these again: what was taken of them and is not committed is not ours."""
        for place in places:
            self._taken.pop((place.topic, place.partition), None)

    def _open(self) -> Consumer:
        if self._consumer is None:
            raise BackendUnavailable("This member has left its group.")
        return self._consumer


def _consumer(event_log: KafkaEventLog, group: str, reset: str) -> Consumer:
    session = int(event_log.settings.session_seconds * 1000)
    return Consumer(
        event_log.client.configuration(
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset=reset,
            isolation_level="read_committed",
            partition_assignment_strategy="cooperative-sticky",
            session_timeout_ms=session,
            heartbeat_interval_ms=max(1, session // HEARTBEATS),
            max_poll_interval_ms=max(session, LONGEST_BATCH_SECONDS * 1000),
        )
    )


def _refuse_fatal(event_log: KafkaEventLog, error: KafkaError) -> None:
    """What the driver mends by itself is no concern of ours."""
    if error.fatal() or _is_refusal(error):
        raise event_log.client.explain(error, "cannot be read")


def _is_refusal(error: KafkaError) -> bool:
    return error.code() in (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    )


def _text(value: object) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else ""

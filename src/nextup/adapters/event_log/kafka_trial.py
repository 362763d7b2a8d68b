"""Show that the brokers take, give back and delete: on a topic of its own, which goes again."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from nextup.adapters.event_log.kafka_writing import Shipment
from nextup.domain.errors import CorruptData
from nextup.ports.trial import Trial

if TYPE_CHECKING:
    from confluent_kafka import Message

    from nextup.adapters.event_log.kafka import KafkaEventLog

SAFE_BROKERS: Final = 3  # with so many, one copy of an event is a choice to be asked about


def trial(event_log: KafkaEventLog) -> Trial:
    """As in the port."""
    topic = f"{event_log.topics.events}_doctor_{secrets.token_hex(4)}"
    content = secrets.token_bytes(16)
    try:
        brokers = len(event_log.admin.list_topics(timeout=event_log.client.timeout).brokers)
        _make(event_log, topic)
        try:
            event_log.writer.write(Shipment([(topic, b"", content, None)]))
            message = _read(event_log, topic)
        finally:
            for future in event_log.admin.delete_topics([topic]).values():
                future.result()
    except KafkaException as error:
        event_log.admin.poll(0)  # in which the driver tells why it cannot connect
        raise event_log.client.explain(error.args[0], "fails a trial") from error
    if message.value() != content:
        raise CorruptData("Gave back another message than it was given.")
    clock = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)  # the broker's
    product = f"Kafka, {brokers} broker{'s' if brokers > 1 else ''}"
    if brokers >= SAFE_BROKERS and event_log.settings.replication == 1:
        return Trial(
            product,
            clock,
            "New topics get one copy of each event.",
            "Set kafka.replication to 3 before topics are made.",
        )
    return Trial(product, clock)


def _make(event_log: KafkaEventLog, topic: str) -> None:
    new = NewTopic(
        topic,
        num_partitions=1,
        replication_factor=event_log.settings.replication,
        config={"message.timestamp.type": "LogAppendTime"},  # tells the broker's clock
    )
    made = event_log.admin.create_topics([new], request_timeout=event_log.client.timeout)
    for future in made.values():
        future.result()


def _read(event_log: KafkaEventLog, topic: str) -> Message:
    client = event_log.client
    consumer = Consumer(
        client.configuration(group_id=topic, enable_auto_commit=False, auto_offset_reset="earliest")
    )
    try:
        consumer.assign([event_log.topics.at(topic, 0, 0)])
        deadline = monotonic() + client.timeout
        while monotonic() < deadline:
            message = consumer.poll(client.timeout)
            if message is not None and message.error() is None:
                return message
    finally:
        consumer.close()
    raise client.explain(None, "does not give back what it was given")

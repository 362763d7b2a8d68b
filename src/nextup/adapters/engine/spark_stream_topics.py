"""The log on Kafka, as the settings describe it, for Spark: needs Kafka's driver here, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient

from nextup.adapters.engine.spark_stream_kafka import EVENTS, Messages, Topic, kafka_options
from nextup.adapters.event_log.kafka_client import KafkaClient, parse_url
from nextup.adapters.event_log.kafka_topics import KafkaTopics
from nextup.adapters.opening import prefix_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from nextup.domain.events import Position
    from nextup.settings import Settings


class LogTopics:
    """Names, sizes and ends of the log's topics; they are made where they are absent."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address = parse_url(settings.event_log_url)
        client = KafkaClient(self._address, settings.kafka, settings.home)
        admin = AdminClient(client.configuration())
        self._topics = KafkaTopics(client, settings.kafka, prefix_of(settings), admin)

    def of(self, spark: SparkSession, messages: Messages) -> Topic:
        """The topic that holds these messages."""
        kafka, home = self._settings.kafka, self._settings.home
        password = kafka.password
        if kafka.password_file:
            password = (home / kafka.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        name = self._topics.events if messages is EVENTS else self._topics.rejected
        options = kafka_options(self._address.brokers, kafka, password, home)
        return Topic(spark, name, messages, options, kafka.dedupe_events)

    def places(self, topic: Topic, since: Position) -> dict[int, int]:
        """For each partition where to begin. Raises CorruptData where the topic ends before."""
        numbers = range(self._topics.partitions(topic.name))
        places = {number: since.get(f"{number}", 0) for number in numbers}
        self._topics.check(topic.name, since)
        self._topics.check_within(topic.name, places, self._topics.ends(topic.name, numbers))
        return places

    def is_read(self, topic: Topic, position: Position) -> bool:
        """Whether nothing lies behind the position."""
        numbers = range(self._topics.partitions(topic.name))
        ends = self._topics.ends(topic.name, numbers)
        return all(position.get(f"{number}", 0) == end for number, end in ends.items())

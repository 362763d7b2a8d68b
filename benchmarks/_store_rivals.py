"""The servers' own tools, and loops that a driver's manual would show: what stores are held to."""

from __future__ import annotations

import os
import subprocess
import tempfile
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import psycopg
from cassandra import ProtocolVersion
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import RoundRobinPolicy
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from redis import Redis

from nextup.adapters.cassandra_url import parse
from nextup.adapters.event_log.kafka_writing import SERVED_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import KafkaError, Message

BUCKETS = 256
IN_FLIGHT = 128


class Rival(ABC):
    """Puts packed lists on a server, and reads one. What it sends was made before."""

    name: ClassVar[str]

    @abstractmethod
    def prepare(self, rows: Iterator[tuple[str, str]]) -> None:
        """Take the lists, by person."""

    @abstractmethod
    def publish(self) -> None:
        """Put all of them there."""

    @abstractmethod
    def read(self, user_id: str) -> object:
        """One list, as the driver returns it."""

    @abstractmethod
    def clear(self) -> None:
        """Remove what was published."""

    @abstractmethod
    def close(self) -> None:
        """Release everything."""


class RedisPipe(Rival):
    """Redis' own protocol through `redis-cli --pipe`, into hashes of a like size."""

    name = "redis-cli --pipe"

    def __init__(self, url: str) -> None:
        self._client: Any = Redis.from_url(url)
        # as Redis comes; the tests' server waits for the disk at every turn, which hides the rest
        self._client.config_set("appendfsync", "everysec")
        # a log that has doubled is rewritten beside the rest: by whoever happens to come then
        self._client.config_set("auto-aof-rewrite-percentage", 0)
        self._parts = urlsplit(url)
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name) / "commands"

    def prepare(self, rows: Iterator[tuple[str, str]]) -> None:
        with self._file.open("wb") as file:
            for user_id, packed in rows:
                parts = (b"HSET", self._key(user_id), user_id.encode(), packed.encode())
                file.write(b"*%d\r\n" % len(parts))
                file.writelines(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)

    def publish(self) -> None:
        with self._file.open("rb") as commands:
            place = ["-h", str(self._parts.hostname), "-p", str(self._parts.port)]
            subprocess.run(
                ["redis-cli", *place, "--pipe"],
                stdin=commands,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"REDISCLI_AUTH": self._parts.password or ""},
                check=True,
            )

    def read(self, user_id: str) -> object:
        return self._client.hget(self._key(user_id), user_id)

    def clear(self) -> None:
        self._client.unlink(*(b"rival:%d" % bucket for bucket in range(BUCKETS)))

    def close(self) -> None:
        self._client.close()
        self._folder.cleanup()

    @staticmethod
    def _key(user_id: str) -> bytes:
        return b"rival:%d" % (hash(user_id) % BUCKETS)


class PostgreSQLCopy(Rival):
    """COPY into a table with the same columns and key."""

    name = "COPY"
    table: ClassVar[str] = "rival_lists"

    def __init__(self, url: str) -> None:
        self._connection: Any = psycopg.connect(url, autocommit=True)
        self._connection.execute(
            f"CREATE TABLE {self.table} (generation text, user_id text, items text NOT NULL, "
            "PRIMARY KEY (generation, user_id))"
        )
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name) / "rows"

    def prepare(self, rows: Iterator[tuple[str, str]]) -> None:
        with self._file.open("w", encoding="utf-8") as file:
            for user_id, packed in rows:
                escaped = packed.replace("\\", "\\\\")
                file.write(f"g\t{user_id}\t{escaped}\n")

    def publish(self) -> None:
        cursor = self._connection.cursor()
        with cursor.copy(f"COPY {self.table} FROM STDIN") as copy, self._file.open("rb") as file:
            while block := file.read(1 << 20):
                copy.write(block)

    def read(self, user_id: str) -> object:
        query = f"SELECT items FROM {self.table} WHERE generation = 'g' AND user_id = %s"
        return self._connection.execute(query, (user_id,), prepare=True).fetchone()

    def clear(self) -> None:
        self._connection.execute(f"TRUNCATE {self.table}")

    def close(self) -> None:
        self._connection.close()
        self._folder.cleanup()


class CassandraLoop(Rival):
    """The driver's own `execute_concurrent_with_args` over a prepared statement."""

    name = "execute_concurrent"
    keyspace: ClassVar[str] = "rival"

    def __init__(self, url: str) -> None:
        parts = parse(url)
        profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=60)
        self._cluster: Any = Cluster(
            parts.hosts,
            port=parts.port,
            auth_provider=PlainTextAuthProvider(parts.user, parts.password) if parts.user else None,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            protocol_version=ProtocolVersion.V4,
            connect_timeout=60,
            control_connection_timeout=60,
        )
        session: Any = self._cluster.connect()
        session.execute(
            f"CREATE KEYSPACE IF NOT EXISTS {self.keyspace} WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}",
            timeout=60,
        )
        session.execute(
            f"CREATE TABLE IF NOT EXISTS {self.keyspace}.lists "
            "(generation text, user_id text, items text, PRIMARY KEY ((generation, user_id)))",
            timeout=60,
        )
        place = f"{self.keyspace}.lists"
        self._put = session.prepare(
            f"INSERT INTO {place} (generation, user_id, items) VALUES (?, ?, ?)"
        )
        self._get = session.prepare(
            f"SELECT items FROM {place} WHERE generation = ? AND user_id = ?"
        )
        self._session = session
        self._rows: list[tuple[str, str, str]] = []

    def prepare(self, rows: Iterator[tuple[str, str]]) -> None:
        self._rows = [("g", user_id, packed) for user_id, packed in rows]

    def publish(self) -> None:
        for _ in execute_concurrent_with_args(
            self._session, self._put, self._rows, concurrency=IN_FLIGHT, results_generator=True
        ):
            pass

    def read(self, user_id: str) -> object:
        return self._session.execute(self._get, ("g", user_id)).one()

    def clear(self) -> None:
        self._session.execute(f"TRUNCATE {self.keyspace}.lists", timeout=60)

    def close(self) -> None:
        with suppress(Exception):
            self._cluster.shutdown()


class KafkaLoops:
    """One producer and one consumer, both set as ours, with messages that are made already. The
    producer is told of each whether it was acknowledged, as whoever must not lose any has to be."""

    def __init__(self, brokers: str, topic: str, messages: list[tuple[bytes, bytes]]) -> None:
        self._brokers = brokers
        self._topic = topic
        self._messages = messages

    def make_topic(self, partitions: int) -> None:
        admin = AdminClient({"bootstrap.servers": self._brokers})
        admin.create_topics([NewTopic(self._topic, partitions, 1)])[self._topic].result()

    def produce(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._brokers,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 50,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        failed: list[KafkaError] = []

        def acknowledged(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error)

        for at, (key, content) in enumerate(self._messages):
            producer.produce(self._topic, content, key, on_delivery=acknowledged)
            if at % SERVED_AT_ONCE == 0:
                producer.poll(0)
        producer.flush()
        assert not failed

    def consume(self) -> None:
        """All messages of the topic, as the driver returns them."""
        consumer = Consumer({"bootstrap.servers": self._brokers, "group.id": "rival"})
        partitions = consumer.list_topics(self._topic).topics[self._topic].partitions
        consumer.assign([TopicPartition(self._topic, n, OFFSET_BEGINNING) for n in partitions])
        ends = [
            consumer.get_watermark_offsets(TopicPartition(self._topic, n))[1] for n in partitions
        ]
        left = sum(ends)
        while left > 0:
            left -= len(consumer.consume(10_000, timeout=1.0))
        consumer.close()

"""Kafka with a leader to lose."""

from __future__ import annotations

from typing import ClassVar

from stack.servers.kafka import Kafka


class KafkaCluster(Kafka):
    """Three nodes, any one of which may die."""

    name: ClassVar[str] = "kafka_cluster"
    nodes: ClassVar[int] = 3

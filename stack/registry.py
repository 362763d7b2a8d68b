"""The servers by name. A module is imported when its server is wanted."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack.server import Server

CLASSES = {
    "postgresql": "PostgreSQL",
    "redis": "Redis",
    "redis_cluster": "RedisCluster",
    "kafka": "Kafka",
    "kafka_cluster": "KafkaCluster",
    "cassandra": "Cassandra",
    "mongodb": "MongoDB",
    "hdfs": "Hdfs",
    "spark": "Spark",
    "spark_connect": "SparkConnect",
    "s3": "S3",
    "toxiproxy": "Toxiproxy",
    "mlflow": "Mlflow",
    "airflow": "Airflow",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "statsd_exporter": "StatsdExporter",
    "postgres_exporter": "PostgresExporter",
    "redis_exporter": "RedisExporter",
    "kubernetes": "Kubernetes",
}
"""The class in `servers/<name>.py`; in the order in which a stack starts them."""


def server_class(name: str) -> type[Server]:
    """Raises KeyError for a name that is no server."""
    found: type[Server] = getattr(import_module(f"stack.servers.{name}"), CLASSES[name])
    return found

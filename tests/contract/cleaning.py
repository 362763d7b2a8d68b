"""How a test's names are removed from a shared server: one function per scheme of a URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def clean_server(url: str, prefix: str) -> None:
    """Remove everything whose name begins with the prefix; what needs no server lies in the
    folder of the test and goes with it."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme in CLEANERS:
        CLEANERS[scheme](url, prefix)


def _drop_tables(url: str, prefix: str) -> None:
    from sqlalchemy import MetaData, inspect

    from nextup.adapters.sql import open_database

    database = open_database(url, Path(), prefix)
    with database.begin() as connection:
        names = inspect(connection).get_table_names()
        metadata = MetaData()
        metadata.reflect(connection, only=[name for name in names if name.startswith(prefix)])
        metadata.drop_all(connection)
    database.close()


def _delete_topics(url: str, prefix: str) -> None:
    from confluent_kafka.admin import AdminClient

    from nextup.adapters.event_log.kafka_client import parse_url

    admin = AdminClient({"bootstrap.servers": parse_url(url).brokers})
    names = [name for name in admin.list_topics(timeout=30).topics if name.startswith(prefix)]
    for future in admin.delete_topics(names).values() if names else ():
        future.result()


def _drop_cassandra(url: str, prefix: str) -> None:
    from nextup.adapters.cassandra import CassandraCluster
    from nextup.settings_servers import Cassandra

    cluster = CassandraCluster(url, Cassandra(timeout_seconds=20), {}, {})
    rows = cluster.run(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", (cluster.keyspace,)
    )
    for row in rows:
        if row.table_name.startswith(prefix):
            cluster.define(f"DROP TABLE {cluster.keyspace}.{row.table_name}")
    cluster.close()


def _drop_collections(url: str, prefix: str) -> None:
    from pymongo import MongoClient

    with MongoClient(url) as client:
        database = client.get_default_database()
        for name in database.list_collection_names():
            if name.startswith(prefix):
                database.drop_collection(name)


def _delete_keys(url: str, prefix: str) -> None:
    from redis import Redis, RedisCluster

    plain = url.replace("+cluster", "")
    with RedisCluster.from_url(plain) if plain != url else Redis.from_url(url) as client:
        for key in client.scan_iter(match=f"*{prefix}*", count=1000):
            client.unlink(key)


CLEANERS: Mapping[str, Callable[[str, str], None]] = {
    "cassandra": _drop_cassandra,
    "kafka": _delete_topics,
    "mongodb": _drop_collections,
    "postgresql": _drop_tables,
    "redis": _delete_keys,
}

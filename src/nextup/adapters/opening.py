"""How each adapter is made from the settings and its URL; which one is `bootstrap`'s choice.

An adapter's module and its driver are imported when the adapter is made.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nextup.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from nextup.adapters.mongo import MongoDatabase
    from nextup.adapters.redis import RedisServer
    from nextup.adapters.sql import Database
    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog
    from nextup.ports.clients import Clients
    from nextup.ports.engine import Engine
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.lake import Lake
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.ports.tracker import Tracker
    from nextup.settings import Settings

    Describe = Callable[[Collection[str]], Mapping[str, Item]]

Adapter = TypeVar("Adapter")

S3_WRITES: Final = {"aws_conditional_put": "etag"}  # two writers never overwrite each other


def prefix_of(settings: Settings) -> str:
    """What every name of a tenant begins with; the default tenant's names have none."""
    return "" if settings.tenant == "default" else f"{settings.tenant}_"


def _database(
    settings: Settings, url: str, prefix: str | None = None, *, durable: bool = True
) -> Database:
    from nextup.adapters.sql import open_database

    names_begin = prefix_of(settings) if prefix is None else prefix
    connections = settings.connections
    return open_database(url, settings.home, names_begin, durable=durable, connections=connections)


def _taken_over(database: Database, adapter: Callable[..., Adapter], **options: Any) -> Adapter:
    """The adapter, which closes the database; a database that it cannot use is closed here."""
    try:
        return adapter(database, **options)
    except BaseException:
        database.close()
        raise


def kafka_event_log(settings: Settings, url: str, **options: Any) -> EventLog:
    from nextup.adapters.event_log.kafka import KafkaEventLog

    return KafkaEventLog(
        url, settings.kafka, prefix=prefix_of(settings), home=settings.home, **options
    )


def on_sql(module: str, adapter: str) -> Callable[..., Any]:
    """What opens a SQL adapter, which is imported only then."""

    def open_it(settings: Settings, url: str, **options: Any) -> Any:
        found = getattr(import_module(f"nextup.adapters.{module}"), adapter)
        return _taken_over(_database(settings, url), found, **options)

    return open_it


def sql_event_log(settings: Settings, url: str, **options: Any) -> EventLog:
    from nextup.adapters.event_log.sql import SqlEventLog

    database = _database(settings, url)
    shared = settings.shared_tables
    if not shared.events:
        return _taken_over(database, SqlEventLog, **options)
    from nextup.adapters.event_log.mirror import Mirror

    mirror = Mirror(database, settings.history, shared)
    return _taken_over(database, SqlEventLog, mirror=mirror, **options)


def sql_catalog(settings: Settings, url: str) -> Catalog:
    database = _database(settings, url)
    if settings.shared_tables.catalog:
        from nextup.adapters.catalog.shared import SharedCatalog

        return _taken_over(
            database, SharedCatalog, history=settings.history, names=settings.shared_tables
        )
    from nextup.adapters.catalog.sql import SqlCatalog

    return _taken_over(database, SqlCatalog)


def sql_clients(settings: Settings, url: str) -> Clients:
    from nextup.adapters.control.clients import SqlClients

    return _taken_over(_database(settings, url, prefix=""), SqlClients)


def memory_store(settings: Settings, url: str) -> RecommendationStore:
    from nextup.adapters.recommendation_store.memory import MemoryRecommendationStore

    return MemoryRecommendationStore()


def cassandra_store(
    settings: Settings, url: str, *, describe: Describe = lambda _: {}
) -> RecommendationStore:
    try:
        from nextup.adapters.cassandra import CassandraCluster
    except ModuleNotFoundError as error:
        raise _missing("Cassandra", "cassandra") from error
    from nextup.adapters.recommendation_store import cassandra, cassandra_rows

    options = settings.cassandra
    if options.layout == "rows":
        names = cassandra_rows.names(prefix_of(settings), options)
        cluster = CassandraCluster(url, options, cassandra_rows.TABLES, names)
        return cassandra_rows.CassandraRowStore(cluster, describe)
    names = cassandra.names(prefix_of(settings))
    cluster = CassandraCluster(url, options, cassandra.TABLES, names)
    return cassandra.CassandraRecommendationStore(cluster)


def mongo_store(settings: Settings, url: str) -> RecommendationStore:
    database = _mongo(settings, url)
    from nextup.adapters.recommendation_store.mongo import MongoRecommendationStore
    from nextup.adapters.recommendation_store.mongo_documents import MongoDocumentStore

    if settings.mongodb.layout == "documents":
        return MongoDocumentStore(database)
    return MongoRecommendationStore(database)


def mongo_catalog(settings: Settings, url: str) -> Catalog:
    database = _mongo(settings, url)
    from nextup.adapters.catalog.mongo import MongoCatalog

    return MongoCatalog(database)


def _mongo(settings: Settings, url: str) -> MongoDatabase:
    try:
        from nextup.adapters.mongo import MongoDatabase
    except ModuleNotFoundError as error:
        raise _missing("MongoDB", "mongodb") from error

    return MongoDatabase(url, settings.mongodb, prefix_of(settings))


def redis_store(settings: Settings, url: str) -> RecommendationStore:
    from nextup.adapters.recommendation_store.redis import RedisRecommendationStore
    from nextup.adapters.recommendation_store.redis_lists import RedisListStore

    options = settings.redis
    if options.layout == "list":
        return RedisListStore(_redis(settings, url), prefix_of(settings), list_key=options.list_key)
    if options.layout == "json":
        from nextup.adapters.recommendation_store.redis_json import RedisJsonStore

        return RedisJsonStore(
            _redis(settings, url),
            prefix_of(settings),
            list_key=options.list_key,
            item_field=options.item_field,
            score_field=options.score_field,
        )
    return RedisRecommendationStore(
        _redis(settings, url), prefix_of(settings), keep_seconds=options.keep_hours * 3600
    )


def _redis(settings: Settings, url: str) -> RedisServer:
    try:
        from nextup.adapters.redis import RedisServer
    except ModuleNotFoundError as error:
        raise _missing("Redis", "redis") from error
    return RedisServer(url, settings.connections)


def _missing(product: str, extra: str) -> ConfigurationError:
    return ConfigurationError(
        f"The driver of {product} is not installed.",
        cure=f"{product} needs: pip install 'nextup[{extra}]'.",
    )


def _counted(settings: Settings) -> dict[str, float]:
    """What each type of event adds to the counters of what trends."""
    return settings.weights.model_dump(include={"view", "click", "like", "rating"})


def sql_state(settings: Settings, url: str) -> OnlineState:
    from nextup.adapters.online_state.sql import SqlOnlineState

    return _taken_over(
        # rebuilt from the log: after a power cut (not a kill) it reads the last moments again
        _database(settings, url, durable=False),
        SqlOnlineState,
        weights=_counted(settings),
        window_days=settings.trending.window_days,
    )


def redis_state(settings: Settings, url: str) -> OnlineState:
    from nextup.adapters.online_state.redis import RedisOnlineState

    return RedisOnlineState(
        _redis(settings, url),
        prefix_of(settings),
        weights=_counted(settings),
        window_days=settings.trending.window_days,
    )


def memory_state(settings: Settings, url: str) -> OnlineState:
    from nextup.adapters.online_state.memory import MemoryOnlineState

    return MemoryOnlineState(weights=_counted(settings), window_days=settings.trending.window_days)


def _folder(settings: Settings, url: str) -> str:
    """`file://data/lake` is relative to the home folder, `file:///srv/lake` is absolute."""
    return str(settings.home / url.removeprefix("file://"))


def delta_lake(settings: Settings, url: str) -> Lake:
    from nextup.adapters.lake.delta import DeltaLake

    return DeltaLake(_folder(settings, url), prefix_of(settings))


def s3_lake(settings: Settings, url: str) -> Lake:
    from nextup.adapters.lake.delta import DeltaLake

    return DeltaLake(url, prefix_of(settings), S3_WRITES | _s3_patience(settings))


def _s3_patience(settings: Settings) -> dict[str, str]:
    """How long a silent store is waited for, in the words of the drivers."""
    connections = settings.connections
    altogether = connections.answer_seconds * (connections.retries + 1)
    return {
        "connect_timeout": f"{round(connections.connect_seconds * 1000)}ms",
        "timeout": f"{round(connections.answer_seconds * 1000)}ms",
        "retry_timeout": f"{round(altogether * 1000)}ms",
    }


def hdfs_lake(settings: Settings, url: str) -> Lake:
    from nextup.adapters.lake.delta import DeltaLake

    try:
        from nextup.adapters.lake.hdfs_mirror import HdfsMirror
    except ModuleNotFoundError as error:
        raise _missing("HDFS", "hdfs") from error
    return DeltaLake(url, prefix_of(settings), mirror=HdfsMirror(_copies(settings) / "lake"))


def _copies(settings: Settings) -> Path:
    """Where copies of what lies elsewhere are kept; all of it can be removed at any time."""
    return settings.home / "data" / "copies"


def local_files(settings: Settings, url: str) -> Files:
    from nextup.adapters.files.local import LocalFiles

    root = settings.home / url.removeprefix("file://") / prefix_of(settings)
    return LocalFiles(root, folders=settings.folders)


def hdfs_files(settings: Settings, url: str) -> Files:
    try:
        from nextup.adapters.files.hdfs import HdfsFiles
    except ModuleNotFoundError as error:
        raise _missing("HDFS", "hdfs") from error
    copies = _copies(settings) / "files" / prefix_of(settings)
    return HdfsFiles(url, copies=copies, prefix=prefix_of(settings), folders=settings.folders)


def local_engine(settings: Settings, url: str, *, lake: Lake) -> Engine:
    from nextup.adapters.engine.local import LocalEngine

    return LocalEngine(lake)


def spark_engine(settings: Settings, url: str, *, lake: Lake) -> Engine:
    try:
        from nextup.adapters.engine.spark import SparkEngine
    except ModuleNotFoundError as error:
        raise _missing("Spark", "spark") from error
    from nextup.adapters.lake.delta import DeltaLake

    assert isinstance(lake, DeltaLake)  # there is no other kind
    return SparkEngine(lake, settings)


def mlflow_tracker(settings: Settings, url: str) -> Tracker:
    if find_spec("mlflow") is None:  # it takes seconds to import, so that is left for later
        raise _missing("MLflow", "mlflow")
    from nextup.adapters.tracker.mlflow import MlflowTracker

    return MlflowTracker(
        url,
        settings.home,
        settings.tracking,
        prefix=prefix_of(settings),
        connections=settings.connections,
    )


def null_tracker(settings: Settings, url: str) -> Tracker:
    from nextup.adapters.tracker.null import NullTracker

    return NullTracker()

"""Settings in, an open platform out: the only place where adapters are chosen.

Each backend is opened when it is first used, so that a command pays only for what it touches,
and all are closed together. An adapter is imported only when its URL names it.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import urlsplit

from nextup.adapters import opening
from nextup.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from sqlalchemy import Connection

    from nextup.adapters.sql_schema import Schema
    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog
    from nextup.ports.clients import Clients
    from nextup.ports.control import Control
    from nextup.ports.engine import Engine
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.lake import Lake
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.ports.tracker import Tracker
    from nextup.settings import Settings


class Closable(Protocol):
    """Every port."""

    def close(self) -> None:
        """Closing twice does nothing."""


PORTS = (
    "event_log",
    "catalog",
    "lake",
    "files",
    "recommendation_store",
    "online_state",
    "control",
    "engine",
    "tracker",
)


class Platform(AbstractContextManager["Platform"]):
    """Every port, opened on first use. Whoever opens it closes it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closing = ExitStack()

    @cached_property
    def event_log(self) -> EventLog:
        """The truth: every event."""
        opened: EventLog = self._open("event_log")
        return opened

    @cached_property
    def catalog(self) -> Catalog:
        """Items and people."""
        opened: Catalog = self._open("catalog")
        return opened

    @cached_property
    def lake(self) -> Lake:
        """The tables."""
        opened: Lake = self._open("lake")
        return opened

    @cached_property
    def files(self) -> Files:
        """Models, raw data, receipts."""
        opened: Files = self._open("files")
        return opened

    @cached_property
    def recommendation_store(self) -> RecommendationStore:
        """Published lists."""
        url = str(self.settings.recommendation_store_url)
        # Cassandra's rows say what an item is called: the catalogue is asked when they are written.
        named = {"describe": self._describe} if url.startswith("cassandra:") else {}
        opened: RecommendationStore = self._open("recommendation_store", **named)
        return opened

    def _describe(self, item_ids: Collection[str]) -> Mapping[str, Item]:
        return self.catalog.items(item_ids)

    @property
    def store_opener(self) -> StoreOpener | None:
        """What opens the recommendation store in other processes, on other machines; None for a
        store that only this machine can reach."""
        scheme = _scheme(str(self.settings.recommendation_store_url))
        return None if scheme in {"memory", "sqlite"} else StoreOpener.of(self.settings)

    @cached_property
    def online_state(self) -> OnlineState:
        """Live histories, served lists and counters."""
        opened: OnlineState = self._open("online_state")
        return opened

    @cached_property
    def control(self) -> Control:
        """Runs, locks, models and generations."""
        opened: Control = self._open("control")
        return opened

    @cached_property
    def clients(self) -> Clients:
        """Who may call: the same for all tenants, beside the control data of the first."""
        clients = opening.sql_clients(self.settings, self.settings.control_url)
        self._closing.callback(clients.close)
        return clients

    @cached_property
    def engine(self) -> Engine:
        """Where transformations run."""
        opened: Engine = self._open("engine", lake=self.lake)
        return opened

    @cached_property
    def tracker(self) -> Tracker:
        """Where experiments are recorded."""
        opened: Tracker = self._open("tracker")
        return opened

    def of_tenant(self, tenant: str) -> Platform:
        """The platform of another tenant of this deployment. Whoever asks for it closes it."""
        return Platform(self.settings.model_copy(update={"tenant": tenant}))

    def close(self) -> None:
        """Close what was opened, in reverse order. Closing twice does nothing."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, port: str, **options: Any) -> Any:
        adapter = open_adapter(port, self.settings, **options)
        self._closing.callback(adapter.close)
        return adapter


@dataclass(frozen=True, slots=True)
class StoreOpener:
    """Opens the recommendation store wherever it is sent to, by the settings it was made of.

    Whoever calls it closes the store. `describe` tells how items are called, to stores that ask.
    """

    fields: Mapping[str, Any] = field(repr=False)  # URLs may hold secrets

    @classmethod
    def of(cls, settings: Settings) -> StoreOpener:
        """By value: the settings of a file are of a class that only this process knows."""
        return cls(dict(settings))

    def __call__(
        self, describe: Callable[[Collection[str]], Mapping[str, Item]]
    ) -> RecommendationStore:
        """The store, open."""
        from nextup.settings import Settings

        settings = Settings.model_construct(**self.fields)
        asks = str(settings.recommendation_store_url).startswith("cassandra:")
        named = {"describe": describe} if asks else {}
        opened: RecommendationStore = open_adapter("recommendation_store", settings, **named)
        return opened


def open_platform(settings: Settings) -> Platform:
    """The platform that the settings describe; close it, or use it as a context manager."""
    return Platform(settings)


def sql_schemas(settings: Settings) -> Iterator[Schema]:
    """The tables of all that is kept in SQL databases, of this tenant; of all tenants where it is
    the default one. Each is open until the next is asked for."""
    from nextup.adapters.sql_schema import schemas

    return schemas(settings, opening.prefix_of(settings))


class SqlDatabase(Closable, Protocol):
    """A SQL database as a recipe with tables of its own sees it."""

    @property
    def url(self) -> str:
        """For people: without credentials."""
        ...

    def begin(self) -> AbstractContextManager[Connection]:
        """A write transaction: durable when the block ends, undone when it raises."""
        ...

    def connect(self) -> AbstractContextManager[Connection]:
        """One consistent view for reading."""
        ...


def open_sql(settings: Settings, url: str) -> SqlDatabase:
    """The database behind one of the settings' URLs. Whoever opens it closes it."""
    from nextup.adapters.sql import open_database

    return open_database(url, settings.home, connections=settings.connections)


def spark_connectors(settings: Settings) -> Sequence[Path]:
    """The jars that Spark needs beside its own; fetched now where they are not there yet."""
    from nextup.adapters.engine.spark_connectors import connector_jars

    on_s3 = settings.lake_url.startswith("s3://")
    return connector_jars(settings.spark.connectors, s3=on_s3)


def open_adapter(port: str, settings: Settings, **options: Any) -> Any:
    """One backend by itself, which the caller closes: chosen by the scheme of its URL.

    `options` are arguments of the adapter that no setting names. `postgresql+psycopg` counts as
    `postgresql`, and two masters of Spark are named without a scheme: `local[4]`, `yarn`.
    """
    url = str(getattr(settings, f"{port}_url"))
    adapters = ADAPTERS[port]
    scheme = _scheme(url)
    if scheme not in adapters:
        known = ", ".join(name if name in MASTERS else f"{name}://" for name in adapters)
        what = f"no backend answers to '{scheme}://'" if scheme else "it begins with no scheme"
        raise ConfigurationError(f"{port}_url: {what}.", cure=f"Known: {known}.")
    return adapters[scheme](settings, url, **options)


def _scheme(url: str) -> str:
    """What chooses the adapter; empty where there is none."""
    if "://" in url:
        return urlsplit(url).scheme.split("+")[0]
    master = re.sub(r"\[.+\]$", "[*]", url)
    return master if master in MASTERS else ""


MASTERS: Final = ("local[*]", "yarn")
"""Engines whose URLs have no scheme."""

ADAPTERS: Final[Mapping[str, Mapping[str, Callable[..., Closable]]]] = {
    "event_log": {
        "sqlite": opening.sql_event_log,
        "postgresql": opening.sql_event_log,
        "kafka": opening.kafka_event_log,
    },
    "catalog": {
        "mongodb": opening.mongo_catalog,
        "sqlite": opening.sql_catalog,
        "postgresql": opening.sql_catalog,
    },
    "lake": {"file": opening.delta_lake, "hdfs": opening.hdfs_lake, "s3": opening.s3_lake},
    "files": {"file": opening.local_files, "hdfs": opening.hdfs_files},
    "recommendation_store": {
        "cassandra": opening.cassandra_store,
        "memory": opening.memory_store,
        "mongodb": opening.mongo_store,
        "sqlite": opening.on_sql("recommendation_store.sql", "SqlRecommendationStore"),
        "postgresql": opening.on_sql("recommendation_store.sql", "SqlRecommendationStore"),
        "redis": opening.redis_store,
        "rediss": opening.redis_store,
    },
    "online_state": {
        "memory": opening.memory_state,
        "sqlite": opening.sql_state,
        "postgresql": opening.sql_state,
        "redis": opening.redis_state,
        "rediss": opening.redis_state,
    },
    "control": {
        "sqlite": opening.on_sql("control.sql", "SqlControl"),
        "postgresql": opening.on_sql("control.sql", "SqlControl"),
    },
    "engine": {
        "local": opening.local_engine,
        "local[*]": opening.spark_engine,
        "spark": opening.spark_engine,
        "yarn": opening.spark_engine,
        "k8s": opening.spark_engine,
        "sc": opening.spark_engine,
    },
    "tracker": {"mlflow": opening.mlflow_tracker, "null": opening.null_tracker},
}
"""By port and scheme: what opens the backend."""

"""Settings in, an open platform out: the only place where adapters are chosen.

Each backend is opened when it is first used, so that a command pays only for what it touches,
and all are closed together. An adapter is imported only when its URL names it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from nextup.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from nextup.adapters.sql import Database
    from nextup.ports.catalog import Catalog
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


T = TypeVar("T", bound=Closable)

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
        return self._open("event_log", {"sqlite": _sql_event_log, "postgresql": _sql_event_log})

    @cached_property
    def catalog(self) -> Catalog:
        """Items and people."""
        return self._open("catalog", {"sqlite": _sql_catalog, "postgresql": _sql_catalog})

    @cached_property
    def lake(self) -> Lake:
        """The tables."""
        return self._open("lake", {"file": _delta_lake})

    @cached_property
    def files(self) -> Files:
        """Models, raw data, receipts."""
        return self._open("files", {"file": _local_files})

    @cached_property
    def recommendation_store(self) -> RecommendationStore:
        """Published lists."""
        return self._open(
            "recommendation_store",
            {"memory": _memory_store, "sqlite": _sql_store, "postgresql": _sql_store},
        )

    @cached_property
    def online_state(self) -> OnlineState:
        """Live histories, served lists and counters."""
        return self._open(
            "online_state",
            {"memory": _memory_state, "sqlite": _sql_state, "postgresql": _sql_state},
        )

    @cached_property
    def control(self) -> Control:
        """Runs, locks, models and generations."""
        return self._open("control", {"sqlite": _sql_control, "postgresql": _sql_control})

    @cached_property
    def engine(self) -> Engine:
        """Where transformations run."""
        lake = self.lake
        return self._open("engine", {"local": lambda settings, url: _local_engine(lake)})

    @cached_property
    def tracker(self) -> Tracker:
        """Where experiments are recorded."""
        return self._open("tracker", {"null": _null_tracker})

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

    def _open(self, port: str, adapters: Mapping[str, Callable[[Settings, str], T]]) -> T:
        """Choose by the URL's scheme; `postgresql+psycopg` counts as `postgresql`."""
        url = str(getattr(self.settings, f"{port}_url"))
        scheme = urlsplit(url).scheme.split("+")[0] if "://" in url else ""
        if scheme not in adapters:
            known = ", ".join(f"{name}://" for name in adapters)
            what = f"no backend answers to '{scheme}://'" if scheme else "it begins with no scheme"
            raise ConfigurationError(f"{port}_url: {what}.", cure=f"Known: {known}.")
        adapter = adapters[scheme](self.settings, url)
        self._closing.callback(adapter.close)
        return adapter


def open_platform(settings: Settings) -> Platform:
    """The platform that the settings describe; close it, or use it as a context manager."""
    return Platform(settings)


def _prefix(settings: Settings) -> str:
    """What every name of a tenant begins with; the default tenant's names have none."""
    return "" if settings.tenant == "default" else f"{settings.tenant}_"


def _database(settings: Settings, url: str) -> Database:
    from nextup.adapters.sql import open_database

    return open_database(url, settings.home, _prefix(settings))


def _sql_event_log(settings: Settings, url: str) -> EventLog:
    from nextup.adapters.event_log.sql import SqlEventLog

    return SqlEventLog(_database(settings, url))


def _sql_catalog(settings: Settings, url: str) -> Catalog:
    from nextup.adapters.catalog.sql import SqlCatalog

    return SqlCatalog(_database(settings, url))


def _sql_control(settings: Settings, url: str) -> Control:
    from nextup.adapters.control.sql import SqlControl

    return SqlControl(_database(settings, url))


def _sql_store(settings: Settings, url: str) -> RecommendationStore:
    from nextup.adapters.recommendation_store.sql import SqlRecommendationStore

    return SqlRecommendationStore(_database(settings, url))


def _memory_store(settings: Settings, url: str) -> RecommendationStore:
    from nextup.adapters.recommendation_store.memory import MemoryRecommendationStore

    return MemoryRecommendationStore()


def _counted(settings: Settings) -> dict[str, float]:
    """What each type of event adds to the counters of what trends."""
    return settings.weights.model_dump(include={"view", "click", "like", "rating"})


def _sql_state(settings: Settings, url: str) -> OnlineState:
    from nextup.adapters.online_state.sql import SqlOnlineState

    return SqlOnlineState(
        _database(settings, url),
        weights=_counted(settings),
        window_days=settings.trending.window_days,
    )


def _memory_state(settings: Settings, url: str) -> OnlineState:
    from nextup.adapters.online_state.memory import MemoryOnlineState

    return MemoryOnlineState(weights=_counted(settings), window_days=settings.trending.window_days)


def _folder(settings: Settings, url: str) -> str:
    """`file://data/lake` is relative to the home folder, `file:///srv/lake` is absolute."""
    return str(settings.home / url.removeprefix("file://"))


def _delta_lake(settings: Settings, url: str) -> Lake:
    from nextup.adapters.lake.delta import DeltaLake

    return DeltaLake(_folder(settings, url), _prefix(settings))


def _local_files(settings: Settings, url: str) -> Files:
    from nextup.adapters.files.local import LocalFiles

    return LocalFiles(settings.home / url.removeprefix("file://") / _prefix(settings))


def _local_engine(lake: Lake) -> Engine:
    from nextup.adapters.engine.local import LocalEngine

    return LocalEngine(lake)


def _null_tracker(settings: Settings, url: str) -> Tracker:
    from nextup.adapters.tracker.null import NullTracker

    return NullTracker()

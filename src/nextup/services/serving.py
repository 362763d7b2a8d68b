"""All that answers people, put together over the ports: what the API and the CLI hold."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from nextup.services.contracts import EventContract
from nextup.services.intake import Intake
from nextup.services.lake_writer import LakeWriter
from nextup.services.recommend import Recommender, utc_now
from nextup.services.shelves import Shelves
from nextup.services.stream import ModelWatcher, OnlineUpdater, repeat

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nextup.ports.catalog import Catalog
    from nextup.ports.control import Control
    from nextup.ports.engine import Engine
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.services.intake import Outcome
    from nextup.services.stream import Applied
    from nextup.settings import Settings

TRENDING_POLL_SECONDS = 0.5


class ServingPorts(Protocol):
    """The part of an open platform that serving needs."""

    @property
    def settings(self) -> Settings:
        """The whole configuration."""
        ...

    @property
    def catalog(self) -> Catalog:
        """Items."""
        ...

    @property
    def event_log(self) -> EventLog:
        """The truth."""
        ...

    @property
    def files(self) -> Files:
        """Where models lie."""
        ...

    @property
    def recommendation_store(self) -> RecommendationStore:
        """Published lists."""
        ...

    @property
    def online_state(self) -> OnlineState:
        """Histories, served lists, live counters."""
        ...

    @property
    def control(self) -> Control:
        """Which model is in service."""
        ...

    @property
    def engine(self) -> Engine:
        """Writes the lake."""
        ...


class Serving:
    """Takes events in and answers. `start` keeps it up to date in the background."""

    def __init__(
        self,
        ports: ServingPorts,
        *,
        clock: Callable[[], datetime] = utc_now,
        on_applied: Applied | None = None,
        on_outcome: Callable[[str, Outcome], None] | None = None,
    ) -> None:
        self.ports = ports
        self.settings = ports.settings
        self.updater = OnlineUpdater(ports.event_log, ports.online_state, on_applied=on_applied)
        self.watcher = ModelWatcher(ports.control, ports.files, ports.catalog)
        self.intake = Intake(
            EventContract(ports.settings.contracts, ports.catalog, clock),
            ports.event_log,
            self.updater,
            on_outcome=on_outcome,
        )
        self.recommender = Recommender(
            state=ports.online_state,
            lists=ports.recommendation_store,
            catalog=ports.catalog,
            model=self.watcher.current,
            settings=ports.settings,
            clock=clock,
        )
        self.shelves = Shelves(
            catalog=ports.catalog,
            trending=self.recommender.trending,
            model=self.watcher.current,
            settings=ports.settings,
        )
        self.lake_writer = LakeWriter(
            ports.event_log,
            lambda: ports.engine,
            batch_rows=ports.settings.lake.batch_rows,
            every_seconds=ports.settings.lake.collect_seconds,
        )
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Load the model and follow the log and the registry until `stop`."""
        self._stop.clear()
        self.watcher.current()
        self.recommender.trending.followed = True
        work = {
            "nextup-online-updater": self.updater.run,
            "nextup-model-watcher": self.watcher.run,
            "nextup-trending": self._follow_trending,
        }
        if self.settings.lake.collect_seconds:
            work["nextup-lake-writer"] = self.lake_writer.run
        self._threads = [
            threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
            for name, run in work.items()
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the background work; what was acknowledged stays in the log for the next start."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.recommender.trending.followed = False

    def _follow_trending(self, stop: threading.Event) -> None:
        def refresh() -> None:
            self.recommender.trending.refresh(self.watcher.current().items)

        repeat(refresh, stop, TRENDING_POLL_SECONDS, "What trends could not be read")

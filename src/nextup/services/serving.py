"""All that answers people, put together over the ports: what the API and the CLI hold."""

from __future__ import annotations

import gc
import threading
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from nextup.ports.event_log import NamesPeople
from nextup.ports.topics import SupportsTopics
from nextup.services.contracts import EventContract
from nextup.services.intake import Intake
from nextup.services.lake_writer import LakeWriter
from nextup.services.recommend import Recommender, utc_now
from nextup.services.recommending.answers import Answers
from nextup.services.recommending.changes import Changes
from nextup.services.recommending.details import Details, KnownItems
from nextup.services.recommending.kept_answers import KeptAnswers
from nextup.services.recommending.served_lists import ServedLists
from nextup.services.recommending.tastes import Tastes
from nextup.services.shelves import Shelves
from nextup.services.stream import MODEL_POLL_SECONDS, ModelWatcher, OnlineUpdater, repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from nextup.domain.events import LogRow
    from nextup.ports.catalog import Catalog
    from nextup.ports.control import Control
    from nextup.ports.engine import Engine
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.lake import Lake
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.ports.tracker import Tracker
    from nextup.services.intake import Outcome
    from nextup.services.lists_in_blocks import Reopen
    from nextup.services.operating.runs import PipelineRunner
    from nextup.services.operating.what_if import Inspector
    from nextup.services.pipeline import Pipeline
    from nextup.services.serving_model import ServingModel
    from nextup.services.stream import Applied
    from nextup.settings import Settings

    Duty = Callable[[threading.Event], object]
    """Waits until this process is the one on duty, and is false where the event came first."""

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
    def store_opener(self) -> Reopen | None:
        """What opens the same store in other processes, where it can be reached from there."""
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

    @property
    def lake(self) -> Lake:
        """The tables, for operators."""
        ...

    @property
    def tracker(self) -> Tracker:
        """Where training is recorded."""
        ...


class Operating:
    """What operators have beside: each part is made when it is first used, with the libraries
    that it needs."""

    def __init__(
        self,
        ports: ServingPorts,
        model: Callable[[], ServingModel],
        pipelines: Sequence[Pipeline],
    ) -> None:
        self.pipelines = pipelines
        self._ports = ports
        self._model = model

    @cached_property
    def runner(self) -> PipelineRunner:
        """Runs a pipeline on an operator's word."""
        from nextup.services.operating.runs import PipelineRunner

        return PipelineRunner(self._ports, self.pipelines)

    @cached_property
    def inspector(self) -> Inspector:
        """Looks at how lists come about."""
        from nextup.services.operating.what_if import Inspector

        return Inspector(self._model)

    def stop(self) -> None:
        """End the run under way, if there is one."""
        if "runner" in self.__dict__:
            self.runner.stop()


class Serving:
    """Takes events in and answers. `start` keeps it up to date in the background."""

    def __init__(
        self,
        ports: ServingPorts,
        *,
        clock: Callable[[], datetime] = utc_now,
        on_applied: Applied | None = None,
        on_outcome: Callable[[str, Outcome], None] | None = None,
        changes: Changes | None = None,
        duty: Duty | None = None,
        pipelines: Sequence[Pipeline] = (),
    ) -> None:
        """`pipelines` are those that operators can run. `changes` is shared with the other
        processes that serve the same platform, if there are any; `duty` lets one of them at a
        time follow the log and write the lake."""
        self.changes = changes = changes or Changes()
        self._duty = duty or (lambda stop: True)
        self.ports = ports
        self.settings = ports.settings
        self._clock = clock
        self._on_outcome = on_outcome
        self._told = on_applied
        self.updater = OnlineUpdater(
            ports.event_log,
            ports.online_state,
            on_applied=self._count_applied,
            on_elsewhere=self._count_elsewhere,
        )
        self.watcher = ModelWatcher(ports.control, ports.files, ports.catalog, changes=changes)
        self.answers = self._make_answers()
        self.kept = self._make_kept()
        self._names = names_people(ports)
        self._tastes = self._make_tastes()
        details = Details(ports.catalog, changes)
        known = KnownItems(ports.catalog, changes)
        self.contract = EventContract(ports.settings.contracts, known, clock)
        self.intake = Intake(
            self.contract,
            ports.event_log,
            self.updater,
            on_outcome=on_outcome,
            touched=self.count_changes,
        )
        self.recommender = Recommender(
            state=ports.online_state,
            lists=ports.recommendation_store,
            catalog=ports.catalog,
            model=self.watcher.current,
            settings=ports.settings,
            clock=clock,
            served=ServedLists(shared=changes.workers > 1),
            details=details,
            tastes=self._tastes,
        )
        self.shelves = Shelves(
            catalog=ports.catalog,
            trending=self.recommender.trending,
            filters=self.recommender.filters,
            model=self.watcher.current,
            settings=ports.settings,
        )
        self.lake_writer = LakeWriter(
            ports.event_log,
            lambda: ports.engine,
            batch_rows=ports.settings.lake.batch_rows,
            every_seconds=ports.settings.lake.collect_seconds,
        )
        self.operating = Operating(ports, self.watcher.current, pipelines)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def among(self, ports: ServingPorts, *, source: str) -> Serving:
        """The same for the people of these ports: one model, one updater, one set of counters
        serve both. `source` is where their rejected records come from."""
        view = copy(self)
        view.ports = ports
        view.answers = view._make_answers()
        view.kept = view._make_kept()
        view._names = names_people(ports)
        view._tastes = view._make_tastes()
        view.intake = Intake(
            self.contract,
            ports.event_log,
            self.updater,
            on_outcome=self._on_outcome,
            touched=view.count_changes,
            source=source,
        )
        view.recommender = Recommender(
            state=ports.online_state,
            lists=ports.recommendation_store,
            catalog=ports.catalog,
            model=self.watcher.current,
            settings=ports.settings,
            clock=self._clock,
            trending=self.recommender.trending,
            filters=self.recommender.filters,
            served=self.recommender.served,
            details=self.recommender.details,
            tastes=view._tastes,
        )
        return view

    def stored_id(self, user_id: str) -> str:
        """What the stores call the person."""
        return user_id if self._names is None else self._names.stored_id(user_id)

    def count_changes(self, user_ids: Iterable[str]) -> None:
        """Something has changed for these people: answers that were given them are out of date."""
        self.changes.count(map(self.stored_id, user_ids))

    def forget(self, user_id: str) -> None:
        """Let go of what is in memory about the person; before and after erasing them."""
        self.recommender.forget(user_id)
        self._tastes.forget(user_id)
        self.count_changes((user_id,))

    def _make_answers(self) -> Answers:
        return Answers(self.changes, self.watcher.current, self.settings.recommend.cache_seconds)

    def _make_tastes(self) -> Tastes:
        return Tastes(self.changes, self.stored_id, self.settings.recommend.cache_seconds)

    def _make_kept(self) -> KeptAnswers:
        seconds = self.settings.recommend.kept_seconds
        return KeptAnswers(self.ports.online_state, self.watcher.current, seconds)

    def note_changed_items(self) -> None:
        """Items came, went or changed: what was said about them is no longer good."""
        self.watcher.note_changed_items()
        self.kept.forget()

    def _count_applied(self, rows: Sequence[LogRow]) -> None:
        self.changes.count(row.user_id for row in rows)
        if self._told is not None:
            self._told(rows)

    def _count_elsewhere(self, rows: Sequence[LogRow] | None) -> None:
        if rows is None:
            self.changes.count_everybody()
        else:
            self.changes.count(row.user_id for row in rows)

    def start(self) -> None:
        """Load the model and follow the log and the registry until `stop`."""
        self._stop.clear()
        self.watcher.current()
        self.recommender.trending.followed = True
        self.recommender.served.start()
        work: dict[str, Duty] = {
            "nextup-model-watcher": self._follow_model,
            "nextup-trending": self._follow_trending,
        }
        if self._moves_events() or self.settings.online_state_url.startswith("memory:"):
            work["nextup-online-updater"] = self._on_duty(self.updater.run)
        if self._moves_events() and self.settings.lake.collect_seconds:
            work["nextup-lake-writer"] = self._on_duty(self.lake_writer.run)
        self._threads = [
            threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
            for name, run in work.items()
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the background work; what was acknowledged stays in the log for the next start."""
        self._stop.set()
        self.operating.stop()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.recommender.served.stop()
        self.recommender.trending.followed = False
        gc.unfreeze()  # a host that goes on may find the garbage of this server

    def _moves_events(self) -> bool:
        """Whether this is the server's work, and not that of `nextup stream`."""
        wanted = self.settings.stream.in_server
        if wanted == "auto":
            return not isinstance(self.ports.event_log, SupportsTopics)
        return wanted == "yes"

    def _on_duty(self, run: Duty) -> Duty:
        """`run` as soon as this process is the one that may."""

        def waiting(stop: threading.Event) -> object:
            return run(stop) if self._duty(stop) else None

        return waiting

    def _follow_model(self, stop: threading.Event) -> None:
        def follow() -> None:
            if self.watcher.refresh():
                gc.collect()
                gc.freeze()  # what lives for long is not looked through while everybody waits

        repeat(follow, stop, MODEL_POLL_SECONDS, "The model in service could not be loaded")

    def _follow_trending(self, stop: threading.Event) -> None:
        def refresh() -> None:
            self.recommender.trending.refresh(self.watcher.current().items)

        repeat(refresh, stop, TRENDING_POLL_SECONDS, "What trends could not be read")


def names_people(ports: ServingPorts) -> NamesPeople | None:
    """Who knows what the stores call a person, where they call them otherwise."""
    log = ports.event_log
    return log if isinstance(log, NamesPeople) else None

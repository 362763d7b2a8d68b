"""The backends that the contract suites run on: to add one is to add a row.

One table per port. A row is a name and the URL of what needs no server, or the name of a server
that `tests/servers.py` finds or starts. Relative SQLite files and folders lie in the folder of the
test, and every test has a tenant of its own on a server.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tests.contract.cleaning import clean_server
from tests.servers import embedded, reach, server

from nextup.bootstrap import open_adapter
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pytest

    from nextup.ports.catalog import Catalog
    from nextup.ports.control import Control
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.lake import Lake
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.ports.tracker import Tracker

REPOSITORY = Path(__file__).parents[2]

MEMORY = embedded("memory", "memory://", durable=False)
SQLITE = embedded("sqlite", "sqlite:///store.db")
SQLITE_MEMORY = embedded("sqlite-memory", "sqlite:///:memory:", durable=False)
POSTGRESQL = server("postgresql")
REDIS = server("redis")
REDIS_CLUSTER = server("redis_cluster")
CASSANDRA = server("cassandra")
MONGODB = server("mongodb")
KAFKA = server("kafka")

EVENT_LOGS = [SQLITE, SQLITE_MEMORY, POSTGRESQL, KAFKA]
CATALOGS = [SQLITE, SQLITE_MEMORY, POSTGRESQL, MONGODB]
CONTROLS = [SQLITE, SQLITE_MEMORY, POSTGRESQL]
RECOMMENDATION_STORES = [MEMORY, SQLITE, POSTGRESQL, CASSANDRA, MONGODB, REDIS, REDIS_CLUSTER]
ONLINE_STATES = [MEMORY, SQLITE, POSTGRESQL, REDIS, REDIS_CLUSTER]
LOCAL_FILES = embedded("local", "file://files")
FILES = [LOCAL_FILES, server("hdfs", "/files")]
LAKES = [embedded("local", "file://lake"), server("hdfs", "/lake"), server("s3", "/lake")]
TRACKERS = [embedded("sqlite", "mlflow://"), server("mlflow")]

ENGINES = [embedded("local", "local://"), embedded("spark", "local[2]")]

COUNTED = {"view": 1.0, "click": 2.0, "like": 5.0, "rating": 0.1}
WEIGHTS = {**COUNTED, "dismiss": 0.0}
WINDOW_DAYS = 14

HOSTILE_IDS = [
    ":/. ü {}",
    "'\"`; DROP TABLE people; --",
    "\\0 %s %(id)s :id ? $1",
    "🎬🎭👩‍👩‍👧",
    "x" * 500,
    "",
    " ",
    " padded ",
    "two\nlines\tand a tab",
    "null",
    "Ada",
    "ada",
    "caf\u00e9",
    "cafe\u0301",  # looks like the one before, and is another id
    "\u202eright to left",
    "1",
    "01",
]


class Child(subprocess.Popen[str]):
    """A process that does not outlive the test that failed beside it."""

    def __exit__(self, kind: type[BaseException] | None, *what: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *what)


class Opened(Protocol):
    """Any adapter."""

    def close(self) -> None: ...


@dataclass
class Place:
    """Where one test's backend keeps its data; opens it as often as asked, and cleans up.

    What opens it is what opens a platform, so that an adapter is chosen by its URL here, too.
    """

    url: str
    home: Path
    tenant: str = "default"
    more: dict[str, Any] = field(default_factory=dict)  # settings
    _opened: list[Opened] = field(default_factory=list)
    _places: list[Place] = field(default_factory=list)

    def event_log(self, **options: Any) -> EventLog:
        return self._open("event_log", options)

    def catalog(self, **options: Any) -> Catalog:
        return self._open("catalog", options)

    def control(self, **options: Any) -> Control:
        return self._open("control", options)

    def recommendation_store(self, **options: Any) -> RecommendationStore:
        return self._open("recommendation_store", options)

    def online_state(self, **options: Any) -> OnlineState:
        return self._open("online_state", options)

    def files(self, **options: Any) -> Files:
        return self._open("files", options)

    def lake(self, **options: Any) -> Lake:
        return self._open("lake", options)

    def tracker(self, **options: Any) -> Tracker:
        return self._open("tracker", options)

    def _open(self, port: str, options: dict[str, Any]) -> Any:
        settings = load_settings(
            self.home,
            tenant=self.tenant,
            weights=COUNTED,
            trending={"window_days": WINDOW_DAYS},
            **{f"{port}_url": self.url},
            **self.more,
        )
        adapter = open_adapter(port, settings, **options)
        self._opened.append(adapter)
        return adapter

    def another(self) -> Place:
        """An empty place of the same backend, for the next example of a property test."""
        number = len(self._places) + 1
        place = Place(self.url, self.home / str(number), f"{self.tenant}_{number}")
        self._places.append(place)
        return place

    def run(self, program: str, *arguments: str) -> Child:
        """A process of its own that runs the program, in which `place` is this place."""
        opening = (
            "import sys\n"
            "from pathlib import Path\n"
            "from tests.contract.backends import Place\n"
            f"place = Place({self.url!r}, Path({str(self.home)!r}), {self.tenant!r})\n"
            f"place.more = {self.more!r}\n"
        )
        return Child(
            [sys.executable, "-c", opening + program, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def clean(self) -> None:
        """Close all that was opened, and remove what it left on a server."""
        self.close()
        clean_server(self.url, f"{self.tenant}_")  # begins the names of `another`'s, too

    def close(self) -> None:
        """Close all that was opened here."""
        for opened in self._opened:
            opened.close()
        for place in self._places:
            place.close()


_run = secrets.token_hex(3)
_numbers = count()


def places(request: pytest.FixtureRequest, home: Path) -> Iterator[Place]:
    """For a fixture over a table: one place, cleaned afterwards."""
    reached = reach(request, request.param)
    place = Place(reached.url, home, f"t{_run}_{next(_numbers)}")
    yield place
    place.clean()


def kill_at_line(process: Child, line: int) -> Sequence[str]:
    """SIGKILL once the process has printed so many lines; returns those it printed."""
    assert process.stdout is not None
    with process:
        lines = [process.stdout.readline() for _ in range(line)]
        process.kill()
        lines += process.stdout.readlines()
    assert lines[0], "the process failed by itself"
    return [text.strip() for text in lines if text.endswith("\n")]

"""The backends that the contract suites run on: to add one is to add a row.

A backend is an id and a URL. Relative SQLite files and folders lie in the folder of the test.
`DURABLE` are those that another process, or the next one, can open. PostgreSQL takes part when
`NEXTUP_TEST_POSTGRESQL_URL` names a server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextup.adapters.sql import Database
    from nextup.ports.files import Files
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore

REPOSITORY = Path(__file__).parents[2]
POSTGRESQL_URL = os.environ.get("NEXTUP_TEST_POSTGRESQL_URL", "")

MEMORY = pytest.param("memory://", id="memory")
SQLITE = pytest.param("sqlite:///store.db", id="sqlite")
POSTGRESQL = [pytest.param(POSTGRESQL_URL, id="postgresql")] if POSTGRESQL_URL else []

ALL = [MEMORY, SQLITE, *POSTGRESQL]
DURABLE = [SQLITE, *POSTGRESQL]
FILES = [pytest.param("file://files", id="local")]

WEIGHTS = {"view": 1.0, "click": 2.0, "like": 5.0, "rating": 0.1, "dismiss": 0.0}
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


@dataclass
class Place:
    """Where one test's backend keeps its data; opens it as often as asked, and cleans up."""

    url: str
    home: Path
    prefix: str = "t0_"
    _opened: list[RecommendationStore | OnlineState | Files] = field(default_factory=list)
    _places: list[Place] = field(default_factory=list)

    def recommendation_store(self) -> RecommendationStore:
        from nextup.adapters.recommendation_store.memory import MemoryRecommendationStore
        from nextup.adapters.recommendation_store.sql import SqlRecommendationStore

        memory = self.url.startswith("memory:")
        store = MemoryRecommendationStore() if memory else SqlRecommendationStore(self.database())
        self._opened.append(store)
        return store

    def online_state(self) -> OnlineState:
        from nextup.adapters.online_state.memory import MemoryOnlineState
        from nextup.adapters.online_state.sql import SqlOnlineState

        state: OnlineState = (
            MemoryOnlineState(weights=WEIGHTS, window_days=WINDOW_DAYS)
            if self.url.startswith("memory:")
            else SqlOnlineState(self.database(), weights=WEIGHTS, window_days=WINDOW_DAYS)
        )
        self._opened.append(state)
        return state

    def files(self) -> Files:
        from nextup.adapters.files.local import LocalFiles

        files = LocalFiles(self.home / self.url.removeprefix("file://"))
        self._opened.append(files)
        return files

    def database(self) -> Database:
        from nextup.adapters.sql import open_database

        return open_database(self.url, self.home, self.prefix)

    def another(self) -> Place:
        """An empty place of the same backend, for the next example of a property test."""
        number = len(self._places) + 1
        place = Place(self.url, self.home / str(number), f"{self.prefix}{number}_")
        self._places.append(place)
        return place

    def run(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """A process of its own that runs the program, in which `place` is this place."""
        opening = (
            "import sys\n"
            "from pathlib import Path\n"
            "from tests.contract.backends import Place\n"
            f"place = Place({self.url!r}, Path({str(self.home)!r}), {self.prefix!r})\n"
        )
        return subprocess.Popen(
            [sys.executable, "-c", opening + program, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def clean(self) -> None:
        for opened in self._opened:
            opened.close()
        for place in self._places:
            place.clean()
        if self.url.startswith("postgresql:"):
            self._drop_tables()

    def _drop_tables(self) -> None:
        from sqlalchemy import MetaData, inspect

        database = self.database()
        with database.begin() as connection:
            names = inspect(connection).get_table_names()
            metadata = MetaData()
            metadata.reflect(connection, only=[n for n in names if n.startswith(self.prefix)])
            metadata.drop_all(connection)
        database.close()


_numbers = count()


def places(url: str, home: Path) -> Iterator[Place]:
    """For a fixture: one place, cleaned afterwards."""
    place = Place(url, home, f"t{os.getpid()}_{next(_numbers)}_")
    yield place
    place.clean()


def kill_at_line(process: subprocess.Popen[str], line: int) -> Sequence[str]:
    """SIGKILL once the process has printed so many lines; returns those it printed."""
    assert process.stdout is not None
    with process:
        lines = [process.stdout.readline() for _ in range(line)]
        process.kill()
        lines += process.stdout.readlines()
    assert lines[0], "the process failed by itself"
    return [text.strip() for text in lines if text.endswith("\n")]

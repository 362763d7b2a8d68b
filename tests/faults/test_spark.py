"""A worker of Spark that is killed with its executor: the job goes on with the other one's."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.contract.backends import Child, Place
from tests.spark_world import STARTING_SECONDS

from nextup.domain.tables import USER_ID, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stack.server import Server
    from stack.servers.spark import Spark

    from nextup.bootstrap import Platform

pytestmark = [pytest.mark.faults, pytest.mark.timeout(STARTING_SECONDS)]

PATIENCE = 180.0  # seconds until a program that does not go on counts as hanging

# The program on the cluster, with an executor on each worker. It says what it is about to do, and
# waits to be told that a worker was killed before it says whether that was in the middle.
PROGRAM = """
import sys, threading, time
from pathlib import Path
import numpy as np
from nextup.bootstrap import StoreOpener, open_platform
from nextup.ports.engine import Factorization
from nextup.services.publish import publish
from nextup.settings import load_settings

home, engine, store, tenant = sys.argv[1:]
signs = Path(home) / "signs"
settings = load_settings(home, engine_url=engine, recommendation_store_url=store, spark={
    "driver_memory": "512m", "executor_memory": "512m", "max_cores": 2, "executor_cores": 1,
    "shuffle_partitions": 4, "progress": "no", "config": {
        "spark.sql.adaptive.coalescePartitions.enabled": "false",  # so that both have some of it
    },
})
stores = load_settings(home, recommendation_store_url=store, tenant=tenant)


def say(*words):
    print(*words, flush=True)


def told(word):
    assert sys.stdin.readline().strip() == word


rng = np.random.default_rng(1)
users, items = np.divmod(rng.choice(500 * 200, 10_000, replace=False).astype(np.int32), 200)
problem = Factorization(users, items, np.ones(len(users), np.float32), 8, 12, 0.1, 10.0)


def train(platform):
    found, vectors = platform.engine.factorize(problem, 1)
    return vectors @ vectors.T


def tell_when_under_way(tracker, done):
    first = None
    while not done.is_set():
        stage = max(tracker.getActiveStageIds(), default=None)
        first = stage if first is None else first
        if stage is not None and stage > first + 12:
            say("training")
            return
        time.sleep(0.02)


class Waiting:
    # Opens a store that writes two lists, says so by a file, and goes on when another is there.
    def __init__(self, opener, signs):
        self.opener, self.signs = opener, signs

    def __call__(self, describe):
        import itertools, os
        store = self.opener(describe)
        write = store.write

        def waiting(generation, lists):
            first = list(itertools.islice(lists, 2))
            write(generation, first)
            (self.signs / f"half-{os.getpid()}").touch()
            for _ in range(3600):
                if (self.signs / "go").exists():
                    break
                time.sleep(0.05)
            return len(first) + write(generation, lists)

        store.write = waiting
        return store


with open_platform(settings) as platform:
    alone = train(platform)
    done = threading.Event()
    tracker = platform.engine._session.sparkContext.statusTracker()
    threading.Thread(target=tell_when_under_way, args=(tracker, done), daemon=True).start()
    killed_before_end = []
    listening = threading.Thread(
        target=lambda: (told("killed"), killed_before_end.append(not done.is_set())), daemon=True
    )
    listening.start()
    disturbed = train(platform)
    done.set()
    listening.join(60)
    say("trained", killed_before_end, float(np.abs(disturbed - alone).max()))
    told("publish")
    with open_platform(stores) as reached:
        opener = Waiting(StoreOpener.of(stores), signs)
        published = publish(
            platform.engine, reached.recommendation_store, reached.control, reopen=opener
        )
    say("published", published.generation, published.lists)
"""


@pytest.fixture
def cluster(private_server: Callable[[str], Server]) -> Spark:
    return private_server("spark")  # type: ignore[return-value]


@pytest.fixture
def lists(private_server: Callable[[str], Server], tmp_path: Path) -> Iterator[Place]:
    place = Place(private_server("redis").url, tmp_path, "spark_faults")
    yield place
    place.clean()


def test_a_worker_dies_in_training_and_in_publishing(
    cluster: Spark, lists: Place, built: Platform
) -> None:
    """The model is what it would have been; readers see nothing of a generation before all of it
    is there, and then each list once."""
    home = built.settings.home
    signs = home / "signs"
    signs.mkdir()
    arguments = [str(home), cluster.url, lists.url, lists.tenant]
    program = Child(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    store = lists.recommendation_store()
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "training\n"
        cluster.worker(0).kill()
        _tell(program, "killed")
        trained, in_the_middle, distance = program.stdout.readline().rsplit(maxsplit=2)
        assert (trained, in_the_middle) == ("trained", "[True]")
        assert float(distance) < 1e-3

        cluster.start_worker(2)
        _wait(lambda: cluster.live_workers() == 2)
        _tell(program, "publish")
        _wait(lambda: len(list(signs.glob("half-*"))) == 2)
        assert store.current() is None
        cluster.worker(1).kill()
        assert store.current() is None
        (signs / "go").touch()
        published, generation, count = program.stdout.readline().split()
        assert published == "published"
    assert program.returncode == 0
    assert store.current() == generation
    _agree(store, built, int(count))


def _agree(store: object, built: Platform, count: int) -> None:
    people = built.lake.scan(Table.RECOMMENDATIONS).select(USER_ID).unique().collect()
    users = people[USER_ID].to_list()
    assert len(users) == count
    found = [store.read(user_id) for user_id in users]  # type: ignore[attr-defined]
    assert found == [built.recommendation_store.read(user_id) for user_id in users]


def _tell(program: Child, word: str) -> None:
    assert program.stdin is not None
    program.stdin.write(f"{word}\n")
    program.stdin.flush()


def _wait(true: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < ends_at, "nothing happens any more"
        time.sleep(0.05)

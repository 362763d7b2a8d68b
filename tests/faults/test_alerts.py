"""Faults on purpose, on a Nextup that runs: each has its alert told, and no other."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
from hdfs_native import Client
from tests.faults.disks import small_disk
from tests.faults.processes import ROUNDS
from tests.servers import own_servers
from tests.watching_world import Target, until, watched_platform, watching

from nextup.bootstrap import open_platform
from nextup.domain.events import START, Event, EventType
from nextup.domain.tables import Table
from nextup.services.artifacts import load_artifact, save_artifact
from nextup.services.collect import SOURCE
from nextup.services.operating.freshness import current_generation
from nextup.services.stream import reaches
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from stack.server import Server
    from tests.watching_world import Commands, Watch

    from nextup.bootstrap import Platform

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not ROUNDS, reason="it takes minutes: `make soak` runs it"),
]

DISK_MEGABYTES = 600  # what the visitors and the backup fill by themselves is a third
LONG_AGO = timedelta(days=3)
MANY = 30_000  # events: many minutes of the visitors'


class World(NamedTuple):
    """What faults are made in."""

    nextup: Commands
    watch: Watch
    platform: Platform  # the same one, opened here, too
    redis: Server
    fill: Callable[[], object] | None  # leaves a tenth of the lake's disk; None: not permitted
    clear: Callable[[], object]
    people: list[str]


@contextmanager
def again(
    world: World, path: str, body: Callable[[int], Any], *, callers: int = 1
) -> Iterator[None]:
    """POST (without a body GET) again and again, whatever comes of it."""
    stop = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=world.nextup.url, timeout=30) as client:
            number = 0
            while not stop.wait(0.05 if callers == 1 else 0):
                number += 1
                sent = body(number)
                where = path.format(person=world.people[number % len(world.people)])
                with suppress(httpx.HTTPError):
                    client.post(where, json=sent) if sent else client.get(where)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


LISTS = "/v1/users/{person}/recommendations?limit=5"


def like(world: World, number: int) -> dict[str, str]:
    """Somebody likes something, each time anew."""
    person = world.people[number % len(world.people)]
    return {"type": "like", "user_id": person, "item_id": "film:alien-1979"}


@contextmanager
def store_killed(world: World) -> Iterator[None]:
    world.redis.kill()
    yield
    world.redis.restart()


@contextmanager
def process_killed(world: World) -> Iterator[None]:
    world.nextup.kill("stream")
    yield
    world.nextup.stream()


@contextmanager
def bad_rows(world: World) -> Iterator[None]:
    wrong = {"type": "rating", "user_id": "ada", "item_id": "film:alien-1979", "value": 9}
    with again(world, "/v1/events", lambda _: wrong):
        yield


@contextmanager
def strangers(world: World) -> Iterator[None]:
    with again(world, "/v1/popular?x={person}", lambda _: None):
        unknown = world._replace(people=[f"stranger-{number}" for number in range(1000)])
        with again(unknown, LISTS, lambda _: None), again(unknown, LISTS, lambda _: None):
            yield


@contextmanager
def crowd(world: World) -> Iterator[None]:
    seen = {"history": ["film:alien-1979"], "limit": 50}
    with again(world, "/v1/recommendations", lambda _: seen, callers=24):
        yield


@contextmanager
def slow_consumer(world: World) -> Iterator[None]:
    """It comes once an hour; soon after it has, many events come."""
    world.nextup.kill("stream")
    log, lake = world.platform.event_log, world.platform.lake
    head = log.head()
    world.nextup.stream(NEXTUP_LAKE__COLLECT_SECONDS="3600")
    until(lambda: reaches(lake.position(Table.EVENTS, SOURCE), head))
    now = datetime.now(UTC)
    log.append(
        [
            Event(f"many-{number}", EventType.VIEW, "crowd", "film:alien-1979", now)
            for number in range(MANY)
        ]
    )
    yield
    world.nextup.kill("stream")
    world.nextup.stream()


@contextmanager
def failed_pipeline(world: World) -> Iterator[None]:
    table = world.nextup.home / "data" / "lake" / "silver" / "interactions"
    file = next(table.rglob("*.parquet"))
    away = file.with_suffix(".away")
    step = ("pipeline", "run", "--date", "2026-04-01", "--from", "features", "--to", "features")
    file.rename(away)
    assert world.nextup.run(*step).returncode == 1
    yield
    away.rename(file)
    mended = world.nextup.run(*step)
    assert mended.returncode == 0, mended.stderr


@contextmanager
def late_pipeline(world: World) -> Iterator[None]:
    control = world.platform.control
    published = [
        (run.run_id, step)
        for run in control.runs(100)
        for step in run.steps
        if step.step == "publish"
    ]
    for run_id, step in published:
        control.save_step(run_id, replace(step, started_at=step.started_at - timedelta(hours=30)))
    yield
    for run_id, step in published:
        control.save_step(run_id, step)


@contextmanager
def stale_model(world: World) -> Iterator[None]:
    control, files = world.platform.control, world.platform.files
    name = control.current_model()
    assert name
    record, artifact = control.model(name), load_artifact(files, name)
    assert record
    old = datetime.now(UTC) - LONG_AGO
    save_artifact(files, replace(artifact, model_id="of-old", created_at=old))
    control.save_model(replace(record, model_id="of-old", created_at=old))
    control.set_current_model("of-old")
    yield
    control.set_current_model(name)


@contextmanager
def old_lists(world: World) -> Iterator[None]:
    with generation(world, lambda one: replace(one, published_at=one.published_at - LONG_AGO)):
        yield


@contextmanager
def few_lists(world: World) -> Iterator[None]:
    with generation(world, lambda one: replace(one, lists=one.lists // 3)):
        yield


@contextmanager
def generation(world: World, changed: Callable[[Any], Any]) -> Iterator[None]:
    current = current_generation(world.platform)
    assert current
    world.platform.control.save_generation(changed(current))
    yield
    world.platform.control.save_generation(current)


@contextmanager
def worse_model(world: World) -> Iterator[None]:
    control = world.platform.control
    record = control.model(control.current_model() or "")
    assert record
    worse = [figure / 2 for figure in record.metrics["in_service"]["ndcg@10"]]
    measured = {**record.metrics["candidate"], "ndcg@10": worse}
    control.save_model(replace(record, metrics={**record.metrics, "candidate": measured}))
    yield
    control.save_model(record)


@contextmanager
def failed_backup(world: World) -> Iterator[None]:
    world.nextup.kill("schedule")
    file = world.nextup.home / "no-folder"
    file.touch()
    world.nextup.schedule(NEXTUP_SCHEDULE__BACKUP_FOLDER=str(file))
    yield
    world.nextup.kill("schedule")
    world.nextup.schedule()


@contextmanager
def full_disk(world: World) -> Iterator[None]:
    assert world.fill
    world.fill()
    yield
    world.clear()


FAULTS: dict[str, tuple[Callable[[World], AbstractContextManager[None]], str]] = {
    "a store is killed": (store_killed, "NextupBackendDown"),
    "a process is killed": (process_killed, "NextupDown"),
    "records break the contract": (bad_rows, "NextupQuarantine"),
    "callers are unknown": (strangers, "NextupDegraded"),
    "more is asked than can be answered": (crowd, "NextupErrors"),
    "a reader of the log is too slow": (slow_consumer, "NextupConsumerLag"),
    "a step of the pipeline fails": (failed_pipeline, "NextupPipelineFailed"),
    "nobody runs the pipeline": (late_pipeline, "NextupPipelineLate"),
    "the model is old": (stale_model, "NextupModelOld"),
    "the lists are old": (old_lists, "NextupGenerationOld"),
    "lists are missing": (few_lists, "NextupCoverageLow"),
    "a worse model serves": (worse_model, "NextupQualityDrop"),
    "the backup fails": (failed_backup, "NextupJobFailed"),
    "the lake's disk fills up": (full_disk, "NextupLakeDiskFull"),
}


def test_each_fault_has_its_alert_told_and_no_other(built_folder: Path, tmp_path: Path) -> None:
    """One after the other, each until it is told, and mended until nothing is."""
    with ExitStack() as stack:
        folder, fill, clear = _disk(stack, tmp_path)
        start = stack.enter_context(own_servers())
        settings = "[server]\nmax_in_flight = 8\n"
        watch, nextup, redis = stack.enter_context(
            watched_platform(built_folder, folder, start, settings, room=fill is not None)
        )
        platform = stack.enter_context(open_platform(load_settings(nextup.home)))
        rows = platform.event_log.read(START, 2000).rows
        people = sorted({row.user_id for row in rows})
        world = World(nextup, watch, platform, redis, fill, clear, people)
        stack.enter_context(again(world, LISTS, lambda _: None))
        stack.enter_context(again(world, "/v1/events", lambda number: like(world, number)))
        until(lambda: not watch.told(), lambda: f"told from the start: {watch.told()}")
        for what, (fault, _) in FAULTS.items():
            if fault is not full_disk or fill is not None:
                _is_told(world, what)


def _is_told(world: World, what: str) -> None:
    fault, alert = FAULTS[what]
    times = [monotonic()]
    with fault(world):
        world.watch.await_told(alert)
        times.append(monotonic())
        world.watch.stays_told(alert)
        times.append(monotonic())
    world.watch.await_told(ceasing=[alert])
    made, told, mended, gone = (*times, monotonic())
    print(f"| {what} | `{alert}` | {told - made:.0f} s | {gone - mended:.0f} s |", flush=True)


def _disk(
    stack: ExitStack, folder: Path
) -> tuple[Path, Callable[[], object] | None, Callable[[], object]]:
    """A small one to be filled, where one can be mounted."""
    if os.geteuid() != 0:
        return folder, None, lambda: None
    disk = small_disk(folder / "disk", DISK_MEGABYTES)
    stack.callback(disk.unmount)
    tenth = DISK_MEGABYTES * 1024 * 1024 // 10
    return disk.folder, lambda: disk.fill(leave=tenth), disk.clear


def test_what_happens_to_hdfs_is_told() -> None:
    """Too few copies, a dead DataNode, and blocks without any copy: each by itself."""

    def two_nodes(server: Any) -> None:
        server.data_nodes = 2
        server.recheck_milliseconds = 500

    with own_servers() as start:
        hdfs: Any = start("hdfs", before=two_nodes)
        watch = watching(start, room=False)
        watch.targets([Target("hdfs", hdfs.web.removeprefix("http://"), "/prom")])
        with Client(hdfs.url).create("/file") as file:
            file.write(b"something")
        until(lambda: watch.values("fs_namesystem_capacity_total > 0"))
        watch.await_told()
        copies = f"{hdfs.web}/webhdfs/v1/file?op=SETREPLICATION&replication="
        httpx.put(f"{copies}3").raise_for_status()
        watch.await_told("HdfsUnderReplicated")
        httpx.put(f"{copies}2").raise_for_status()
        watch.await_told(ceasing=["HdfsUnderReplicated"])
        hdfs.processes[1].kill()
        watch.await_told("HdfsDeadNodes")
        hdfs.processes[2].kill()
        watch.await_told("HdfsMissingBlocks", ceasing=["HdfsDeadNodes"])
        hdfs.start_data_node(0)
        hdfs.start_data_node(1)
        watch.await_told(ceasing=["HdfsDeadNodes", "HdfsMissingBlocks", "HdfsUnderReplicated"])

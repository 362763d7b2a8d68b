"""The lake follows the log while a server runs."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING

from nextup.domain.events import Event
from nextup.domain.tables import Table
from nextup.services.collect import SOURCE, collect
from nextup.services.lake_writer import LakeWriter

if TYPE_CHECKING:
    from nextup.bootstrap import Platform

PATIENCE_SECONDS = 60


def like(number: int) -> Event:
    return Event(f"e{number}", "like", "ada", "book:dune-1965", datetime(2026, 3, 1, tzinfo=UTC))


def writer(platform: Platform, every_seconds: float = 0.05) -> LakeWriter:
    return LakeWriter(
        platform.event_log,
        lambda: platform.engine,
        batch_rows=10_000,
        every_seconds=every_seconds,
    )


def rows(platform: Platform) -> int:
    return platform.lake.scan(Table.EVENTS).collect().height


def test_new_events_reach_bronze_by_themselves(sample: Platform) -> None:
    """A running writer brings what is in the log, and what comes later, each event once."""
    stop = threading.Event()
    thread = threading.Thread(target=writer(sample).run, args=(stop,))
    thread.start()
    sample.event_log.append([like(number) for number in range(100)])
    deadline = monotonic() + PATIENCE_SECONDS
    while sample.lake.position(Table.EVENTS, SOURCE) != sample.event_log.head():
        assert monotonic() < deadline
        sleep(0.05)
    stop.set()
    thread.join()
    events = sample.lake.scan(Table.EVENTS).collect()
    assert events["event_id"].n_unique() == events.height == rows(sample)


def test_several_collectors_share_a_lake(sample: Platform) -> None:
    """Writers and a pipeline's collect at once neither fail nor bring an event twice."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            collect(sample.event_log, sample.engine, batch_rows=2_000)
        except BaseException as error:  # shown by the assertion below
            failures.append(error)

    _ = sample.engine  # opened once, before the threads
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    events = sample.lake.scan(Table.EVENTS).collect()
    assert events["event_id"].n_unique() == events.height
    assert sample.lake.position(Table.EVENTS, SOURCE) == sample.event_log.head()

"""Stores and logs on real servers, beside the servers' own tools: `python -m benchmarks.stores`.

Lists are published through the port to Redis, PostgreSQL and Cassandra, and put there by the
server's bulk tool or a minimal loop, which gets its bytes ready made while ours are packed within
the time; one list is read through the port and by the driver alone; events go into Kafka and on
into the lake. `--entries 10000000` is the size that the project promised. The servers are those of
`make stack`, all on this machine, whose cores they share with us.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment
from benchmarks import _store_rivals as rivals
from benchmarks._harness import row
from stack.errors import Unavailable
from stack.registry import server_class

from nextup.adapters.event_log.kafka_messages import event_messages
from nextup.adapters.recommendation_store.packing import ListPacker
from nextup.bootstrap import open_adapter, open_platform
from nextup.domain.events import Event
from nextup.domain.recommendations import PublishedList, Scored
from nextup.entrypoints.heap import settle_heap, starting
from nextup.services.collect import collect
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextup.ports.event_log import EventLog
    from nextup.ports.recommendation_store import RecommendationStore

PUBLISH_GOAL = 0.5  # of the rate of the bulk tool
READ_GOAL = 1 / 1.5  # of the driver's p99
LOG_GOAL = 0.5  # of the rate of the raw producer and consumer
MEMORY_GOAL = 200e6  # bytes that a publication may take, whatever its size
PLACES = 100  # entries of a list
TASTES = 1_000  # different lists; people have one of them each
EVENTS_PER_CALL = 5_000
CALLERS = 8
STORES: dict[str, Callable[[str], rivals.Rival]] = {
    "redis": rivals.RedisPipe,
    "postgresql": rivals.PostgreSQLCopy,
    "cassandra": rivals.CassandraLoop,
}
SERVERS = (*STORES, "kafka")


@dataclass(frozen=True)
class Lists:
    """People with their lists, made anew each time so that none are kept."""

    people: int

    def made(self) -> Iterator[PublishedList]:
        tastes = _tastes()
        for number in range(self.people):
            yield PublishedList(f"user-{number}", tastes[number % TASTES])

    def packed(self) -> Iterator[tuple[str, str]]:
        packer = ListPacker()
        texts = [packer.pack(PublishedList("", taste)) for taste in _tastes()]
        for number in range(self.people):
            yield f"user-{number}", texts[number % TASTES]


def _tastes() -> list[tuple[Scored, ...]]:
    return [
        tuple(
            Scored(f"item-{(taste * 37 + place * 101) % 60_000}", 1 / (place + 1.5), "als")
            for place in range(PLACES)
        )
        for taste in range(TASTES)
    ]


def publishing(name: str, url: str, options: argparse.Namespace, home: Path) -> list[harness.Row]:
    """Whole generations, and single lists of one."""
    lists = Lists(max(1, options.entries // PLACES))
    settings = load_settings(home, recommendation_store_url=url, tenant="bench")
    store: RecommendationStore = open_adapter("recommendation_store", settings)
    rival = STORES[name](url)
    try:
        rival.prepare(lists.packed())
        ours, theirs, grown = [], [], []
        for number in range(options.rounds):
            store.drop(f"g{number - 1}")
            with Growth() as memory:
                ours.append(_seconds(partial(store.write, f"g{number}", lists.made())))
            grown.append(memory.bytes)
            rival.clear()
            theirs.append(_seconds(rival.publish))
        store.switch(f"g{options.rounds - 1}")
        reads = reading(name, store, rival, lists.people, options.reads)
    finally:
        store.close()
        rival.close()
    entries = lists.people * PLACES
    rate = entries / statistics.median(ours)
    harness.say(f"{name}: {rate:,.0f} entries/s, {max(grown) / 1e6:,.0f} MB more while publishing")
    what = f"{name}: publish {entries:,} entries"
    return [
        row(what, statistics.median(ours), statistics.median(theirs), rival.name, PUBLISH_GOAL),
        row(f"{name}: bytes while publishing", max(grown), MEMORY_GOAL, "the goal", 1.0),
        reads,
    ]


def reading(
    name: str, store: RecommendationStore, rival: rivals.Rival, people: int, reads: int
) -> harness.Row:
    """One list at a time, in turns; the 99th percentile of the second half. In the first a Java
    server is still compiling what it will run, and merging what was just written."""
    ours, theirs = [], []
    for number in range(2 * reads):
        user_id = f"user-{number * 7919 % people}"
        ours.append(_seconds(partial(store.read, user_id)))
        theirs.append(_seconds(partial(rival.read, user_id)))
    mine, raw = (statistics.quantiles(taken[reads:], n=100)[98] for taken in (ours, theirs))
    middle = [statistics.median(taken[reads:]) * 1e3 for taken in (ours, theirs)]
    harness.say(f"{name}: a list in {middle[0]:.2f} ms, the driver alone {middle[1]:.2f} ms")
    return row(f"{name}: p99 of reading a list", mine, raw, "the driver alone", READ_GOAL)


def taking_in(url: str, options: argparse.Namespace, home: Path) -> list[harness.Row]:
    """Events into the log, and from the log into the lake."""
    now = datetime.now(UTC)
    with starting():  # these are there before, and nobody's to be looked through again and again
        events = [_event(number, now) for number in range(options.events)]
        keys = [event.user_id.encode() for event in events]
        messages = list(zip(keys, event_messages(events, now), strict=True))
    brokers = url.split("/")[2]
    times: dict[str, list[float]] = {"intake": [], "produce": [], "write": [], "consume": []}
    for number in range(options.rounds):
        folder = home / f"log{number}"
        folder.mkdir()
        with open_platform(load_settings(folder, event_log_url=url, tenant=f"b{number}")) as ours:
            ours.event_log.append(events[:1])  # makes the topic,
            move = partial(collect, ours.event_log, ours.engine)
            move(batch_rows=1)  # and the lake's table
            times["intake"].append(_seconds(partial(_take_in, ours.event_log, events)))
            loops = rivals.KafkaLoops(brokers, f"b{number}_rival", messages)
            loops.make_topic(ours.settings.kafka.partitions)
            times["produce"].append(_seconds(loops.produce))
            write = partial(move, batch_rows=ours.settings.lake.batch_rows)
            times["write"].append(_seconds(write))
            times["consume"].append(_seconds(loops.consume))
    each = {name: statistics.median(taken) for name, taken in times.items()}
    rates = (f"{name} {len(events) / seconds:,.0f}/s" for name, seconds in each.items())
    harness.say(f"kafka: {', '.join(rates)}")
    intake, lake = f"kafka: take in {len(events):,} events", "kafka: log into the lake"
    return [
        row(
            intake,
            each["intake"],
            each["produce"],
            "a raw producer, told of each message",
            LOG_GOAL,
        ),
        row(lake, each["write"], each["consume"], "a raw consumer", LOG_GOAL),
    ]


def _event(number: int, now: datetime) -> Event:
    at = now - timedelta(seconds=number % 86_400)
    return Event(f"e-{number}", "view", f"user-{number % 5_000}", f"item-{number % 977}", at)


def _take_in(log: EventLog, events: list[Event]) -> None:
    """In batches, by several callers at once, as requests come in."""
    firsts = range(0, len(events), EVENTS_PER_CALL)
    with ThreadPoolExecutor(CALLERS) as pool:
        for _ in pool.map(lambda at: log.append(events[at : at + EVENTS_PER_CALL]), firsts):
            pass


class Growth:
    """How much more memory this process takes within the block, looked at a hundred times a
    second."""

    def __enter__(self) -> Growth:
        self._before = self._most = _resident()
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watch.join()

    @property
    def bytes(self) -> int:
        return max(1, self._most - self._before)

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            self._most = max(self._most, _resident())


def _resident() -> int:
    """Bytes now; where the system does not say, the most there were."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(options: argparse.Namespace) -> list[harness.Row]:
    """What can be started here is measured; the rest is named and left out."""
    rows: list[harness.Row] = []
    for name in options.servers:
        with ExitStack() as stack:
            try:
                server = stack.enter_context(server_class(name)().start())
            except Unavailable as error:
                harness.say(f"{name} is left out: {error}")
                continue
            harness.say(f"== {name} {server.version}".rstrip())
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if name == "kafka":
                rows += taking_in(server.url, options, home)
            else:
                rows += publishing(name, server.url, options, home)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers", nargs="*", help=f"default: {' '.join(SERVERS)}")
    parser.add_argument("--entries", type=int, default=500_000, help="of lists, to publish")
    parser.add_argument("--events", type=int, default=100_000, help="into Kafka and the lake")
    parser.add_argument("--reads", type=int, default=4_000, help="of single lists")
    parser.add_argument("--rounds", type=int, default=3)
    harness.add_output_options(parser)
    options = parser.parse_args()
    settle_heap()  # as `nextup serve` and `nextup stream` do
    options.servers = options.servers or list(SERVERS)
    if unknown := set(options.servers) - set(SERVERS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    harness.publish(measure(options), options)


if __name__ == "__main__":
    main()

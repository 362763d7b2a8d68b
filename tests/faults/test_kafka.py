"""Brokers that die, freeze and lose their leader under load; consumers that come and go."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import AdminClient
from stack.servers.kafka import Kafka
from tests.contract.cases import BASE
from tests.faults.kafka_world import (
    SESSION,
    TIMEOUT,
    assert_all_counts_agree,
    assert_table_is_the_log,
    kafka_home,
    log_rows,
)
from tests.faults.load import Asker, Sender, Server
from tests.faults.looking import opened
from tests.faults.processes import PATIENCE, SEED, Command, rounds, succeed

from nextup.bootstrap import open_platform
from nextup.domain.errors import Conflict
from nextup.domain.events import Event
from nextup.domain.tables import Table
from nextup.services.collect import SOURCE
from nextup.services.shares import LAKE_GROUP, LakeShare
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from stack.server import Server as StackServer

    from nextup.ports.engine import Engine

    Start = Callable[[str], StackServer]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SENDERS = 2
FLOWING = 40  # events that are safe, until the load counts as flowing


@pytest.fixture
def broker(private_server: Start) -> Kafka:
    server = private_server("kafka")
    assert isinstance(server, Kafka)
    return server


@pytest.fixture
def cluster(private_server: Start) -> Kafka:
    server = private_server("kafka_cluster")
    assert isinstance(server, Kafka)
    return server


def senders_for(home: Path, server: Server) -> list[Sender]:
    with opened(home) as platform:
        items = [item.item_id for item in platform.catalog.all_items()][:200]
    return [Sender(f"sender{n}", server, random.Random(SEED + n), items) for n in range(SENDERS)]


def wait_for_more(senders: Sequence[Sender], number: int) -> None:
    """Until each was told that so many more of its events are safe."""
    deadline = time.monotonic() + PATIENCE
    wanted = [len(sender.acknowledged) + number for sender in senders]
    while any(len(s.acknowledged) < n for s, n in zip(senders, wanted, strict=True)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def under_load(
    home: Path, disturb: Callable[[Sequence[Sender]], None]
) -> tuple[Sequence[Sender], Asker]:
    """Clients send and ask while `disturb` runs; both must never be told anything but that it was
    taken, or that it was not."""
    with Server(home) as server, Command(home, "stream") as stream:
        senders = senders_for(home, server)
        asker = Asker("asker", server, random.Random(SEED), ["sender0-1", "sender1-2", "nobody"])
        for thread in (*senders, asker):
            thread.start()
        disturb(senders)
        wait_for_more(senders, FLOWING)
        for thread in (*senders, asker):
            thread.stop()
        assert server.alive()
        assert stream.alive()
        assert [thread.wrong for thread in (*senders, asker)] == [[]] * (SENDERS + 1)
    return senders, asker


def acknowledged(senders: Sequence[Sender]) -> set[str]:
    """What clients were told; they do not rest before they were told everything."""
    told = {name for sender in senders for name in sender.acknowledged}
    assert told == {name for sender in senders for name in sender.sent}
    return told


def test_a_broker_dies_and_freezes(broker: Kafka, sample_folder: Path, tmp_path: Path) -> None:
    """A broker that is killed and restarted, or frozen for longer than anybody waits: what was
    acknowledged is in log, silver and state, once; the rest was refused and came again."""
    home = kafka_home(sample_folder, tmp_path / "home", broker.url)
    dice = random.Random(SEED)
    faults: Counter[str] = Counter()

    def disturb(senders: Sequence[Sender]) -> None:
        for number in range(rounds(2)):
            wait_for_more(senders, dice.randrange(FLOWING, 3 * FLOWING))
            fault = ("kill", "pause")[number % 2]
            faults[fault] += 1
            if fault == "kill":
                broker.kill()
                time.sleep(dice.uniform(0, 1.5 * TIMEOUT))
                broker.launch()
            else:
                broker.pause()
                time.sleep(dice.uniform(1.2, 2) * TIMEOUT)
                broker.resume()

    senders, asker = under_load(home, disturb)
    told = acknowledged(senders)
    count = assert_all_counts_agree(home, told)
    repeated = sum(sender.repeated for sender in senders)
    print(f"broker: {dict(faults)}: {len(told)} acknowledged = {count} in log, silver and state; ")
    print(f"{repeated} refused and sent again, {asker.answers} answers meanwhile")
    assert repeated
    assert asker.answers


def leader_of(cluster: Kafka, topic: str) -> int:
    """Of the first partition."""
    admin = AdminClient({"bootstrap.servers": cluster.url.split("/")[2]})
    leader: int = admin.list_topics(timeout=30).topics[topic].partitions[0].leader
    return leader


def test_the_leader_dies(cluster: Kafka, sample_folder: Path, tmp_path: Path) -> None:
    """With three brokers the death of the one that leads the event topic costs no event, and
    events are taken again before it is back."""
    home = kafka_home(sample_folder, tmp_path / "home", cluster.url, replication=3)
    succeed(home, "topics", "create")
    died = []
    taken_without: list[int] = []

    def disturb(senders: Sequence[Sender]) -> None:
        for _ in range(rounds(1)):
            wait_for_more(senders, FLOWING)
            number = leader_of(cluster, "events")
            cluster.kill_node(number)
            died.append(number)
            began = time.monotonic()
            with opened(home) as platform:  # a client of its own: it must be served meanwhile
                item = next(iter(platform.catalog.all_items())).item_id
                while True:
                    assert time.monotonic() < began + 120
                    if try_append(platform, f"meanwhile-{len(died)}", item):
                        break
            taken_without.append(number)
            cluster.start_node(number)

    senders, _ = under_load(home, disturb)
    told = acknowledged(senders) | {f"meanwhile-{n}" for n in range(1, len(died) + 1)}
    count = assert_all_counts_agree(home, told)
    repeated = sum(sender.repeated for sender in senders)
    print(f"leader: {len(died)} deaths: {len(told)} acknowledged = {count} in log, silver, state; ")
    print(f"{repeated} refused and sent again")
    assert died == taken_without


def try_append(platform: Any, event_id: str, item_id: str) -> bool:
    from nextup.domain.errors import BackendUnavailable

    try:
        platform.event_log.append([Event(event_id, "view", "ada", item_id, BASE)])
    except BackendUnavailable:
        return False
    return True


def fill(home: Path, number: int, batch: str) -> None:
    with opened(home) as platform:
        item_id = next(iter(platform.catalog.all_items())).item_id
        platform.event_log.append(
            [Event(f"{batch}-{n}", "view", f"user-{n % 40}", item_id, BASE) for n in range(number)]
        )


def test_streams_come_and_go(broker: Kafka, sample_folder: Path, tmp_path: Path) -> None:
    """Two that stream, either of which is killed, frozen until the group has given its share away,
    or ends and is replaced, in the middle of a batch: every event is in the lake and the state
    once."""
    home = kafka_home(sample_folder, tmp_path / "home", broker.url)
    dice = random.Random(SEED)
    faults: Counter[str] = Counter()
    sent = 0
    with ExitStack() as stack:
        streams = [stack.enter_context(Command(home, "stream")) for _ in range(2)]
        for number in range(rounds(3)):
            fill(home, 4000, f"batch{number}")
            sent += 4000
            time.sleep(dice.uniform(0, 1.5))
            fault = ("freeze", "kill", "end")[number % 3]
            victim = dice.randrange(2)
            faults[fault] += 1
            if fault == "freeze":
                streams[victim].pause(2 * SESSION)
                continue
            if fault == "kill":
                streams[victim].kill()
            else:
                done = streams[victim].terminate()
                assert done.code == 0, done
            streams[victim] = stack.enter_context(Command(home, "stream"))
        assert all(stream.alive() for stream in streams)
    told = {f"batch{number}-{n}" for number in range(rounds(3)) for n in range(4000)}
    count = assert_all_counts_agree(home, told)
    print(f"streams: {dict(faults)}: {sent} acknowledged = {count} in log, silver and state")


class Interrupted:
    """An engine before whose first write somebody else takes the partitions over."""

    def __init__(self, engine: Engine, takeover: Callable[[], None]) -> None:
        self._engine = engine
        self._takeover = takeover
        self.refused = 0
        self._taken_over = False

    def append(self, *arguments: Any, **options: Any) -> int:
        if not self._taken_over:
            self._taken_over = True
            self._takeover()
        try:
            written = self._engine.append(*arguments, **options)
        except Conflict:
            self.refused += 1
            raise
        self.refused += not written
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@pytest.fixture
def platforms(broker: Kafka, sample_folder: Path, tmp_path: Path) -> Iterator[list[Any]]:
    home = kafka_home(sample_folder, tmp_path / "home", broker.url)
    with ExitStack() as stack:
        yield [stack.enter_context(open_platform(load_settings(home))) for _ in range(2)]


@pytest.mark.parametrize("rows", [300, 100_000], ids=["some of them", "all and more"])
def test_a_rebalance_in_the_middle_of_a_batch(platforms: list[Any], rows: int) -> None:
    """Between what one member has read and its write, the group gives its partitions to another,
    who writes them first, some or all: the late write is refused as a whole, and in the end
    everything is there once."""
    first, second = platforms
    item_id = next(iter(first.catalog.all_items())).item_id
    events = [Event(f"e{n}", "view", f"user-{n % 40}", item_id, BASE) for n in range(3000)]
    first.event_log.append(events)
    deadline = time.monotonic() + PATIENCE

    def share(platform: Any, engine: Any, batch_rows: int) -> LakeShare:
        member = platform.event_log.join(LAKE_GROUP)
        return LakeShare(
            member,
            platform.event_log,
            lambda: engine,
            batch_rows=batch_rows,
            every_seconds=0.1,
        )

    def work(one: LakeShare, until: Callable[[], bool]) -> None:
        while not until():
            assert time.monotonic() < deadline
            if not one.step():
                time.sleep(0.05)
        one.close()

    def reached() -> int:
        return sum(second.engine.position(Table.EVENTS, SOURCE).values())

    def takeover() -> None:
        one.close()
        work(share(second, second.engine, rows), lambda: reached() > 0)

    engine = Interrupted(first.engine, takeover)
    one = share(first, engine, 500)
    work(one, lambda: bool(engine.refused))
    assert reached() == min(rows, len(events))
    work(share(first, first.engine, 500), lambda: reached() == len(events))
    rows_in_log = log_rows(first)
    assert len(rows_in_log) == len(events)
    assert_table_is_the_log(first, Table.EVENTS, rows_in_log)
    assert first.lake.scan(Table.EVENTS).collect().height == len(events)

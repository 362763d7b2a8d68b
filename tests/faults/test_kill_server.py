"""SIGKILL at random moments of a server under load, and of the pipeline beside it."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.conftest import DAY
from tests.faults.load import Asker, ListReader, Sender, Server
from tests.faults.looking import (
    assert_state_is_the_log,
    assert_whole_generation,
    events_in,
    lists,
    log_rows,
    opened,
    published_in_lake,
    rejected_ids,
)
from tests.faults.processes import SEED, Command, rounds, succeed

from nextup.domain.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.faults.load import Load

pytestmark = pytest.mark.faults

PIPELINE = ("pipeline", "run", "--date", DAY.isoformat())
SENDERS = 3


def workers(home: Path, server: Server) -> tuple[list[Sender], list[Load]]:
    with opened(home) as platform:
        people = sorted({row.user_id for row in log_rows(platform)})[:60]
        items = [item.item_id for item in platform.catalog.all_items()][:300]
    senders = [
        Sender(f"sender{n}", server, random.Random(SEED + n), items) for n in range(SENDERS)
    ]
    readers: list[Load] = [
        Asker("asker", server, random.Random(SEED), people),
        ListReader("reader", server, random.Random(SEED), home, people),
    ]
    return senders, readers


def disturb(home: Path, server: Server, dice: random.Random, kills: Counter[str]) -> None:
    """A run of the pipeline beside the server, either of which dies, or both."""
    victim = dice.choice(["server", "server", "pipeline", "both"])
    with Command(home, *PIPELINE) as pipeline:
        moment = dice.uniform(0, 4)
        began = time.monotonic()
        pipeline.sleep(moment)
        time.sleep(max(0.0, began + moment / 4 - time.monotonic()))
        if victim != "server":
            kills["pipeline"] += pipeline.kill()
        if victim != "pipeline":
            kills["server"] += server.kill()
        else:
            assert server.alive()
    if not server.alive():
        server.start()


def assert_all_is_there(home: Path, senders: Sequence[Sender], before: Sequence[str]) -> None:
    sent = {event_id for sender in senders for event_id in sender.sent}
    rejected = {rejected_id for sender in senders for rejected_id in sender.rejected}
    with opened(home) as platform:
        rows = log_rows(platform)  # each once
        ids = [row.event_id for row in rows]
        assert ids[: len(before)] == before
        new = ids[len(before) :]
        assert set(new) <= sent
        for sender in senders:
            assert set(sender.acknowledged) <= set(new)
            theirs = [int(name.split("-")[1]) for name in new if name.startswith(sender.name)]
            assert theirs == sorted(theirs)  # in the order in which they happened
        assert rejected <= set(rejected_ids(platform))
        for table in (Table.EVENTS, Table.INTERACTIONS):
            assert events_in(platform, table, rows) == len(rows)
        assert_whole_generation(platform)
        shown = {
            user_id: [tuple(item) for item in published.items]
            for user_id, published in lists(platform).items()
            if published is not None
        }
        assert shown == published_in_lake(platform)


def test_a_server_and_a_pipeline_under_load(halfway: Path) -> None:
    """Whatever dies: every acknowledged event is once in the log, in the order it was sent, and
    after a run once in silver; none that was never sent; what people are shown is whole; and the
    online state is what the log says."""
    dice = random.Random(SEED)
    kills: Counter[str] = Counter()
    with opened(halfway) as platform:
        before = [row.event_id for row in log_rows(platform)]
    with Server(halfway) as server:
        senders, readers = workers(halfway, server)
        for thread in (*senders, *readers):
            thread.start()
        for _ in range(rounds(4)):
            disturb(halfway, server, dice, kills)
        succeed(halfway, *PIPELINE)  # while events come in
        for thread in (*senders, *readers):
            thread.stop()
        succeed(halfway, *PIPELINE)
        assert [thread.wrong for thread in (*senders, *readers)] == [[]] * 5
        kills["server"] += server.kill()
    with Server(halfway):  # which catches up with the log before it is asked
        with opened(halfway) as platform:
            deadline = time.monotonic() + 60
            while platform.online_state.position() != platform.event_log.head():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert_state_is_the_log(platform)
    assert_all_is_there(halfway, senders, before)
    acknowledged = sum(len(sender.acknowledged) for sender in senders)
    repeated = sum(sender.repeated for sender in senders)
    asker, reader = readers
    print(f"serve: {dict(kills)} kills, {acknowledged} acknowledged, {repeated} retries, ", end="")
    print(f"{asker.answers} answers, {reader.reads} lists of {len(reader.known)} generations")
    assert acknowledged
    assert kills["server"]

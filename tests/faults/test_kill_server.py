"""SIGKILL at random moments of a server under load, and of the pipeline beside it."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.conftest import DAY
from tests.faults.load import Asker, ListReader, Sender, Server
from tests.faults.looking import (
    assert_state_is_the_log,
    assert_whole_generation,
    events_in,
    hashes,
    lists,
    log_rows,
    opened,
    published_in_lake,
    rejected_ids,
)
from tests.faults.processes import SEED, Command, rounds, succeed

from nextup.bootstrap import Platform
from nextup.domain.events import Event
from nextup.domain.tables import Table
from nextup.services.collect import collect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.load import Load

pytestmark = pytest.mark.faults

PIPELINE = ("pipeline", "run", "--date", DAY.isoformat())
SENDERS = 3


def workers(home: Path, server: Server) -> tuple[list[Sender], list[Load]]:
    with opened(home) as platform:
        people = sorted({row.user_id for row in log_rows(platform)})[:60]
        items = [item.item_id for item in platform.catalog.all_items()][:300]
    senders = [Sender(f"sender{n}", server, random.Random(SEED + n), items) for n in range(SENDERS)]
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
    with Server(halfway), opened(halfway) as platform:  # it catches up with the log
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


def test_a_backup_of_a_server_under_load(halfway: Path, tmp_path: Path) -> None:
    """A copy that is made while events come in and the lake is written holds every event that was
    acknowledged before it, whole tables, and goes on where it was."""
    settings = halfway / "nextup.toml"
    text = settings.read_text().replace("collect_seconds = 0.5", "collect_seconds = 0.01")
    settings.write_text(text)
    with Server(halfway) as server:
        senders, _ = workers(halfway, server)
        for sender in senders:
            sender.start()
        time.sleep(0.5)  # the lake's first news
        acknowledged = []
        for number in range(max(2, rounds(2) // 5)):
            acknowledged.append({name for sender in senders for name in sender.acknowledged})
            succeed(halfway, "backup", str(tmp_path / f"{number}.tar"))
        for sender in senders:
            sender.stop()
        assert [sender.wrong for sender in senders] == [[]] * SENDERS
    for number, known in enumerate(acknowledged):
        home = tmp_path / f"restored-{number}"
        home.mkdir()
        (home / "nextup.toml").write_text(text)
        succeed(home, "restore", str(tmp_path / f"{number}.tar"), "--yes")
        with opened(home) as platform:
            rows = log_rows(platform)
            assert known <= {row.event_id for row in rows}
            hashes(platform)
            assert events_in(platform, Table.INTERACTIONS, rows) <= events_in(
                platform, Table.EVENTS, rows
            )
        succeed(home, "pipeline", "run", "--to", "refine")
        with opened(home) as platform:
            assert events_in(platform, Table.INTERACTIONS, rows) == len(rows)
    assert acknowledged[-1]


def test_a_commit_in_the_midst_of_a_backup(
    halfway: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever folder of the lake has just been copied when rows are added: the copy has whole
    tables, each with exactly the events that its position says."""
    with opened(halfway) as platform:
        item_id = next(iter(platform.catalog.all_items())).item_id
        platform.engine.position(Table.EVENTS, "")  # opened before anything is disturbed
        copied: list[str] = []
        finish = shutil.copystat

        def commit(source: str, target: str, **options: bool) -> None:
            finish(source, target, **options)
            if Path(source).is_dir() and not copied.count(str(source)):
                copied.append(str(source))
                late = Event(f"late-{len(copied)}", "view", "ada", item_id, datetime.now(UTC))
                platform.event_log.append([late])
                collect(platform.event_log, platform.engine, batch_rows=1000)

        monkeypatch.setattr(shutil, "copystat", commit)
        platform.lake.backup(tmp_path / "copy")
        monkeypatch.undo()
        rows = log_rows(platform)
        (home := tmp_path / "home").mkdir()
        (tmp_path / "copy").rename(home / "lake")
        lake = Platform(platform.settings.model_copy(update={"lake_url": f"file://{home}/lake"}))
        assert len(copied) > len(Table)
        assert events_in(lake, Table.EVENTS, rows) >= events_in(lake, Table.INTERACTIONS, rows)
        hashes(lake)
        lake.close()

"""SIGKILL at random moments of ingest, pipeline, backup and restore: nothing lost or doubled."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.conftest import DAY
from tests.faults.looking import (
    assert_state_is_the_log,
    assert_whole_generation,
    events_in,
    hashes,
    lists,
    log_rows,
    opened,
    rejected_ids,
)
from tests.faults.processes import SEED, Command, rounds, run, succeed

from nextup.domain.events import Event
from nextup.domain.operations import Outcome
from nextup.domain.tables import Table
from nextup.services.pipeline import LOCK, STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextup.domain.recommendations import PublishedList

pytestmark = pytest.mark.faults

ROWS = 30_000  # some four appends
PIPELINE = ("pipeline", "run", "--date", DAY.isoformat())
APPENDED = (Table.EVENTS, Table.QUARANTINE, Table.INTERACTIONS)


def write_table(path: Path) -> tuple[Counter[tuple[str, str]], int]:
    """A CSV file; returns how often each good pair occurs, and how many rows are bad."""
    pairs: Counter[tuple[str, str]] = Counter()
    bad = 0
    note = "x" * 300  # makes the file several reads long
    with path.open("w", encoding="utf-8") as file:
        print("user,item,stars,at,note", file=file)
        for n in range(ROWS):
            user, item, stars = f"p{n % 997}", f"i{n % 613}", f"{1 + n % 5}"
            if n % 50 == 7:
                stars = "eleven"
            elif n % 70 == 9:
                user = ""
            else:
                pairs[user, item] += 1
            bad += stars == "eleven" or not user
            print(f"{user},{item},{stars},2026-03-{1 + n % 28:02}T10:00:00Z,{note}", file=file)
    return pairs, bad


def killed_at(home: Path, arguments: tuple[str, ...], seconds: float) -> bool:
    """Whether the command was still alive to be killed after so long."""
    with Command(home, *arguments) as command:
        command.sleep(seconds)
        return command.kill()


def test_ingest(tmp_path: Path) -> None:
    """An import that is killed again and again, and run again, leaves every row once: the good
    ones in the log and then in silver, the bad ones in quarantine, and its report adds up."""
    pairs, bad = write_table(tmp_path / "big.csv")
    columns = [f"--map={pair}" for pair in ("user=user", "item=item", "value=stars", "time=at")]
    ingest = ("ingest", "table", str(tmp_path / "big.csv"), *columns, "--json")
    home = tmp_path / "home"
    dice = random.Random(SEED)
    seconds, kills = 0.0, 0
    for number in range(max(1, rounds(5) // 5)):  # after five kills, from the start again
        undisturbed = tmp_path / f"undisturbed-{number}"
        for folder in (undisturbed, home):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "nextup.toml").touch()
        if not seconds:
            began = time.monotonic()
            succeed(undisturbed, *ingest)
            seconds = time.monotonic() - began
        seen = 0
        for _ in range(5):
            kills += killed_at(home, ingest, dice.uniform(0, 1.1 * seconds))
            with opened(home) as platform:
                durable = len(log_rows(platform))
                assert seen <= durable <= ROWS - bad
                seen = durable
        report = json.loads(succeed(home, *ingest).out)
        assert report["rows"] == ROWS
        assert report["accepted"] + report["duplicates"] == ROWS - bad
        assert sum(report["quarantined"].values()) == bad
        succeed(home, "pipeline", "run", "--to", "refine")
        with opened(home) as platform:
            rows = log_rows(platform)
            assert Counter((row.user_id, row.item_id) for row in rows) == pairs
            assert len(rejected_ids(platform)) == bad
            assert events_in(platform, Table.INTERACTIONS, rows) == len(rows)
            assert platform.lake.scan(Table.QUARANTINE).collect().height == bad
    print(f"ingest: {kills} kills")
    assert kills


class Picture(NamedTuple):
    """Everything that a pipeline run makes."""

    tables: Mapping[Table, str]
    lists: Mapping[str, PublishedList | None]
    generation: str | None
    model: str | None


def picture(home: Path) -> Picture:
    with opened(home) as platform:
        return Picture(
            hashes(platform),
            lists(platform),
            platform.recommendation_store.current(),
            platform.control.current_model(),
        )


def moments(dice: random.Random, seconds: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """For ever: each step in turn, and when after its beginning to kill."""
    while True:
        for step in STEPS:
            yield step.name, dice.uniform(0, 1.2 * seconds[step.name] + 0.02)


def kill_in_step(home: Path, step: str, seconds: float) -> bool:
    names = [one.name for one in STEPS]
    before = names[: names.index(step)]
    with Command(home, *PIPELINE) as command:
        if before:
            command.wait_until(lambda out: f"{before[-1]:<10} succeeded" in out)
        else:
            seconds += 0.3  # until it has opened the platform
        command.sleep(seconds)
        return command.kill()


def assert_nothing_is_half(home: Path, old: Picture, new: Picture) -> None:
    """Every table, the lists and the model are as before the run or as after it."""
    now = picture(home)
    for table, found in now.tables.items():
        if table not in APPENDED:
            assert found in {old.tables[table], new.tables[table]}, table
    assert (now.generation, now.lists) in (
        (old.generation, dict(old.lists)),
        (new.generation, dict(new.lists)),
    )
    assert now.model in {old.model, new.model}
    with opened(home) as platform:
        assert_whole_generation(platform)
        rows = log_rows(platform)
        assert events_in(platform, Table.INTERACTIONS, rows) <= events_in(
            platform, Table.EVENTS, rows
        )
        with platform.control.lock(LOCK):
            pass  # the dead hold nothing


def arrays(home: Path, model_id: str | None) -> dict[str, bytes]:
    folder = home / "data" / "files" / "models" / str(model_id)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "model.json"  # which says when it was made
    }


def test_pipeline(halfway: Path, tmp_path: Path) -> None:
    """A run that is killed in each step in turn, and run again, ends with the tables, lists and
    model of a run that nobody disturbed; at no moment is anything of it half there, and no dead
    process keeps the next from starting."""
    old = picture(halfway)
    undisturbed = shutil.copytree(halfway, tmp_path / "undisturbed")
    succeed(undisturbed, *PIPELINE)
    new = picture(undisturbed)
    assert new.generation != old.generation
    assert None not in new.lists.values()
    assert None in old.lists.values()  # newcomers
    with opened(undisturbed) as platform:
        (latest,) = platform.control.runs(1)
    seconds = {step.step: step.seconds for step in latest.steps}
    when = moments(random.Random(SEED), seconds)
    kills: Counter[str] = Counter()
    for number in range(-(-rounds(6) // len(STEPS))):
        home = shutil.copytree(halfway, tmp_path / f"killed-{number}")
        died = 0
        for _ in STEPS:
            step, moment = next(when)
            if kill_in_step(home, step, moment):
                kills[step] += 1
                died += 1
            assert_nothing_is_half(home, old, new)
        succeed(home, *PIPELINE)
        assert picture(home) == new
        assert arrays(home, new.model) == arrays(undisturbed, new.model)
        with opened(home) as platform:
            assert_state_is_the_log(platform)
            outcomes = Counter(one.outcome for one in platform.control.runs(100))
        assert not outcomes[Outcome.RUNNING]
        assert outcomes[Outcome.INTERRUPTED] <= died
        shutil.rmtree(home)
    print(f"pipeline: {kills.total()} kills, {dict(kills)}")
    assert kills


def late_events(home: Path) -> None:
    """What happened after the backup, and is gone after a restore."""
    with opened(home) as platform:
        item = next(iter(platform.catalog.all_items())).item_id
        now = datetime.now(UTC)
        platform.event_log.append(
            [Event(f"late-{n}", "view", f"late-{n % 5}", item, now) for n in range(500)]
        )
        platform.recommendation_store.drop("none")
        platform.online_state.apply([], {"0": 7})


def test_backup_and_restore(halfway: Path, tmp_path: Path) -> None:
    """A killed backup leaves no archive under its name; a killed restore can be repeated, and
    then everything is as it was copied."""
    dice = random.Random(SEED)
    before = picture(halfway)
    with opened(halfway) as platform:
        ids = [row.event_id for row in log_rows(platform)]
    whole = tmp_path / "whole.tar"
    began = time.monotonic()
    succeed(halfway, "backup", str(whole))
    seconds = time.monotonic() - began
    kills = 0
    for number in range(rounds(2)):
        archive = tmp_path / f"{number}.tar"
        if killed_at(halfway, ("backup", str(archive)), dice.uniform(0, seconds)):
            kills += 1
            assert not archive.exists() or archive.stat().st_size == whole.stat().st_size
    again = tmp_path / "again.tar"
    succeed(halfway, "backup", str(again))
    kills_of_restore = 0
    for _ in range(-(-rounds(2) // 2)):
        late_events(halfway)
        shutil.rmtree(halfway / "data" / "lake" / "gold")
        for _ in range(2):
            moment = dice.uniform(0.1, 1.2 * seconds)
            kills_of_restore += killed_at(halfway, ("restore", str(again), "--yes"), moment)
        succeed(halfway, "restore", str(again), "--yes")
        assert picture(halfway) == before
        with opened(halfway) as platform:
            assert [row.event_id for row in log_rows(platform)] == ids
    print(f"backup: {kills} kills; restore: {kills_of_restore} kills")
    assert kills + kills_of_restore
    succeed(halfway, *PIPELINE)


def test_the_lock_of_the_living_holds(halfway: Path) -> None:
    """While a run is alive another one is refused in one line; once it was killed, it is not."""
    with Command(halfway, *PIPELINE) as first:
        assert first.wait_until(lambda out: "refine" in out)
        second = run(halfway, *PIPELINE)
        still = first.kill()
    if still:
        assert second.code == 1, second
        assert "held by process" in second.err
    succeed(halfway, *PIPELINE, "--to", "collect")

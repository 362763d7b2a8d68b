"""A full disk and a read-only one: a clear line, nothing lost, and it goes on with room again."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.disks import Disk, small_disk
from tests.faults.load import Server, ask
from tests.faults.looking import hashes, lists, log_rows, opened, rejected_ids
from tests.faults.processes import ROUNDS, refused, run, succeed
from tests.faults.test_kill import PIPELINE, ROWS, assert_nothing_is_half, picture, write_table

from nextup.domain.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.faults

MEGABYTES = 80
KILOBYTE = 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = small_disk(tmp_path / "disk", MEGABYTES)
    yield disk
    disk.unmount()


def test_ingest(disk: Disk, tmp_path: Path) -> None:
    """An import that runs out of space says so in one line; run again with room, it leaves every
    row once and its report adds up."""
    _, bad = write_table(tmp_path / "big.csv")
    columns = ["--map=user=user", "--map=item=item", "--map=value=stars", "--map=time=at"]
    ingest = ("ingest", "table", str(tmp_path / "big.csv"), *columns, "--json")
    home = disk.folder / "home"
    home.mkdir()
    (home / "nextup.toml").touch()
    durable = 0
    for leave in (0, 100 * KILOBYTE, 3000 * KILOBYTE):
        disk.fill(leave)
        said = json.loads(run(home, *ingest).err)
        assert "space" in said["error"]
        assert said["cure"]
        disk.clear()
        with opened(home) as platform:
            found = len(log_rows(platform))
        assert durable <= found < ROWS - bad
        durable = found
    assert durable  # the last attempt got somewhere
    report = json.loads(succeed(home, *ingest).out)
    assert report["accepted"] + report["duplicates"] == ROWS - bad
    with opened(home) as platform:
        assert len(log_rows(platform)) == ROWS - bad
        assert len(rejected_ids(platform)) == bad


def test_pipeline(disk: Disk, halfway: Path, tmp_path: Path) -> None:
    """Wherever a run runs out of space, nothing is half there; run again with room, it ends as
    one that always had some."""
    old = picture(halfway)
    undisturbed = shutil.copytree(halfway, tmp_path / "undisturbed")
    succeed(undisturbed, *PIPELINE)
    new = picture(undisturbed)
    home = shutil.copytree(halfway, disk.folder / "home")
    for leave in (0, 40, 160, 500, 1000, 2000) if ROUNDS else (0, 160, 1000):
        disk.fill(leave * KILOBYTE)
        line = refused(run(home, *PIPELINE))
        assert "space" in line
        disk.clear()
        assert_nothing_is_half(home, old, new)
    succeed(home, *PIPELINE)
    assert picture(home) == new


def event(number: int, item_id: str) -> dict[str, Any]:
    wide = {"note": "x" * 2000}
    return {
        "event_id": f"e{number}",
        "type": "view",
        "user_id": f"p{number % 3}",
        "item_id": item_id,
        "context": wide,
    }


def test_serve(disk: Disk, halfway: Path) -> None:
    """A server without space refuses events with 507 and a cure, loses none that it acknowledged,
    goes on recommending, and takes events again as soon as there is room."""
    home = shutil.copytree(halfway, disk.folder / "home")
    with opened(home) as platform:
        before = len(log_rows(platform))
        item_id = next(iter(platform.catalog.all_items())).item_id
        person = log_rows(platform)[0].user_id
    acknowledged: list[str] = []
    with Server(home) as server:
        for number in range(20):
            assert ask(server.url, "POST", "/v1/events", event(number, item_id))[0] == 202
            acknowledged.append(f"e{number}")
        disk.fill()
        refusals = 0
        for number in range(20, 4000):
            status, answer = ask(server.url, "POST", "/v1/events", event(number, item_id))
            if status == 202:
                acknowledged.append(f"e{number}")
                continue
            assert status in {503, 507}, answer
            assert answer["cure"]
            assert answer["status"] == status
            refusals += 1
            if refusals == 5:
                break
        assert refusals == 5
        assert status == 507
        batch = [event(n, item_id) for n in range(5000, 5010)]
        assert ask(server.url, "POST", "/v1/events/batch", batch)[0] in {503, 507}
        status, answer = ask(server.url, "GET", f"/v1/users/{person}/recommendations")
        assert status == 200
        assert answer["items"]
        assert ask(server.url, "GET", "/healthz")[0] == 200
        disk.clear()
        status, answer = ask(server.url, "POST", "/v1/events", event(6000, item_id))
        assert status == 202, answer
        acknowledged.append("e6000")
        assert server.alive()
    with opened(home) as platform:
        kept = [row.event_id for row in log_rows(platform)[before:]]
    assert kept == acknowledged


def test_publish_to_a_full_disk(disk: Disk, halfway: Path) -> None:
    """Publishing without space leaves the generation in service as it is."""
    succeed(halfway, *PIPELINE, "--to", "evaluate")
    home = shutil.copytree(halfway, disk.folder / "home")
    with opened(home) as platform:
        before, current = lists(platform), platform.recommendation_store.current()
    disk.fill(300 * KILOBYTE)
    line = refused(run(home, *PIPELINE, "--from", "publish"))
    assert "space" in line
    with opened(home) as platform:
        assert (lists(platform), platform.recommendation_store.current()) == (before, current)
    disk.clear()
    succeed(home, *PIPELINE, "--from", "publish")
    with opened(home) as platform:
        assert platform.recommendation_store.current() != current
        assert None not in lists(platform).values()


def test_backup_to_a_full_disk(disk: Disk, halfway: Path) -> None:
    """A backup that runs out of space, wherever, leaves no archive and no rubbish; a restore that
    does changes nothing."""
    archive = disk.folder / "backup.tar"
    succeed(halfway, "backup", str(archive))
    size = archive.stat().st_size
    archive.unlink()
    for share in (
        (0.04, 0.2, 0.4, 0.6, 1.5) if ROUNDS else (0.2, 0.6, 1.5)
    ):  # of the copies, which the archive then joins
        disk.fill(int(share * size))
        line = refused(run(halfway, "backup", str(archive)))
        assert "space" in line.lower(), share
        assert len(line) < 500
        assert [path.name for path in disk.folder.iterdir()] == ["ballast"]
        disk.clear()
    succeed(halfway, "backup", str(archive))
    before = picture(halfway)
    disk.fill(size // 2)
    line = refused(run(halfway, "restore", str(archive), "--yes"))
    assert "space" in line.lower()
    assert picture(halfway) == before
    disk.clear()
    succeed(halfway, "restore", str(archive), "--yes")


def test_read_only(disk: Disk, halfway: Path, tmp_path: Path) -> None:
    """On a read-only disk what only reads still answers, and what writes says in one line what
    to do; afterwards everything goes on."""
    home = shutil.copytree(halfway, disk.folder / "home")
    with opened(home) as platform:
        person = log_rows(platform)[0].user_id
        before = hashes(platform)
        model_id = str(platform.control.current_model())
    (tmp_path / "events.csv").write_text("user,item\nada,film:alien-1979\n")
    disk.make_read_only()
    ingest = ("ingest", "table", str(tmp_path / "events.csv"), "--map=user=user", "--map=item=item")
    writes = (PIPELINE, ingest, ("model", "promote", model_id), ("erase", person, "--yes"))
    for command in writes:
        line = refused(run(home, *command))
        assert "read-only" in line.lower() or "may not be used" in line, line
        assert "permission" in line or "right" in line, line
    assert model_id in succeed(home, "model", "list").out
    shown = json.loads(succeed(home, "recommend", person, "--json").out)
    assert shown["items"]
    disk.make_writable()
    with opened(home) as platform:
        assert hashes(platform) == before
    succeed(home, *PIPELINE)
    with opened(home) as platform:
        assert platform.lake.version(Table.EVENTS)

"""Nights of the recipe `platform-api`: kills, backups, upgrades, Airflow."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.contract.backends import POSTGRESQL
from tests.integration.test_airflow import NEXTUP, in_airflow, look
from tests.recipes.at_length import at_length
from tests.recipes.platform_world import (
    FILMS,
    FIRST,
    SECOND,
    Deployment,
    assert_mirrors,
    deploy,
    films,
    registered,
    serving,
)
from tests.servers import reach
from typer.testing import CliRunner

from nextup.domain.errors import ConfigurationError, CorruptData
from nextup.domain.events import Event
from nextup.entrypoints.airflow.writing import write_dags
from nextup.entrypoints.cli.app import app
from nextup.recipes.pipelines import pipelines_of
from nextup.recipes.platform_api.archives import archive_of, verify_archive
from nextup.recipes.platform_api.options import Options
from nextup.recipes.platform_api.tables import PlatformTables
from nextup.services.backup import ORDER, restore

if TYPE_CHECKING:
    from pathlib import Path


def nextup(shop: Deployment, *arguments: str) -> subprocess.Popen[str]:
    """A command in a process of its own, to be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "nextup", *arguments, "-C", str(shop.home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_kill_in_the_middle(shop: Deployment) -> None:
    """An injection that is killed while it writes, and run again, has each row once."""
    day = SECOND + timedelta(days=5)
    people, chosen = 120, films()[:25]
    with (shop.inbox / f"ratings-{day}.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("userId", "movieId", "rating", "timestamp"))
        for person in range(people):
            for number, film in enumerate(chosen):
                at = 1_775_100_000 + person * 100 + number
                writer.writerow((f"k{person}", film.item_id, 1 + (person + number) % 5, at))
    count = "SELECT count(*) FROM movies_users_rating WHERE user_id LIKE 'k%%' AND rating > %s"
    shop.run_only("inject-data", day, "fetch_simulation_data")
    process = nextup(
        shop, "pipeline", "run", "inject-data", "--from", "inject_into_database", "--date", str(day)
    )
    with process:
        while not shop.rows(count, 0)[0][0]:
            assert process.poll() is None, process.communicate()
        process.kill()
    ((there,),) = shop.rows(count, 0)
    assert 0 < there < people * len(chosen)
    counts = shop.run("inject-data", day).steps[-1].counts
    assert counts["events"] + counts["duplicates"] >= people * len(chosen)
    assert counts["duplicates"] > 0
    assert shop.rows(count, 0) == [(people * len(chosen),)]
    assert_mirrors(shop)


def test_a_backup_is_proven(shop: Deployment) -> None:
    """The archive comes back as it was, beside the platform and in its place; the tables follow;
    one that does not is told."""
    day = SECOND + timedelta(days=6)
    shop.run_only("train-model", day, "store_user_vectors")
    run = shop.run("backup-db", day)
    archive = archive_of(shop.settings(), "backup_db", day)
    assert run.steps[-1].message == f"{archive.name} was restored and is whole"
    note = json.loads(archive.with_suffix(".verified.json").read_text())
    assert note["archive"] == archive.name
    assert shop.rows("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'restored%%'") == [(0,)]
    before = shop.tables()
    with serving(shop) as client:
        registered(client, "afterwards")
    with shop.opened() as platform:
        platform.event_log.erase(f"simulation/{before['users'][0][1]}")
        platform.catalog.delete_item(films()[9].item_id)
        assert shop.tables() != before
        restore({name: getattr(platform, name) for name in ORDER}, archive)
    shop.run_only("train-model", day, "store_user_vectors")
    after = shop.tables()
    assert {name: after[name] for name in after if name != "users"} == {
        name: before[name] for name in before if name != "users"
    }
    assert [row[:3] for row in after["users"]] == [row[:3] for row in before["users"]]
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(CorruptData):
        verify_archive(shop.settings(), archive)


def test_one_database(shop: Deployment) -> None:
    """The tables cannot follow what lies elsewhere, nor lie among Nextup's own; both are said
    before anything is done."""
    elsewhere = shop.settings(catalog_url="sqlite:///catalog.db")
    with pytest.raises(ConfigurationError, match="one PostgreSQL"):
        PlatformTables.of(elsewhere, Options())
    among = shop.settings(connections={"schema_name": "public"})
    with pytest.raises(ConfigurationError, match="among the recipe's"):
        PlatformTables.of(among, Options())


def test_tables_for_data_that_are_there(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A deployment that gets the tables after its data, and under names of its own, finds them
    full; `nextup db upgrade` makes them, and once is enough."""
    place = reach(request, POSTGRESQL.values[0])
    old = deploy(place.url, f"platform_old_{os.getpid()}", tmp_path / "old")
    names = {"movies": "films", "users": "people", "ratings": "stars", "clients": "buyers"}
    toml = old.home / "nextup.toml"
    text = toml.read_text().partition("[options]")[0] + "[options]\n"
    toml.write_text(text + "".join(f'{what} = "{name}"\n' for what, name in names.items()))
    with old.opened() as platform:
        platform.catalog.put_items(films())
        act = Event("1", "like", "simulation/7", films()[0].item_id, datetime.now(UTC))
        platform.event_log.append([act])
    runner = CliRunner()
    for before in (None, "platform_api_0001"):
        done = runner.invoke(app, ["db", "upgrade", "-C", str(old.home), "--json"])
        assert done.exit_code == 0, done.output
        (own,) = (
            part for part in json.loads(done.stdout)["parts"] if part["part"] == "platform_api"
        )
        assert own["before"] == before
    counts = [old.rows(f"SELECT count(*) FROM {name}")[0][0] for name in names.values()]
    assert counts == [FILMS, 1, 1, 1]


@at_length
@pytest.mark.timeout(900)  # a cold machine installs Airflow
def test_the_dags(shop: Deployment, airflow_programs: Path, tmp_path: Path) -> None:
    """`inject-data` and `train-model` in Airflow: each task is a run of its step, for the day."""
    settings = shop.settings()
    home = tmp_path / "airflow"
    write_dags(home / "dags", settings, nextup=NEXTUP, since=FIRST)
    in_airflow(home, airflow_programs / "airflow", "db", "migrate")
    day = SECOND + timedelta(days=9)
    event = {"type": "like", "user_id": "dag", "item_id": films()[3].item_id}
    (shop.inbox / f"events-{day}.jsonl").write_text(json.dumps(event))
    for pipeline in pipelines_of(settings)[:2]:
        said = look(home, airflow_programs, home / "dags", pipeline.name, f"{day}T12:00:00+00:00")
        assert said["state"] == "success"
        assert said[pipeline.name]["tasks"] == pipeline.step_names
    with shop.opened() as platform:
        runs = [run for run in platform.control.runs(50) if run.date == str(day)]
    done = [(run.pipeline, step.step) for run in reversed(runs) for step in run.steps]
    assert done == [
        (pipeline.name, step)
        for pipeline in pipelines_of(settings)[:2]
        for step in pipeline.step_names
    ]
    query = "SELECT vector IS NOT NULL FROM users WHERE user_id = 'dag'"
    assert shop.rows(query) == [(True,)]

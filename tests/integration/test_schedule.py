"""`nextup schedule` on a real platform."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from nextup.bootstrap import open_platform
from nextup.domain.errors import ConfigurationError, Conflict
from nextup.domain.operations import Outcome, Run, StepRecord
from nextup.entrypoints.cli.app import app
from nextup.entrypoints.cli.context import context_of
from nextup.recipes.pipelines import pipelines_of
from nextup.services.daily_jobs import daily_jobs, last_whole_day
from nextup.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.services.schedule import Job

MAIN = "from nextup.entrypoints.cli.app import main; main()"
TIMES = """
[schedule]
pipelines = {nextup_daily = "00:00", nextup_maintenance = "00:00"}
backup = "00:00"
backup_keep = 2

[reranker]
mode = "off"
"""

NOTHING = '[schedule]\npipelines = {nextup_daily = "", nextup_maintenance = ""}\n'


def jobs_of(platform: Platform) -> dict[str, Job]:
    home = platform.settings.home
    toml = home / "nextup.toml"
    toml.write_text(f"{toml.read_text()}\n{TIMES}")
    settings = load_settings(home)
    pipelines = pipelines_of(settings)
    jobs = daily_jobs(settings, pipelines, partial(open_platform, settings), context_of)
    return {job.name: job for job in jobs}


def test_the_pipeline_does_the_day_that_ended(built: Platform) -> None:
    """What is on record tells what is missed; a run that ended before its last step counts not."""
    job = jobs_of(built)["nextup_daily"]
    assert list(job.missed(date(2026, 4, 1))) == []  # the built platform's day is 31 March
    assert list(job.missed(date(2026, 4, 3))) == [date(2026, 4, 2), date(2026, 4, 3)]
    now = datetime(2026, 4, 3, tzinfo=UTC)
    built.control.save_run(Run("r", "2026-04-02", Outcome.SUCCEEDED, now))
    built.control.save_step("r", StepRecord("train", Outcome.SUCCEEDED, now, 1.0))
    assert last_whole_day(built.control) == date(2026, 3, 31)
    assert job.run(date(2026, 4, 2)).startswith("2026-04-01: ")
    assert last_whole_day(built.control) == date(2026, 4, 1)


def test_backups_come_and_go(built: Platform) -> None:
    """One a day, the latest of those that were missed; the oldest leave, other files stay."""
    job = jobs_of(built)["backup"]
    folder = built.settings.home / "backups"
    assert list(job.missed(date(2026, 4, 9))) == [date(2026, 4, 9)]
    for day in (7, 8, 9):
        job.run(date(2026, 4, day))
        (folder / "mine.tar").touch()
    names = ["mine.tar", "nextup-2026-04-08.tar", "nextup-2026-04-09.tar"]
    assert sorted(file.name for file in folder.iterdir()) == names
    assert list(job.missed(date(2026, 4, 9))) == []


def test_the_lake_is_looked_after(built: Platform) -> None:
    """Once; days that were missed are not made up for."""
    job = jobs_of(built)["nextup_maintenance"]
    assert list(job.missed(date(2026, 4, 9))) == [date(2026, 4, 9)]
    assert "files_fewer" in job.run(date(2026, 4, 9))
    assert list(job.missed(date(2026, 4, 9))) == []
    assert list(job.missed(date(2026, 4, 12))) == [date(2026, 4, 12)]
    assert last_whole_day(built.control) == date(2026, 3, 31)  # the daily one's runs are its own


def test_nothing_to_do(tmp_path: Path) -> None:
    """Without a time there is nothing to wait for."""
    (tmp_path / "nextup.toml").write_text(NOTHING)
    done = CliRunner().invoke(app, ["schedule", "-C", str(tmp_path)])
    assert isinstance(done.exception, ConfigurationError)


def test_two_schedulers(built: Platform) -> None:
    """The second is told that there is one."""
    with built.control.lock("schedule"):
        done = CliRunner().invoke(app, ["schedule", "--once", "-C", str(built.settings.home)])
    assert isinstance(done.exception, Conflict)


@pytest.mark.timeout(180)
def test_a_real_one(built: Platform) -> None:
    """A scheduler on the machine's own clock does what is due at once, and ends when told to."""
    home = built.settings.home
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    now = datetime.now(UTC)
    built.control.save_run(Run("r", yesterday.isoformat(), Outcome.SUCCEEDED, now))
    built.control.save_step("r", StepRecord("publish", Outcome.SUCCEEDED, now, 1.0))
    (home / "nextup.toml").write_text(f'{NOTHING}backup = "00:00"\n')
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "schedule", "-C", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if ".tar:" in line:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 0, lines
    assert any("backup             next at" in line for line in lines)
    assert lines[-1] == "Stopped.\n"
    assert len(list((home / "backups").glob("nextup-*.tar"))) == 1


def test_machines_are_told(built: Platform) -> None:
    """`--once --json` prints what was done, and exits with 1 where something failed."""
    home = built.settings.home
    (home / "backups").write_text("no folder")
    (home / "nextup.toml").write_text(f'{NOTHING}backup = "00:00"\n')
    done = CliRunner().invoke(app, ["schedule", "--once", "--json", "-C", str(home)])
    assert done.exit_code == 1
    (outcome,) = json.loads(done.stdout)
    assert (outcome["job"], outcome["done"]) == ("backup", False)
    assert "backups" in outcome["says"]

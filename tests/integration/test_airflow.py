"""The DAGs in a real Airflow, in its own environment. `make soak` asks its scheduler, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stack.errors import Unavailable
from stack.fetching import python_environment

from nextup.domain.operations import Outcome
from nextup.entrypoints.airflow.plans import plans_of
from nextup.entrypoints.airflow.writing import write_dags
from nextup.services.pipeline import STEPS
from nextup.settings import load_settings

if TYPE_CHECKING:
    from nextup.bootstrap import Platform

WORLD = Path(__file__).with_name("airflow_world.py")
SOURCE = Path(__file__).parents[2] / "src"
NEXTUP = ["env", f"PYTHONPATH={SOURCE}", sys.executable, "-m", "nextup"]
SECONDS = 280  # that Airflow may take on a busy machine
ENVIRONMENT = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "NEXTUP_ACCESS__AUTH": "none",
    "PYTHONPATH": "",  # nothing of Nextup's environment
}


@pytest.fixture(scope="session")
def airflow() -> Path:
    """The folder of Airflow's programs."""
    try:
        return python_environment("airflow")
    except Unavailable as error:
        if os.environ.get("NEXTUP_REQUIRE_SERVERS") == "1":
            pytest.fail(f"Airflow must be tested: {error}", pytrace=False)
        pytest.skip(str(error).splitlines()[0])


def in_airflow(home: Path, *command: str | Path) -> str:
    """What a program of Airflow's environment prints; Airflow's own data lies in `home`."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **ENVIRONMENT, "AIRFLOW_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def look(home: Path, airflow: Path, folder: Path, *more: str) -> dict[str, Any]:
    said = in_airflow(home, airflow / "python", "-P", WORLD, folder, *more)
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


@pytest.mark.timeout(900)  # a cold machine installs Airflow
def test_a_dag_runs(sample: Platform, airflow: Path, tmp_path: Path) -> None:
    """Every DAG is what its plan says; and one does its work: each of its tasks is a run of its
    step, of the day that it was given."""
    settings = load_settings(sample.settings.home)
    home = tmp_path / "airflow"
    folder = home / "dags"
    write_dags(folder, settings, nextup=NEXTUP, since=date(2026, 3, 31))
    in_airflow(home, airflow / "airflow", "db", "migrate")
    said = look(home, airflow, folder, "nextup_daily", "2026-03-31T12:00:00+00:00")
    assert said.pop("state") == "success"
    assert said == {
        plan.dag_id: {
            "tasks": [task.name for task in plan.tasks],
            "retries": [3],
            "timeouts": [7200.0],
            "makes": [f"nextup://nextup/{task.makes}" for task in plan.tasks if task.makes],
            "catchup": plan.catch_up,
            "at_once": 1,
            "deadlines": 1,
            "schedule": "CronTriggerTimetable",
        }
        for plan in plans_of(settings)
    }
    runs = sample.control.runs()
    assert {(run.date, run.outcome) for run in runs} == {("2026-03-31", Outcome.SUCCEEDED)}
    done = [step.step for run in reversed(runs) for step in run.steps]
    assert done == [step.name for step in STEPS]

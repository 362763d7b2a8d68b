"""The DAGs as data: their names and times, and that every command in them is one of Nextup's."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

import pytest
import typer.main

from nextup.domain.errors import ConfigurationError
from nextup.entrypoints.airflow.plans import Plan, plans_of
from nextup.entrypoints.airflow.writing import write_dags
from nextup.entrypoints.cli.app import app
from nextup.recipes.folders import recipes
from nextup.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

RECIPES = ["", *recipes()]
EVERY = [
    pytest.param(plan, id=plan.dag_id)
    for recipe in RECIPES
    for plan in plans_of(Settings(recipe=recipe))  # type: ignore[arg-type]
]


def test_names_and_times() -> None:
    """What people who run these deployments know them by."""
    known = {plan.dag_id: plan.at for plan in plans_of(Settings())}
    assert known == {"nextup_daily": "02:00", "nextup_maintenance": "04:00"}


def test_other_times(tmp_path: Path) -> None:
    """The settings give a pipeline another time, or none; a name that is none is refused."""
    (tmp_path / "nextup.toml").write_text('[schedule.pipelines]\nnextup_daily = "05:30"\n')
    assert plans_of(load_settings(tmp_path))[0].at == "05:30"
    (tmp_path / "nextup.toml").write_text('[schedule.pipelines]\nnightly = "05:30"\n')
    with pytest.raises(ConfigurationError, match="nightly") as error:
        plans_of(load_settings(tmp_path))
    assert "nextup_daily" in error.value.cure


@pytest.mark.parametrize("plan", EVERY)
def test_every_command_exists(plan: Plan) -> None:
    """With all its options; and no task's name comes twice."""
    for task in plan.tasks:
        command = typer.main.get_command(app)
        words = list(task.command)
        while children := getattr(command, "commands", None):
            command = children[words.pop(0)]
        arguments = [word.replace("{day}", "2026-03-31") for word in words]
        assert command.make_context("", [*arguments, "-C", "home"])
    names = [task.name for task in plan.tasks]
    assert len(names) == len({*names})


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_starts_a_run_is_made(recipe: str) -> None:
    """An asset that a DAG waits for is made by another one of the same deployment."""
    plans = plans_of(Settings(recipe=recipe))  # type: ignore[arg-type]
    made = {task.makes for plan in plans for task in plan.tasks}
    assert {plan.after for plan in plans if plan.after} <= made


def test_written_for_airflow(tmp_path: Path) -> None:
    """Code and data, in place of what was there."""
    settings = load_settings(tmp_path, timezone="Europe/Paris")
    for since in (date(2026, 3, 1), date(2026, 3, 2)):
        files = write_dags(tmp_path / "dags", settings, nextup=["nextup"], since=since)
    assert sorted(file.name for file in (tmp_path / "dags").iterdir()) == sorted(
        file.name for file in files
    )
    plan = json.loads((tmp_path / "dags" / "nextup_plan.json").read_text())
    assert (plan["since"], plan["timezone"]) == ("2026-03-02", "Europe/Paris")
    assert plan["home"] == str(tmp_path)
    compile((tmp_path / "dags" / "nextup_dags.py").read_text(), "nextup_dags.py", "exec")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Is said with its cure."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_dags(
            tmp_path / "file", load_settings(tmp_path), nextup=["nextup"], since=date(2026, 3, 1)
        )

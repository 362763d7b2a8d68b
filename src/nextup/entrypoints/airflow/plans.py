"""The DAGs of a deployment as data: its pipelines, each step one of Nextup's commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextup.recipes.pipelines import pipelines_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.services.pipeline import Pipeline
    from nextup.settings import Settings

DAY = "{day}"  # in a command: the date that a run is for


@dataclass(frozen=True, slots=True)
class Task:
    """One command."""

    name: str
    command: tuple[str, ...]  # of `nextup`, without its name
    timeout_seconds: int
    makes: str  # the asset that is there afterwards; empty: none


@dataclass(frozen=True, slots=True)
class Plan:
    """A DAG: tasks one after the other."""

    dag_id: str
    about: str
    tasks: tuple[Task, ...]
    at: str  # local time of each day; empty: when `after` was made
    after: str  # the asset that starts it; empty, and no time: when somebody triggers it
    catch_up: bool
    within_minutes: int


def plans_of(settings: Settings) -> Sequence[Plan]:
    """A DAG for each pipeline of the settings' recipe, or of every platform."""
    return [_plan(one) for one in pipelines_of(settings)]


def _plan(pipeline: Pipeline) -> Plan:
    return Plan(
        pipeline.name,
        pipeline.about,
        tuple(
            Task(
                step.name,
                ("pipeline", "run", pipeline.name, *_only(step.name), "--date", DAY),
                step.timeout_seconds,
                step.makes,
            )
            for step in pipeline.steps
        ),
        pipeline.at,
        pipeline.after,
        pipeline.catch_up,
        pipeline.within_minutes,
    )


def _only(step: str) -> tuple[str, ...]:
    return ("--from", step, "--to", step)

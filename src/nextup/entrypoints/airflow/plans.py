"""The DAGs of a deployment as data: what runs when, and with which of Nextup's commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextup.services.pipeline import STEPS, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.settings import Settings

DAY = "{day}"  # in a command: the date that a run is for
DATA, MODEL = "data", "model"  # assets: gold as of a day, a model in service
HOUR = 3600  # seconds


@dataclass(frozen=True, slots=True)
class Task:
    """One command."""

    name: str
    command: tuple[str, ...]  # of `nextup`, without its name
    timeout_seconds: int = 2 * HOUR
    makes: str = ""  # the asset that is there afterwards


@dataclass(frozen=True, slots=True)
class Plan:
    """A DAG: tasks one after the other."""

    dag_id: str
    about: str
    tasks: tuple[Task, ...]
    at: str = ""  # local time of each day; empty: when `after` was made
    after: str = ""  # the asset that starts it
    within_minutes: int = 360  # of its time, or its start: a run that is not done then is late


def plans_of(settings: Settings) -> Sequence[Plan]:
    """The DAGs of the settings' recipe; without one, the whole pipeline and the lake's upkeep."""
    zone_of(settings)  # Airflow would say it later, and worse
    return PLANS.get(settings.recipe, PLANS[""])


def _steps(*, first: str = STEPS[0].name, last: str = STEPS[-1].name) -> tuple[Task, ...]:
    """A task for each step of the pipeline: the same list that `nextup pipeline run` goes
    through."""
    names = [step.name for step in STEPS]
    chosen = names[names.index(first) : names.index(last) + 1]
    return tuple(
        Task(
            name,
            ("pipeline", "run", "--from", name, "--to", name, "--date", DAY),
            makes={"features": DATA, "publish": MODEL}.get(name, ""),
        )
        for name in chosen
    )


UPKEEP = Task("maintain_lake", ("lake", "maintain"))
WHOLE = "From the log to the lists of everybody, for the day that has just ended."

PLANS: dict[str, tuple[Plan, ...]] = {
    "": (
        Plan("nextup_daily", WHOLE, _steps(), at="02:00"),
        Plan("nextup_maintenance", "The lake's upkeep.", (UPKEEP,), at="04:00"),
    ),
    "book-platform": (
        Plan("generate_book_recommendations", WHOLE, _steps(), at="00:00"),
        Plan("hdfs_maintenance", "What lies on HDFS is looked after.", (UPKEEP,), at="03:00"),
    ),
    "film-lakehouse": (Plan("film_lakehouse_daily", WHOLE, (*_steps(), UPKEEP), at="02:00"),),
    "platform-api": (
        Plan(
            "inject-data",
            "What came in since yesterday, up to what models are trained on.",
            _steps(last="features"),
            at="07:00",
            within_minutes=30,  # and its successor's 30: done by 08:00, or somebody is told
        ),
        Plan(
            "train-model",
            "A new model as soon as there is data for it.",
            _steps(first="train"),
            after=DATA,
            within_minutes=30,
        ),
    ),
}
"""By recipe. `movielens-streaming` and `rating-service` have no DAGs of their own names."""

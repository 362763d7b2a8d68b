"""`nextup pipeline run|status`, and its steps by name: `train`, `evaluate`, `publish`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nextup.entrypoints.cli.context import (
    AsOfOption,
    context_of,
    parse_as_of,
    parse_day,
    platform_at,
)
from nextup.entrypoints.cli.output import HERE, Home, Json, Output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from nextup.domain.operations import Run, StepRecord
    from nextup.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The steps from the log to the lists.")
Name = Annotated[str, typer.Argument(help="Which one; default: the first of `pipeline list`.")]
Date = Annotated[str, typer.Option("--date", help="The day to describe, ISO; default: today.")]


def register(root: typer.Typer) -> None:
    """Add these commands to the root."""
    root.add_typer(app, name="pipeline")
    root.command()(train)
    root.command()(publish)


@app.command()
def run(
    name: Name = "",
    day: Date = "",
    first: Annotated[str, typer.Option("--from", help="The first step to run.")] = "",
    last: Annotated[str, typer.Option("--to", help="The last step to run.")] = "",
    backfill: Annotated[
        str, typer.Option(help="Run every day from A to B, both included: A..B.")
    ] = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Run a pipeline. A killed run is resumed by running it again."""
    _run(home, as_json, name, day=day, first=first, last=last, backfill=backfill)


@app.command("list")
def list_pipelines(home: Home = HERE, as_json: Json = False) -> None:
    """The pipelines of this platform, or of its recipe: when they run, and their steps."""
    from nextup.recipes.pipelines import pipelines_of

    with platform_at(home) as platform:
        found = pipelines_of(platform.settings)
    rows = [
        (
            one.name,
            one.at or (f"after {one.after}" if one.after else ""),
            " > ".join(one.step_names),
        )
        for one in found
    ]
    document = [
        {"name": one.name, "about": one.about, "at": one.at, "after": one.after}
        | {"steps": one.step_names}
        for one in found
    ]
    Output(as_json=as_json).table("Pipelines", ("name", "at", "steps"), rows, document)


@app.command()
def status(
    limit: Annotated[int, typer.Option(min=1, help="How many runs.")] = 10,
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """The latest runs, with what each step did."""
    out = Output(as_json=as_json)
    with platform_at(home) as platform:
        runs = platform.control.runs(limit)
    rows = [
        (
            run.run_id,
            run.pipeline,
            run.date,
            step.step,
            step.outcome.value,
            step.seconds,
            _counts(step),
        )
        for run in runs
        for step in run.steps
    ]
    columns = ("run", "pipeline", "date", "step", "outcome", "seconds", "what")
    title = "Runs" if rows else "No runs yet; `nextup pipeline run` makes one."
    out.table(title, columns, rows, runs)


def train(day: Date = "", as_of: AsOfOption = "", home: Home = HERE, as_json: Json = False) -> None:
    """Bring the lake up to date and train a model, without putting it in service."""
    _run(home, as_json, day=day, last="train", as_of=as_of)


def publish(day: Date = "", home: Home = HERE, as_json: Json = False) -> None:
    """Evaluate the day's model and, if the gate lets it, put it in service with its lists."""
    _run(home, as_json, day=day, first="evaluate")


def _run(
    home: str,
    as_json: bool,
    name: str = "",
    *,
    day: str = "",
    first: str = "",
    last: str = "",
    backfill: str = "",
    as_of: str = "",
) -> None:
    from nextup.recipes.pipelines import pipelines_of
    from nextup.services.pipeline import pipeline_named, pipeline_with, run_pipeline

    out = Output(as_json=as_json)
    runs: list[Run] = []
    with platform_at(home) as platform, out.progress() as report:
        found = pipelines_of(platform.settings)
        chosen = pipeline_named(name, found) if name else pipeline_with(first or last, found)
        for one in _days(platform.settings, day, backfill):
            context = context_of(platform, one, report, parse_as_of(as_of))
            runs.append(
                run_pipeline(
                    context,
                    platform.control,
                    pipeline=chosen,
                    first=first or None,
                    last=last or None,
                    watch=lambda step: out.say(step_line(step)),
                )
            )
    out.result(runs if backfill else runs[0])


def step_line(step: StepRecord) -> str:
    """One line about a finished step."""
    return f"{step.step:<10} {step.outcome.value:<10} {step.seconds:7.2f} s  {_counts(step)}"


def _counts(step: StepRecord) -> str:
    counts = ", ".join(f"{name} {count:,}" for name, count in step.counts.items())
    return "; ".join(part for part in (counts, step.message) if part)


def _days(settings: Settings, day: str, backfill: str) -> Sequence[date]:
    from nextup.domain.errors import InvalidInput
    from nextup.services.pipeline import days, today

    if not backfill:
        return [parse_day(day, "--date") if day else today(settings)]
    if day:
        raise InvalidInput("--date and --backfill exclude each other.", cure="Give one of them.")
    first, dots, last = backfill.partition("..")
    if not dots:
        raise InvalidInput(
            f"--backfill: '{backfill}' is not a period.", cure="Write it as 2026-11-01..2026-11-07."
        )
    return list(days(parse_day(first, "--backfill"), parse_day(last, "--backfill")))

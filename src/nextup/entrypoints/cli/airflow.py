"""`nextup airflow`: the DAGs of this deployment, for an Airflow of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nextup.entrypoints.cli.context import parse_day, platform_at
from nextup.entrypoints.cli.output import HERE, Home, Json, Output


def register(root: typer.Typer) -> None:
    """Add this command to the root."""
    root.command()(airflow)


def airflow(
    folder: Annotated[Path, typer.Argument(help="Airflow's folder of DAGs; made if absent.")],
    nextup: Annotated[
        str, typer.Option(help="How Airflow's workers call Nextup; default: this very program.")
    ] = "",
    since: Annotated[str, typer.Option(help="The day of the first run, ISO; default: today.")] = "",
    home: Home = HERE,
    as_json: Json = False,
) -> None:
    """Write the DAGs of this platform, or of its recipe; written again, they replace the old."""
    import shlex
    import sys

    from nextup.entrypoints.airflow.plans import plans_of
    from nextup.entrypoints.airflow.writing import write_dags
    from nextup.services.pipeline import today

    with platform_at(home) as platform:
        settings = platform.settings
    first = parse_day(since, "--since") if since else today(settings)
    command = shlex.split(nextup) if nextup else [sys.executable, "-m", "nextup"]
    files = write_dags(folder, settings, nextup=command, since=first)
    plans = plans_of(settings)
    rows = [
        (
            plan.dag_id,
            plan.at or (f"after {plan.after}" if plan.after else ""),
            " > ".join(task.name for task in plan.tasks),
        )
        for plan in plans
    ]
    out = Output(as_json=as_json)
    out.table("DAGs", ("id", "at", "tasks"), rows, {"files": files, "dags": plans})
    out.say(f"Wrote {files[0]} and {files[1].name}.")

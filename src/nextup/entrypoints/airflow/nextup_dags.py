"""DAGs of Nextup, built from the `nextup_plan.json` beside this file.

`nextup airflow` writes both into Airflow's folder of DAGs. This file runs in Airflow's own
environment, without Nextup: each task is one of its commands, run in Nextup's environment. A
command that is run again for the same day changes nothing, so that retries, catching up and
backfills are safe; one that fails leaves the lists of the day before in service.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.sdk import (
    DAG,
    Asset,
    CronTriggerTimetable,
    DeadlineAlert,
    DeadlineReference,
    Metadata,
    SyncCallback,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowException

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAN = json.loads(Path(__file__).with_name("nextup_plan.json").read_text(encoding="utf-8"))
ZONE = ZoneInfo(PLAN["timezone"])
SCHEDULED = {"scheduled", "backfill"}  # their logical date is the time that ends the day
ENDING_SECONDS = 60  # that a command has to end when its task is told to

log = logging.getLogger(__name__)


def day_of_run(context: Any) -> str:
    """The date that a run is for: the day that had just ended at its time; of a run by hand the
    local date of what it was given; of one that data started, the data's."""
    run = context["dag_run"]
    logical = run.logical_date
    if logical is None:
        events = [one for some in context["triggering_asset_events"].values() for one in some]
        days = [str(event.extra["day"]) for event in events if "day" in event.extra]
        return max(days, default=datetime.now(ZONE).date().isoformat())
    local = logical.astimezone(ZONE).date()
    kind = getattr(run.run_type, "value", run.run_type)
    return str(local - timedelta(days=1) if kind in SCHEDULED else local)


def run_command(command: list[str], day: str) -> str:
    """Run one of Nextup's commands; returns what it printed last. Its words go to the task's log.

    What the command says is wrong fails the task, which is tried again.
    """
    arguments = [part.replace("{day}", day) for part in command]
    log.info("nextup %s", " ".join(arguments))
    last = ""
    with subprocess.Popen(  # noqa: S603 - our own plan's words, and no shell
        [*PLAN["nextup"], *arguments, "-C", PLAN["home"]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                last = line.rstrip() or last
                log.info("%s", line.rstrip())
        except BaseException:  # the task was told to end, or took too long
            _end(process)
            raise
    if process.returncode:
        raise AirflowException(f"nextup exited with {process.returncode}: {last}")
    return last


def made_task(given: dict[str, Any]) -> Any:
    """The TaskFlow task of a command; the asset that it makes says of which day it is."""
    outlets = [asset_of(given["makes"])] if given["makes"] else []

    @task(
        task_id=given["name"],
        outlets=outlets,
        retries=PLAN["retries"],
        retry_delay=timedelta(seconds=PLAN["retry_seconds"]),
        execution_timeout=timedelta(seconds=given["timeout_seconds"]),
    )
    def run() -> Iterator[Any]:
        day = day_of_run(get_current_context())
        run_command(given["command"], day)
        for outlet in outlets:
            yield Metadata(outlet, {"day": day})

    return run


def asset_of(name: str) -> Asset:
    """What tasks make and runs wait for, by a name that no other deployment has."""
    return Asset(name=f"{PLAN['name']}.{name}", uri=f"nextup://{PLAN['name']}/{name}")


def made_dag(plan: dict[str, Any]) -> DAG:
    """The tasks one after the other, for one day at a time."""
    reference = (
        DeadlineReference.DAGRUN_LOGICAL_DATE if plan["at"] else DeadlineReference.DAGRUN_QUEUED_AT
    )
    with DAG(
        plan["dag_id"],
        description=plan["about"],
        schedule=_schedule_of(plan),
        start_date=datetime.fromisoformat(PLAN["since"]).replace(tzinfo=ZONE),
        catchup=plan["catch_up"],
        max_active_runs=1,
        deadline=DeadlineAlert(
            reference=reference,
            interval=timedelta(minutes=plan["within_minutes"]),
            callback=SyncCallback("nextup_dags.tell_lateness"),
        ),
        tags=["nextup", PLAN["name"]],
    ) as dag:
        before = None
        for given in plan["tasks"]:
            now = made_task(given)()
            if before is not None:
                before >> now
            before = now
    return dag


def _schedule_of(plan: dict[str, Any]) -> Any:
    """At its time, after its asset, or only when somebody triggers it."""
    if plan["at"]:
        hour, minute = map(int, plan["at"].split(":"))
        return CronTriggerTimetable(f"{minute} {hour} * * *", timezone=PLAN["timezone"])
    return [asset_of(plan["after"])] if plan["after"] else None


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def tell_lateness(**context: Any) -> None:
    """What is done about a missed deadline: an error in the log, where alerts look for it."""
    log.error("A run of Nextup is not done in time: %s", context)


for _plan in PLAN["dags"]:
    globals()[_plan["dag_id"]] = made_dag(_plan)

"""A real Airflow with its scheduler: catching up, data that starts a run, a task that is killed, a
backfill twice. It takes minutes, most of them Airflow's own, so only `make soak` runs it."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import psutil
import pytest
from tests.conftest import DAY, PEOPLE
from tests.faults.processes import ROUNDS
from tests.integration.test_airflow import NEXTUP

from nextup.algorithms.audience.simulate import AudienceConfig
from nextup.bootstrap import open_platform
from nextup.domain.operations import Outcome
from nextup.entrypoints.airflow.writing import write_dags
from nextup.recipes.platform_api.options import Options
from nextup.recipes.platform_api.tables import PlatformTables
from nextup.services.pipeline import today
from nextup.services.simulate import put_sample, simulate
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.server import Server

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not ROUNDS, reason="it takes minutes: `make soak` runs it"),
]
LIMIT_SECONDS = 900.0  # that the scheduler may take for what it is asked
QUICK = """
recipe = "platform-api"
event_log_url = "{url}"
catalog_url = "{url}"
control_url = "{url}"

[connections]
schema_name = "platform"

[models.als]
factors = 8

[gate]
mode = "off"

[reranker]
mode = "off"

[schedule]
retries = 10
retry_seconds = 5
"""


class Api:
    """Airflow's REST API."""

    def __init__(self, url: str) -> None:
        self._url = url
        with urlopen(f"{url}/auth/token", timeout=60) as answer:
            self._token = json.load(answer)["access_token"]

    def __call__(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = Request(
            f"{self._url}/api/v2{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def runs(self, dag_id: str, kind: str) -> list[dict[str, Any]]:
        runs = self(f"/dags/{dag_id}/dagRuns?limit=100")["dag_runs"]
        return [run for run in runs if run["run_type"] == kind]

    def tries(self, run: dict[str, Any]) -> dict[str, int]:
        place = f"/dags/{run['dag_id']}/dagRuns/{quote(run['dag_run_id'], safe='')}"
        found = self(f"{place}/taskInstances")["task_instances"]
        return {task["task_id"]: task["try_number"] for task in found}

    def backfill(self, dag_id: str, first: str, last: str) -> None:
        """Three days, and once more where they were done before."""
        period = {"from_date": f"{first}T00:00:00Z", "to_date": f"{last}T23:00:00Z"}
        how = {"reprocess_behavior": "completed", "max_active_runs": 1, "run_backwards": False}
        body = {"dag_id": dag_id, **period, **how, "dag_run_conf": {}}
        wait_for(lambda: self._is_taken("/backfills", body))

    def _is_taken(self, path: str, body: dict[str, Any]) -> bool:
        """500 and 503: its SQLite file is busy; 409: the backfill before is not put away yet."""
        try:
            self(path, body)
        except HTTPError as error:
            if error.code not in {409, 500, 503}:
                raise
            return False
        return True


def wait_for(what: Callable[[], Any]) -> Any:
    """What it returns once that is something."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, "Airflow did not do it in time"
        time.sleep(1)
    return found


def all_done(runs: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Those runs, once so many are there and none goes on."""
    busy = {"queued", "running"}
    return runs if len(runs) >= number and not any(run["state"] in busy for run in runs) else []


def worker_of(home: Path) -> int | None:
    """The process of Airflow that waits for one of Nextup's commands."""
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = process.info["cmdline"] or []
        if "nextup" in words and "inject-data" in words and str(home) in words:
            return int(process.info["ppid"])
    return None


def test_airflow_does_it_all(tmp_path: Path, private_server: Callable[[str], Server]) -> None:
    """Days that were missed are caught up with, each one's data starts its training; a task that
    is killed is tried again; a backfill of three days ends the same when it is done twice."""
    home = tmp_path / "platform"
    home.mkdir()
    database = private_server("postgresql")
    (home / "nextup.toml").write_text(QUICK.format(url=database.url), encoding="utf-8")
    server: Any = private_server("airflow")
    api = Api(server.url)
    settings = load_settings(home)
    with open_platform(settings) as platform:
        put_sample(platform.catalog)
        simulate(
            platform.event_log,
            platform.catalog,
            AudienceConfig(people=PEOPLE, days=60),
            ends_at=datetime(2026, 4, 1, tzinfo=UTC),
            seed=7,
        )
        since = today(settings) - timedelta(days=1)
        write_dags(server.dags, settings, nextup=NEXTUP, since=since)

        caught_up = wait_for(lambda: all_done(_runs(api, "inject-data", "scheduled"), 1))
        assert {run["state"] for run in caught_up} == {"success"}
        trained = wait_for(lambda: all_done(_runs(api, "train-model", "asset_triggered"), 1))
        assert {run["state"] for run in trained} == {"success"}
        assert platform.control.current_model() is not None

        first, last = DAY - timedelta(days=1), DAY + timedelta(days=1)
        api.backfill("inject-data", first.isoformat(), last.isoformat())
        os.kill(wait_for(lambda: worker_of(home)), signal.SIGKILL)
        filled = wait_for(lambda: all_done(_runs(api, "inject-data", "backfill"), 3))
        assert {run["state"] for run in filled} == {"success"}
        assert max(number for run in filled for number in api.tries(run).values()) > 1

        before = _rows(settings)
        api.backfill("inject-data", first.isoformat(), last.isoformat())
        wait_for(lambda: not all_done(_runs(api, "inject-data", "backfill"), 3))
        again = wait_for(lambda: all_done(_runs(api, "inject-data", "backfill"), 3))
        assert {run["state"] for run in again} == {"success"}
        assert _rows(settings) == before
        done = {run.date for run in platform.control.runs(200) if run.outcome is Outcome.SUCCEEDED}
        days = {(first - timedelta(days=number)).isoformat() for number in (1, 0)}
        assert days <= done  # the day that had ended at each time


def _runs(api: Api, dag_id: str, kind: str) -> list[dict[str, Any]]:
    """None while Airflow does not know the DAG yet."""
    try:
        return api.runs(dag_id, kind)
    except OSError:  # 404, or an answer that took too long
        return []


def _rows(settings: Any) -> dict[str, int]:
    """Of the tables that the injections fill."""
    with closing(PlatformTables.of(settings, Options())) as tables:
        return tables.counts()

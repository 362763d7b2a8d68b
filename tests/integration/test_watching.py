"""A running Nextup under simulated traffic, watched by a real Prometheus as `deploy/` says."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from stack.fetching import python_environment
from stack.processes import free_port
from tests.faults.processes import ROUNDS
from tests.integration.test_rules import rules
from tests.servers import own_servers
from tests.watching_world import Target, Watch, traffic, until, watched_platform

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.server import Server

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not ROUNDS, reason="a dozen servers start: `make soak` runs it"),
]

GRAFANA: dict[str, Any] = runpy.run_path(
    str(Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards.py")
)
SELECTOR = re.compile(
    r"\b((?:nextup|http|airflow|fs|up|pg|redis|kafka|metrics|mlflow|process)(?:[\w:]*))(\{[^}]*\})?"
)
LABEL = re.compile(r'(\w+)[=!][=~]?"[^"]*"')
DAGS = """
from datetime import datetime
from airflow.sdk import dag, task

@dag(schedule=None, start_date=datetime(2026, 1, 1))
def works():
    @task
    def do():
        return 1
    do()

@dag(schedule=None, start_date=datetime(2026, 1, 1))
def fails():
    @task
    def do():
        raise ValueError("on purpose")
    do()

dags = works(), fails()
if __name__ == "__main__":
    for one in dags:
        one.test()
"""


def test_no_query_is_empty(built_folder: Path, tmp_path: Path) -> None:
    """Every query of every panel, and every series that a rule looks at, has an answer when
    everything runs: Nextup's three processes, and the servers of a whole deployment."""
    with (
        own_servers() as start,
        watched_platform(built_folder, tmp_path, start) as (
            watch,
            nextup,
            _,
        ),
    ):
        with ThreadPoolExecutor() as pool:
            others = [one for some in pool.map(lambda begin: begin(start), OTHERS) for one in some]
        watch.targets(others, "others")
        with traffic(nextup):
            until(lambda: not empty(watch), lambda: f"empty: {empty(watch)}")
        assert not missing(watch)


def empty(watch: Watch) -> list[str]:
    """Panels whose queries give nothing now."""
    return [
        f"{name}: {panel}: {query}"
        for name in GRAFANA["NAMES"]
        for panel, _, query in GRAFANA["queries"](name)
        if not watch.values(query)
    ]


def missing(watch: Watch) -> set[str]:
    """What a rule looks at, and nobody tells: series of these labels, whatever they say, since a
    server that is well has none of those that tell of errors."""
    asked = {
        LABEL.sub(r'\1!=""', found[0])
        for kind in ("record", "alert")
        for rule in rules(kind)
        for found in SELECTOR.finditer(rule["expr"])
    }
    return {one for one in asked if not watch.values(one)}


def _postgresql(start: Callable[..., Server]) -> list[Target]:
    url = start("postgresql").url
    exporter: Any = start("postgres_exporter", before=lambda one: setattr(one, "watched", url))
    return [Target("postgresql", f"127.0.0.1:{exporter.port}")]


def _kafka(start: Callable[..., Server]) -> list[Target]:
    port = free_port()
    kafka = start("kafka", before=lambda one: setattr(one, "metrics_port", port))
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    address = {"bootstrap.servers": kafka.url.removeprefix("kafka://").partition("/")[0]}
    admin = AdminClient(address)  # one that nobody holds ends before its answers come
    for made in admin.create_topics([NewTopic("events", 1, 1)]).values():
        made.result()
    producer = Producer(address)
    producer.produce("events", b"something")
    assert not producer.flush(60)
    return [Target("kafka", f"127.0.0.1:{port}")]


def _hdfs(start: Callable[..., Server]) -> list[Target]:
    hdfs: Any = start("hdfs")
    return [Target("hdfs", hdfs.web.removeprefix("http://"), "/prom")]


def _spark(start: Callable[..., Server]) -> list[Target]:
    spark: Any = start("spark")
    return [
        Target("spark", spark.web.removeprefix("http://"), "/metrics/master/prometheus"),
    ]


def _mlflow(start: Callable[..., Server]) -> list[Target]:
    mlflow: Any = start("mlflow")
    urlopen(
        f"http://127.0.0.1:{mlflow.port}/api/2.0/mlflow/experiments/get?experiment_id=0"
    ).close()
    return [Target("mlflow", f"127.0.0.1:{mlflow.port}")]


def _airflow(start: Callable[..., Server]) -> list[Target]:
    """The scheduler beats; a run of one DAG ends well, one of another fails."""
    statsd: Any = start("statsd_exporter")
    programs = python_environment("airflow")
    home = statsd.folder / "airflow"
    (home / "dags").mkdir(parents=True)
    file = home / "dags" / "two.py"
    file.write_text(DAGS)
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(statsd.statsd_port),
    }
    airflow = str(programs / "airflow")
    for command in (
        [airflow, "db", "migrate"],
        [airflow, "scheduler", "--num-runs", "5"],
        [str(programs / "python"), str(file)],
    ):
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return [Target("airflow", f"127.0.0.1:{statsd.port}")]


OTHERS = (_airflow, _spark, _hdfs, _kafka, _mlflow, _postgresql)

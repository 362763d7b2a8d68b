"""Each program of `examples/` does what its first lines say, on real servers."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from tests.contract.cleaning import clean_server
from tests.e2e.shell import environment
from tests.servers import Backend, reach

from nextup.bootstrap import open_platform
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.services.tracking import catch_up
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.bootstrap import Platform

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 800  # that one may take on a busy machine; never a measure
EVENTS = 9
TOPICS = ("view_events", "click_events", "rating_events")

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Brokers, and what begins the names of this test's topics, which are there."""
    url = reach(request, Backend("kafka")).url
    prefix = f"x{secrets.token_hex(4)}_"
    brokers = url.removeprefix("kafka://").split("/")[0]
    admin = AdminClient({"bootstrap.servers": brokers})
    made = admin.create_topics([NewTopic(f"{prefix}{name}", 1) for name in TOPICS])
    for one in made.values():
        one.result(60)
    yield brokers, prefix
    clean_server(url, prefix)


def run(name: str, *arguments: object) -> str:
    """What the program prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    return done.stdout


def test_what_is_sent_is_read_and_counted(kafka: tuple[str, str], spark: dict[str, str]) -> None:
    """The producer's events are what the consumer reads, once for its group, and what Spark
    counts by film."""
    assert spark  # Java and PySpark are here
    brokers, prefix = kafka
    to = ("--brokers", brokers, "--prefix", prefix)
    sent = run("kafka_producer_example.py", *to, "--events", EVENTS)
    assert f"{EVENTS} events sent" in sent
    group = ("--group", f"{prefix}group", "--seconds", 30)
    read = run("kafka_consumer_example.py", *to, *group, "--limit", EVENTS)
    assert f"{EVENTS} events read" in read
    kinds = sorted(line.split()[1] for line in read.splitlines() if line.startswith("sent "))
    assert kinds == sorted(["view", "click", "rating"] * 3)
    again = run("kafka_consumer_example.py", *to, "--group", f"{prefix}group", "--seconds", 5)
    assert "0 events read" in again
    counted = run("spark_kafka_example.py", *to, "--master", "local[1]")
    assert f"{EVENTS} events" in counted
    assert "film 1: 3" in counted


def test_trainings_in_mlflow(built: Platform) -> None:
    """The run of each training with its figure and interval, and the version that serves."""
    settings = load_settings(
        built.settings.home,
        tracker_url="mlflow://",
        tracking={"experiment": "film-als", "model": "film-als"},
    )
    with open_platform(settings) as platform:
        catch_up(platform.tracker, platform.control, platform.files, settings.tracking)
        (model,) = platform.control.models()
    databases = list(built.settings.home.rglob("mlflow.db"))
    shown = run("mlflow_example.py", "--uri", f"sqlite:///{databases[0]}")
    assert re.search(rf"{model.model_id}: candidate\.ndcg\S* 0\.\d+ \(0\.\d+ to 0\.\d+\)", shown)
    assert f"in_service: version 1, {model.model_id}" in shown
    assert "1 trainings" in shown


def test_an_application_in_between(
    kafka: tuple[str, str], built: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view is in its topic when it is acknowledged; a person's page shows titles from Nextup."""
    brokers, prefix = kafka
    monkeypatch.setenv("KAFKA", brokers)
    monkeypatch.setenv("VIEW_TOPIC", f"{prefix}view_events")
    with ApiServer(create_app(built), host="127.0.0.1", port=0) as nextup:
        monkeypatch.setenv("NEXTUP_API", nextup.url)
        with (
            ApiServer(application(), host="127.0.0.1", port=0) as server,
            httpx.Client(base_url=server.url, timeout=120) as client,
        ):
            seen = {"user_id": "ada", "item_id": "film:alien-1979"}
            answer = client.post("/watched", json=seen)
            assert answer.status_code == 202, answer.text
            assert client.post("/watched", json={"user_id": ""}).status_code == 422
            titles = client.get("/home/ada").json()
            assert len(titles) == 5
            assert all(titles)
    to = ("--brokers", brokers, "--prefix", prefix, "--limit", 1, "--group", f"{prefix}g")
    assert "sent view    ada -> film:alien-1979" in run("kafka_consumer_example.py", *to)


def application() -> Any:
    """The example's app, from its file."""
    file = EXAMPLES / "fastapi_kafka_integration.py"
    spec = spec_from_file_location("fastapi_kafka_integration", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app

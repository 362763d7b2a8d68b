"""Spark Connect: a program without a JVM, and a server that has never heard of Nextup."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from stack.servers.spark_connect import SparkConnect
from tests.contract.backends import REPOSITORY, Place, places
from tests.integration.tables_world import same_tables, tables
from tests.servers import Backend, reach, server
from tests.spark_world import STARTING_SECONDS
from tests.tls import certificate, tls_before

from nextup.bootstrap import open_platform
from nextup.domain.tables import USER_ID, Table
from nextup.services.artifacts import load_artifact
from nextup.services.publish import make_lists
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEW: dict[str, Any] = {
    "gate": {"mode": "off"},
    "blend": {"als": 1.0, "popularity": 0.1},
    "models": {"als": {"factors": 8, "iterations": 3}},
    "reranker": {"mode": "off"},
    "spark": {"shuffle_partitions": 2},
}
"""A small model, and as many parts as there are cores."""

# A process has one Spark, so this one has its own. It runs the pipeline to its end, has the
# executors publish what it made into another store, searches for a better model, and says how a
# stream is refused.
PROGRAM = """
import json, sys
from nextup.bootstrap import StoreOpener, open_platform
from nextup.domain.errors import ConfigurationError
from nextup.entrypoints.cli.context import context_of
from nextup.entrypoints.cli.engine_streams import engine_shares
from nextup.services.dataset import load_item_facts
from nextup.services.pipeline import end_of_day, run_pipeline
from nextup.services.publish import publish
from nextup.services.trials import Budget
from nextup.services.tune import tune
from nextup.settings import load_settings
from tests.conftest import DAY

home, url, store, tenant, chosen = sys.argv[1:]
few = json.loads(chosen)
settings = load_settings(home, engine_url=url, lake_url="file://there", **few)
stores = load_settings(home, recommendation_store_url=store, tenant=tenant)
with open_platform(settings) as platform, open_platform(stores) as elsewhere:
    assert platform.engine.trial().product == "Spark 4.2.0"
    run_pipeline(context_of(platform, DAY), platform.control)
    there = elsewhere.recommendation_store
    lists = publish(platform.engine, there, platform.control, reopen=StoreOpener.of(stores)).lists
    found = tune(
        platform.engine, platform.files, platform.settings, load_item_facts(platform.engine),
        end_of_day(DAY, platform.settings), Budget(trials=1), only=["als"],
    )
    failed = {one.model: one.failed for one in found.searched}
    try:
        engine_shares(platform, {"lake"}, once=True)["lake"].step()
    except ConfigurationError as error:
        refused = str(error)
    model = platform.control.models()[0]
print(json.dumps([model.model_id, model.lineage["engine"], lists, failed, refused]))
"""


ASK = """
import sys
from nextup.bootstrap import open_platform
from nextup.domain.errors import NextupError
from nextup.settings import load_settings

try:
    with open_platform(load_settings(sys.argv[1], engine_url=sys.argv[2])) as platform:
        print(platform.engine.trial().product)
except NextupError as error:
    print(type(error).__name__, error.message, error.cure)
"""
ON_A_CLUSTER = {"spark.executor.memory": "512m", "spark.cores.max": "2"}
OF_THE_SHARED_SESSION = (
    "tests/contract/test_engine.py",
    "tests/integration/test_history_by_day.py",
    "tests/integration/test_history_training.py",
)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.fixture(params=["one JVM", "a cluster"])
def connect(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that does the work itself, and one that has executors elsewhere do it."""
    if request.param == "one JVM":
        yield reach(request, Backend("spark_connect")).url
        return
    with SparkConnect(reach(request, Backend("spark")).url, ON_A_CLUSTER) as before_cluster:
        yield before_cluster.url


@pytest.mark.timeout(STARTING_SECONDS)
def test_what_every_engine_does_is_done_there(request: pytest.FixtureRequest) -> None:
    """The tests of the shared session, on the server: the engine's contract, files and databases
    of other programs read by it, and the history by day."""
    there = {
        "NEXTUP_TEST_ENGINE_URL": reach(request, Backend("spark_connect")).url,
        "NEXTUP_TEST_POSTGRESQL_URL": reach(request, Backend("postgresql")).url,
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "spark or history", *OF_THE_SHARED_SESSION],
        env=os.environ | there,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.timeout(STARTING_SECONDS)
@pytest.mark.parametrize("place", [server("redis")], indirect=True)
def test_the_pipeline_over_spark_connect(
    connect: str, place: Place, sample_folder: Path, tmp_path: Path
) -> None:
    """Every table is the local engine's, its model was trained there, lists are place by place
    those of one process, executors publish them, a search tries models there, and streams are
    refused with what to do."""
    folder = tmp_path / "sample"
    shutil.copytree(sample_folder, folder)
    arguments = [str(folder), connect, place.url, place.tenant, json.dumps(FEW)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    model_id, engine, lists, failed, refused = json.loads(done.stdout.splitlines()[-1])
    assert engine == "spark"
    assert failed == {"popularity": 0, "als": 0}
    assert "spark://host:7077" in refused
    store = place.recommendation_store()
    there = load_settings(folder, lake_url="file://there", **FEW)
    with open_platform(load_settings(folder, **FEW)) as local, open_platform(there) as other:
        tables(local)
        made = make_lists(local.engine, load_artifact(local.files, model_id), local.settings)
        assert same_tables(local.lake, other.lake)[Table.USER_ITEM] > 1000
        people = local.lake.scan(Table.USER_VECTORS).select(USER_ID).collect()[USER_ID].to_list()
        published = [local.recommendation_store.read(user_id) for user_id in people]
    assert lists == made.lists == len(people)
    assert [store.read(user_id) for user_id in people] == published


@pytest.mark.timeout(STARTING_SECONDS)
def test_tls_and_a_token(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Both in the URL. Another token is refused, and neither is said."""
    reach(request, Backend("spark_connect"))  # or this machine has none
    token, (signed, key) = secrets.token_hex(8), certificate(tmp_path)
    wanted = {"spark.connect.authenticate.token": token}

    def said(shown: str, port: int) -> str:
        url = f"sc://localhost:{port}/;use_ssl=true;token={shown}"
        return subprocess.run(
            [sys.executable, "-c", ASK, str(tmp_path), url],
            env=os.environ | {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(signed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    with (
        SparkConnect("local[1]", wanted) as server,
        tls_before(server.port, signed, key) as port,
    ):
        assert said(token, port) == "Spark 4.2.0"
        refused = said("another", port)
    assert refused.startswith("BackendUnavailable")
    assert token not in refused
    assert "another" not in refused

"""Spark Connect: a program without a JVM, and a server that has never heard of Nextup."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.backends import Place, places
from tests.integration.tables_world import same_tables, tables
from tests.servers import Backend, reach, server
from tests.spark_world import STARTING_SECONDS

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


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.mark.timeout(STARTING_SECONDS)
@pytest.mark.parametrize("place", [server("redis")], indirect=True)
def test_the_pipeline_over_spark_connect(
    request: pytest.FixtureRequest, place: Place, sample_folder: Path, tmp_path: Path
) -> None:
    """Every table is the local engine's, its model was trained there, lists are place by place
    those of one process, executors publish them, a search tries models there, and streams are
    refused with what to do."""
    connect = reach(request, Backend("spark_connect")).url
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

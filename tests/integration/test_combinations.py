"""The whole platform on combinations of real servers: the lists of the embedded one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from tests.conftest import DAY, SETTINGS
from tests.contract.cleaning import clean_server
from tests.faults.looking import EVERYTHING
from tests.servers import Backend, reach

from nextup.bootstrap import Platform, open_platform
from nextup.domain.events import START
from nextup.domain.tables import Table
from nextup.entrypoints.cli.context import context_of
from nextup.services.pipeline import run_pipeline
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextup.domain.recommendations import PublishedList

pytestmark = pytest.mark.timeout(900)

COMBINATIONS = {
    "postgresql-kafka-hdfs-redis": {
        "event_log": "kafka",
        "catalog": "postgresql",
        "control": "postgresql",
        "lake": "hdfs",
        "files": "hdfs",
        "recommendation_store": "redis",
        "online_state": "redis",
    },
    "mongodb-kafka-hdfs-cassandra": {
        "event_log": "kafka",
        "catalog": "mongodb",
        "lake": "hdfs",
        "files": "hdfs",
        "recommendation_store": "cassandra",
    },
    "postgresql-s3": {
        "event_log": "postgresql",
        "catalog": "postgresql",
        "control": "postgresql",
        "lake": "s3",
        "recommendation_store": "postgresql",
        "online_state": "postgresql",
    },
}
"""Which server is behind which port; the others are embedded."""
PATHS = {"lake": "/lake", "files": "/files"}
TABLES = (Table.INTERACTIONS, Table.USER_ITEM, Table.RECOMMENDATIONS)
SCORE = 1e-4  # sums of equal terms in another order


@pytest.fixture
def urls(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Of each port of a combination."""
    servers = {name: reach(request, Backend(name)).url for name in {*request.param.values()}}
    return {
        f"{port}_url": servers[name] + PATHS.get(port, "") for port, name in request.param.items()
    }


@pytest.mark.parametrize(
    "urls", [pytest.param(row, id=name) for name, row in COMBINATIONS.items()], indirect=True
)
def test_the_lists_are_those_of_the_embedded_platform(
    urls: Mapping[str, str], sample_folder: Path, built_folder: Path, tmp_path: Path
) -> None:
    """The same catalogue and events, brought in through the ports, end after the pipeline in the
    same lists for the same people, and in tables with as many rows."""
    tenant = f"c{secrets.token_hex(4)}"
    (tmp_path / "nextup.toml").write_text(SETTINGS, encoding="utf-8")
    settings = load_settings(tmp_path, tenant=tenant, **urls)
    with (
        open_platform(load_settings(sample_folder)) as source,
        open_platform(load_settings(built_folder)) as embedded,
        open_platform(settings) as platform,
    ):
        platform.catalog.put_items(source.catalog.all_items())
        rows = source.event_log.read(START, EVERYTHING).rows
        receipts = platform.event_log.append([row.event() for row in rows])
        assert len(receipts) == len(rows)
        run_pipeline(context_of(platform, DAY), platform.control)
        people = sorted({row.user_id for row in rows})
        expected, found = lists_of(embedded, people), lists_of(platform, people)
        assert all(expected.values())
        differing = [person for person in people if items(expected[person]) != items(found[person])]
        assert differing == []
        for person in people:
            assert scores(found[person]) == pytest.approx(scores(expected[person]), abs=SCORE)
        for table in TABLES:
            heights = [each.lake.scan(table).collect().height for each in (embedded, platform)]
            assert heights[0] == heights[1] > 0
    for url in urls.values():
        clean_server(url, f"{tenant}_")


def lists_of(platform: Platform, people: list[str]) -> dict[str, PublishedList | None]:
    return {person: platform.recommendation_store.read(person) for person in people}


def items(published: PublishedList | None) -> list[tuple[str, str]]:
    """The places of a list, each with the source that is given for it."""
    return [] if published is None else [(one.item_id, one.source) for one in published.items]


def scores(published: PublishedList | None) -> list[float]:
    return [] if published is None else [one.score for one in published.items]

"""Deployments that several suites look at."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.contract.backends import POSTGRESQL
from tests.integration.test_airflow import airflow
from tests.recipes.platform_world import FIRST, Deployment, deploy, first_day
from tests.servers import reach

if TYPE_CHECKING:
    from pathlib import Path

airflow_programs = airflow


@pytest.fixture(scope="session")
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """`platform-api` after its first day: injected, trained, vectors stored. Tests add to it."""
    place = reach(request, POSTGRESQL.values[0])
    home: Path = tmp_path_factory.mktemp("platform-api") / "shop"
    deployment = deploy(place.url, f"platform_api_{os.getpid()}", home)
    first_day(deployment)
    deployment.run("inject-data", FIRST)
    deployment.run("train-model", FIRST)
    listed = (home / "data" / "external" / "movies.csv").read_text(encoding="utf-8")
    return replace(deployment, listed_first=listed)

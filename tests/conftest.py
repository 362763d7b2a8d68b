"""What many tests need: a small platform with a simulated audience, built once and copied."""

from __future__ import annotations

import logging
import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nextup.algorithms.audience.simulate import AudienceConfig
from nextup.bootstrap import Platform, open_platform
from nextup.entrypoints.cli.context import context_of
from nextup.services.pipeline import run_pipeline
from nextup.services.simulate import put_sample, simulate
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.servers", "tests.spark_world"]

# Most tests are not about credentials; those that are set it themselves.
os.environ.setdefault("NEXTUP_ACCESS__AUTH", "none")

# What `make test` was told is not meant for the makes that tests run.
for _name in ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):
    os.environ.pop(_name, None)

PEOPLE = 400  # fewer, or a shorter history, would prove nothing to the gate
DAY = date(2026, 3, 31)  # the last day of the small platform's history
SETTINGS = """
[models.als]
factors = 16

[recommend]
list_depth = 30
published_depth = 30
candidates = 60
"""


@pytest.fixture(autouse=True)
def _logs_end_with_the_test() -> Iterator[None]:
    """A command that a test ran here has made Nextup log to what was standard error then."""
    log = logging.getLogger("nextup")
    before = (log.handlers[:], log.level, log.propagate)
    yield
    log.handlers[:], log.propagate = before[0], before[2]
    log.setLevel(before[1])


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A platform with the sample's items and 400 people's events, no run yet. Don't write here."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / "nextup.toml").write_text(SETTINGS, encoding="utf-8")
    with open_platform(load_settings(folder)) as platform:
        put_sample(platform.catalog)
        simulate(
            platform.event_log,
            platform.catalog,
            AudienceConfig(people=PEOPLE, days=60),
            ends_at=datetime(2026, 4, 1, tzinfo=UTC),
            seed=7,
        )
    return folder


@pytest.fixture(scope="session")
def built_folder(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a run of the whole pipeline for `DAY`. Don't write here."""
    folder = tmp_path_factory.mktemp("built") / "platform"
    shutil.copytree(sample_folder, folder)
    with open_platform(load_settings(folder)) as platform:
        run_pipeline(context_of(platform, DAY), platform.control)
    return folder


@pytest.fixture
def sample(sample_folder: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy of the platform before its first run, to do anything with."""
    shutil.copytree(sample_folder, tmp_path / "sample")
    with open_platform(load_settings(tmp_path / "sample")) as platform:
        yield platform


@pytest.fixture
def built(built_folder: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy of the platform after its first run, to do anything with."""
    shutil.copytree(built_folder, tmp_path / "built")
    with open_platform(load_settings(tmp_path / "built")) as platform:
        yield platform

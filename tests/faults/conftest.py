"""A platform that has served for a while and has news in its log, to be killed and damaged."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.conftest import DAY, SETTINGS
from tests.faults.processes import warm_up

from nextup.bootstrap import open_platform
from nextup.domain.events import START
from nextup.entrypoints.cli.context import context_of
from nextup.services.pipeline import run_pipeline
from nextup.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

FIRST_EVENTS = 20_000  # of some 28,000: what the first run saw
MANY_TRANSACTIONS = """
[gate]
mode = "warn"

[lake]
batch_rows = 3000
collect_seconds = 0.5
"""


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    warm_up()


@pytest.fixture(scope="session")
def halfway_folder(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small platform after a run over most of its events; the rest is in the log only.
    Don't write here."""
    folder = tmp_path_factory.mktemp("halfway") / "platform"
    (folder / "data").mkdir(parents=True)
    (folder / "nextup.toml").write_text(SETTINGS + MANY_TRANSACTIONS, encoding="utf-8")
    shutil.copy(sample_folder / "data" / "catalog.db", folder / "data")
    with open_platform(load_settings(sample_folder)) as full:
        events = [row.event() for row in full.event_log.read(START, 10**6).rows]
    with open_platform(load_settings(folder)) as platform:
        platform.event_log.append(events[:FIRST_EVENTS])
        run_pipeline(context_of(platform, DAY - timedelta(days=12)), platform.control)
        platform.event_log.append(events[FIRST_EVENTS:])
    return folder


@pytest.fixture
def halfway(halfway_folder: Path, tmp_path: Path) -> Path:
    """A copy of it, to do anything with."""
    return shutil.copytree(halfway_folder, tmp_path / "halfway")

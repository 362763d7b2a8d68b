"""Spark for tests: one session per test process, shared by all that ask for it.

`spark` gives the settings that open an engine beside it, for `load_settings(folder, **spark)`. What
runs on the standalone cluster (`server("spark")`) is a process of its own: each has one Spark.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTING_SECONDS = 900  # on a busy machine, where the jars may have to be fetched first
SMALL = {"driver_memory": "1g", "executor_memory": "512m", "max_cores": 2, "shuffle_partitions": 2}
"""What two cores bear; `[spark]` of tests and of the programs that they start."""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Spark in this process, for as long as it lives. Skips, or fails, where it cannot be had."""
    missing = "PySpark" if find_spec("pyspark") is None else ""
    missing = missing or ("" if shutil.which("java") else "Java")
    if missing:
        if os.environ.get("NEXTUP_REQUIRE_SERVERS") == "1":
            pytest.fail(f"Spark must be tested: {missing} is not installed", pytrace=False)
        pytest.skip(f"{missing} is not installed")
    from nextup.adapters.engine.spark_session import open_session

    chosen: dict[str, Any] = {
        "engine_url": os.environ.get("NEXTUP_TEST_ENGINE_URL", "local[2]"),
        "spark": {**SMALL, "progress": "no"},
    }
    # the session is opened as for a lake on S3, so that it has the jars for one
    where = {"lake_url": "s3://nextup"}
    with open_session(load_settings(tmp_path_factory.mktemp("spark"), **where, **chosen)):
        yield chosen

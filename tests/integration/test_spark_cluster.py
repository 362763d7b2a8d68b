"""A whole run on a real cluster: a master and two workers, executors in processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import DAY
from tests.integration.tables_world import same_tables, tables
from tests.servers import Backend, reach
from tests.spark_world import SMALL, STARTING_SECONDS

from nextup.adapters.lake.delta import DeltaLake
from nextup.bootstrap import open_platform
from nextup.domain.tables import Table
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 600.0  # for a program that starts two JVMs on a busy machine


def program(folder: Path, master: str) -> subprocess.Popen[str]:
    """`nextup pipeline run` on the cluster, with a lake of its own."""
    chosen: dict[str, Any] = {
        "ENGINE_URL": master,
        "LAKE_URL": "file://cluster",
        **{f"SPARK__{key.upper()}": value for key, value in SMALL.items()},
    }
    main = "from nextup.entrypoints.cli.app import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", main, *("pipeline", "run", "--to", "features"),
         *("-C", str(folder), "--date", DAY.isoformat(), "--json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {f"NEXTUP_{key}": str(value) for key, value in chosen.items()},
        start_new_session=True,
    )  # fmt: skip


def until(happened: Callable[[], object], running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline, "it does not get there"
        time.sleep(0.05)


@pytest.mark.timeout(STARTING_SECONDS + 2 * PATIENCE_SECONDS)
def test_a_killed_run_is_resumed_on_a_cluster(
    request: pytest.FixtureRequest, sample_folder: Path, tmp_path: Path
) -> None:
    """The driver is killed in the middle; the next run completes what is there, and every table
    is that of the local engine."""
    master = reach(request, Backend("spark")).url
    folder = tmp_path / "sample"
    shutil.copytree(sample_folder, folder)
    lake = DeltaLake(str(folder / "cluster"))
    first = program(folder, master)
    until(lambda: lake.version(Table.EVENTS), first)  # the rows of bronze are there, or almost
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert lake.version(Table.USER_ITEM) is None
    second = program(folder, master)
    out, err = second.communicate(timeout=PATIENCE_SECONDS)
    assert second.returncode == 0, out + err
    with open_platform(load_settings(folder)) as local:
        tables(local)
        found = same_tables(local.lake, lake)
    assert found[Table.USER_ITEM] > 1000

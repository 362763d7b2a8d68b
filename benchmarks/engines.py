"""The pipeline on either engine: when does somebody need Spark?

Generated events of MovieLens-20M's shape lie in bronze; the pipeline makes everything else of them,
up to published lists, on the same cores. Each run is a process of its own, whose memory is that of
all its processes together, Spark's JVM included.

    python -m benchmarks.engines [--millions 1 5 20] [--cores 2] [--alone 1] [--to publish]
                                 [--memory 4g] [--record] [--json]

`--alone` is the number of cores that Spark gets for the largest size once more, to see how it
grows with them (0: not).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment

import numpy as np
import polars as pl
import psutil

from nextup.bootstrap import open_platform
from nextup.domain.items import Item
from nextup.domain.tables import COLUMNS, Table
from nextup.entrypoints.cli.context import context_of
from nextup.schemas.table_schemas import table_schema
from nextup.services.collect import SOURCE
from nextup.services.pipeline import run_pipeline
from nextup.settings import load_settings

DAY = date(2026, 3, 31)
CHUNK = 2_000_000  # events in a transaction of bronze
FASTER_AT = {20: 5.0}  # millions: how many times faster the local engine shall be
LINEAR = 0.9  # a ratio that noise cannot tell from linear growth
SAMPLE_SECONDS = 0.25


def generate(millions: int, folder: Path) -> None:
    """A platform whose bronze holds the events, and its catalogue the items."""
    touches = harness.generated(millions).train
    people = np.repeat(np.arange(len(touches.indptr) - 1), np.diff(touches.indptr))
    rng = np.random.default_rng(7)
    end = int(datetime(2026, 4, 1, tzinfo=UTC).timestamp() * 1e6)
    at = np.sort(end - rng.integers(1, 90 * 86_400_000_000, len(people)))
    order = rng.permutation(len(people))  # a log is in the order of time, not of people
    users, items = people[order], np.asarray(touches.items)[order]
    with open_platform(load_settings(folder)) as platform:
        platform.catalog.put_items(
            [Item(f"i{n}", "film", title=f"Film {n}") for n in range(touches.n_items)]
        )
        for start in range(0, len(users), CHUNK):
            part = slice(start, start + CHUNK)
            rows = _events(start, users[part], items[part], at[part])
            position = {"0": start + rows.height}
            platform.lake.append(Table.EVENTS, rows, source=SOURCE, position=position)


def _events(start: int, users: np.ndarray, items: np.ndarray, at: np.ndarray) -> pl.DataFrame:
    times = pl.Series(at).cast(pl.Datetime("us", "UTC"))
    offsets = np.arange(start, start + len(users))
    number = pl.Series(offsets).cast(pl.String)
    given = {
        "partition": pl.Series(["0"]).new_from_index(0, len(users)),
        "offset": offsets,
        "received_at": times,
        "event_id": "e" + number,
        "type": pl.Series(["view"]).new_from_index(0, len(users)),
        "user_id": "u" + pl.Series(users).cast(pl.String),
        "item_id": "i" + pl.Series(items).cast(pl.String),
        "occurred_at": times,
        "received_on": times.dt.date(),
    }
    frame = pl.DataFrame(given)
    absent = [name for name in COLUMNS[Table.EVENTS] if name not in given]
    nullable = {column.name: column.nullable for column in table_schema(Table.EVENTS).columns}
    assert all(nullable[name] for name in absent)
    return frame.with_columns(pl.lit(None).alias(name) for name in absent)


def measure(folder: Path, engine: str, memory: str, last: str) -> dict[str, float]:
    """Run the pipeline here: its seconds, Spark's start included, and the highest memory."""
    spark = {"driver_memory": memory, "progress": "no"}
    peak = _Peak()
    started = time.perf_counter()
    with open_platform(load_settings(folder, engine_url=engine, spark=spark)) as platform:
        context = context_of(platform, DAY)
        run = run_pipeline(context, platform.control, first="refine", last=last)
        seconds = time.perf_counter() - started
    steps = {step.step: step.seconds for step in run.steps}
    return {"seconds": seconds, "peak": peak.stop(), **steps}


class _Peak(threading.Thread):
    """The memory of this process and all that it started, looked at again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self._bytes = 0
        self.start()

    def run(self) -> None:
        own = psutil.Process()
        while not self._ended.wait(SAMPLE_SECONDS):
            total = 0
            for process in (own, *own.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_info().rss
            self._bytes = max(self._bytes, total)

    def stop(self) -> int:
        self._ended.set()
        self.join()
        return self._bytes


def in_a_process(made: Path, engine: str, options: argparse.Namespace) -> dict[str, float]:
    """A copy of the platform, so that no run finds another's work done."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(made, folder, dirs_exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.engines", "--folder", folder]
        command += ["--engine", engine, "--memory", options.memory, "--to", options.to]
        started = datetime.now(UTC)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = dict(json.loads(done.stdout.splitlines()[-1]))
    took = timedelta(seconds=round((datetime.now(UTC) - started).total_seconds()))
    harness.say(f"engines: {engine} {took}, {json.dumps(found)}")
    return found


def compare(millions: int, local: dict[str, float], spark: dict[str, float]) -> list[harness.Row]:
    goal = FASTER_AT.get(millions, 1.0)
    return [
        harness.row(
            f"seconds, {millions} M events", local["seconds"], spark["seconds"], "Spark", goal
        ),
        harness.row(f"peak bytes, {millions} M events", local["peak"], spark["peak"], "Spark", 1.0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", nargs="+", type=int, default=[1, 5, 20])
    parser.add_argument("--cores", type=int, default=2, help="of Spark; ours takes all there are")
    parser.add_argument("--alone", type=int, default=1, help="fewer cores of Spark; 0: not tried")
    parser.add_argument("--to", default="publish", help="the last step of the pipeline")
    parser.add_argument("--memory", default="4g", help="of Spark's JVM")
    parser.add_argument("--folder", type=Path, help="one run in this process, for the benchmark")
    parser.add_argument("--engine", default="", help="of that run")
    harness.add_output_options(parser)
    options = parser.parse_args()
    if options.folder:
        found = measure(options.folder, options.engine, options.memory, options.to)
        print(json.dumps(found))
        return
    rows: list[harness.Row] = []
    smallest = 0.0  # Spark's seconds per million events
    for millions in sorted(options.millions):
        harness.say(f"engines: making {millions} M events")
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder)
            generate(millions, made)
            local = in_a_process(made, "local://", options)
            spark = in_a_process(made, f"local[{options.cores}]", options)
            rows += compare(millions, local, spark)
            each = spark["seconds"] / millions
            smallest = smallest or each
            what = f"Spark's seconds per million, {millions} M"
            rows.append(harness.row(what, each, smallest, "the smallest size", LINEAR))
            if options.alone and millions == max(options.millions):
                alone = in_a_process(made, f"local[{options.alone}]", options)
                what = f"Spark's seconds, {millions} M, {options.cores} cores"
                rival = f"{options.alone} of them"
                rows.append(harness.row(what, spark["seconds"], alone["seconds"], rival, 1.0))
    harness.publish(rows, options)


if __name__ == "__main__":
    main()

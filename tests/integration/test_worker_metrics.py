"""What `nextup stream`, `nextup schedule` and the server tell of the work between them."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from stack.processes import free_port

from nextup.domain.errors import ConfigurationError
from nextup.domain.events import Event, EventType
from nextup.domain.operations import DAILY, Outcome, Run, StepRecord
from nextup.entrypoints.worker_metrics import ScheduleMetrics, scraped
from nextup.services.operating.vitals import Physician, PipelineStep, step_histories
from nextup.services.schedule import Outcome as Done

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextup.bootstrap import Platform

MAIN = "from nextup.entrypoints.cli.app import main; main()"
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)


def figures(text: str) -> Mapping[tuple[str, str], float]:
    """By a sample's name and its first label's value."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@contextmanager
def running(home: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """One of Nextup's commands that goes on until it is told to end; its words are kept."""
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *command, "-C", str(home)],
        env=os.environ | {"NEXTUP_LOGS__FORMAT": "json", "NEXTUP_LAKE__COLLECT_SECONDS": "0.1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def scrape(process: subprocess.Popen[str], port: int) -> Mapping[tuple[str, str], float]:
    """As soon as it answers."""
    while True:
        assert process.poll() is None, process.communicate()
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                return figures(answer.read().decode())
        except URLError:
            time.sleep(0.05)


def test_a_stream_tells_what_it_lets_count(built: Platform) -> None:
    """Freshness, clicks and each share's last step; what fails is counted, and logged as the
    settings say."""
    port = free_port()
    home = built.settings.home
    with running(home, "stream", "--metrics-port", str(port)) as process:
        before = scrape(process, port)
        person = Event("e-1", EventType.LIKE, "ada", "film:alien-1979", datetime.now(UTC))
        built.event_log.append([person])
        while (told := scrape(process, port))["nextup_freshness_seconds_count", ""] < 1:
            time.sleep(0.05)
        assert before.keys() <= told.keys()
        for share in ("lake", "online"):
            assert told["nextup_stream_worked_timestamp_seconds", share] > 0
            assert told["nextup_stream_failures_total", share] == 0
        lake = home / "data" / "lake"
        lake.rename(home / "data" / "away")
        lake.write_text("no folder any more")
        while not (told := scrape(process, port))["nextup_stream_failures_total", "lake"]:
            time.sleep(0.05)
        assert process.stderr is not None
        lines = (line for line in process.stderr if line.startswith("{"))
        assert "Stream (lake)" in json.loads(next(lines))["message"]


def test_a_schedule_tells_its_next_times(built: Platform) -> None:
    """At its port, for each job that has a time."""
    port = free_port()
    later = datetime.now(UTC) + timedelta(hours=2)  # nothing is due while this test looks
    home = built.settings.home
    toml = home / "nextup.toml"
    at = f'schedule = {{pipelines = {{nextup_daily = ""}}, backup = "{later:%H:%M}"}}\n'
    toml.write_text(at + toml.read_text())
    with running(home, "schedule", "--metrics-port", str(port)) as process:
        told = scrape(process, port)
    assert told["nextup_schedule_next_timestamp_seconds", "backup"] > time.time()
    assert told["nextup_schedule_job_failed", "backup"] == 0


def test_a_job_that_failed_is_told_until_it_is_done() -> None:
    """The last try counts."""
    metrics = ScheduleMetrics()
    day = NOON.date()
    metrics.note(Done("backup", day, False, "no room"))
    assert metrics.registry.get_sample_value("nextup_schedule_job_failed", {"task": "backup"}) == 1
    metrics.note(Done("backup", day, True, "done"))
    assert metrics.registry.get_sample_value("nextup_schedule_job_failed", {"task": "backup"}) == 0


def test_a_port_that_is_taken_is_told() -> None:
    """With what to do; port 0 is nowhere."""
    port = free_port()
    registry = ScheduleMetrics().registry
    with (
        scraped(registry, "127.0.0.1", 0),
        scraped(registry, "127.0.0.1", port),
        pytest.raises(ConfigurationError) as told,
        scraped(registry, "127.0.0.1", port),
    ):
        pass
    assert "--metrics-port" in told.value.cure
    with pytest.raises(URLError):
        urlopen(f"http://127.0.0.1:{port}/metrics")


def test_a_step_that_failed_stays_failed_until_it_ends_well() -> None:
    """One that is tried again is not well yet; one whose process died says nothing."""

    def run(minute: int, **steps: Outcome) -> Run:
        at = NOON + timedelta(minutes=minute)
        records = tuple(StepRecord(name, how, at, 30.0) for name, how in steps.items())
        return Run(str(minute), "2026-04-01", Outcome.RUNNING, at, None, records)

    good, bad, under_way = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.RUNNING
    told = step_histories(
        [run(3, train=under_way), run(2, collect=good, train=bad), run(1, train=good)]
    )
    train, collect = PipelineStep(DAILY, "train"), PipelineStep(DAILY, "collect")
    assert told[train].failed
    assert told[train].succeeded_at == NOON + timedelta(minutes=1, seconds=30)
    assert not told[collect].failed
    assert not step_histories([run(2, train=good), run(1, train=bad)])[train].failed


def test_the_vitals_tell_the_lakes_room_and_each_steps_age(built: Platform) -> None:
    """Of the disk under the lake, and of the run on record."""
    vitals = Physician(built).take()
    assert vitals.lake_free is not None
    assert 0 < vitals.lake_free < 1
    assert {name.step for name in vitals.step_histories} == {
        "collect",
        "refine",
        "features",
        "train",
        "evaluate",
        "publish",
    }
    assert not any(one.failed for one in vitals.step_histories.values())
    assert not math.isnan(vitals.lake_free)

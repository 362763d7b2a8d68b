"""The doctor asks every backend and reports; it never fails itself."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from nextup.bootstrap import PORTS, Platform, open_platform
from nextup.domain.errors import BackendUnavailable
from nextup.ports.trial import Trial
from nextup.services.doctor import examine
from nextup.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from nextup.services.doctor import Finding


def examine_all(platform: Platform) -> dict[str, Finding]:
    return {port: examine(port, "x://", partial(getattr, platform, port)) for port in PORTS}


def test_an_empty_platform_is_healthy(tmp_path: Path) -> None:
    """Every port answers, says what it holds, and nothing is left behind by asking."""
    with open_platform(load_settings(tmp_path)) as platform:
        findings = examine_all(platform)
        assert platform.files.list() == []
    assert all(finding.healthy for finding in findings.values())
    assert findings["catalog"].says == "0 items"
    assert findings["recommendation_store"].says == "no lists published yet"
    assert findings["control"].says == "model in service: none yet"
    assert all(finding.milliseconds >= 0 for finding in findings.values())


def test_a_built_platform_says_what_it_holds(built: Platform) -> None:
    """The figures are those of the backends."""
    findings = examine_all(built)
    model_id = built.control.current_model()
    assert findings["control"].says == f"model in service: {model_id}"
    assert findings["catalog"].says == f"{built.catalog.count_items():,} items"
    offsets = sum(built.event_log.head().values())
    assert findings["event_log"].says == f"{offsets:,} offsets used"
    assert findings["online_state"].says == f"applied up to {offsets:,}"


def test_a_backend_that_does_not_open_is_a_finding(tmp_path: Path) -> None:
    """A wrong URL, or one whose server is away, is reported with its cure; others go on."""
    with open_platform(load_settings(tmp_path, catalog_url="pigeon://roof")) as platform:
        findings = examine_all(platform)
    assert [port for port in PORTS if not findings[port].healthy] == ["catalog"]
    assert "pigeon" in findings["catalog"].says
    assert "sqlite://" in findings["catalog"].cure


def test_a_backend_that_fails_when_asked_is_a_finding() -> None:
    """Opening is not enough: what it answers counts."""

    class Gone:
        def count_items(self) -> int:
            raise BackendUnavailable("It does not answer.", cure="Start it.")

    finding = examine("catalog", "sqlite:///x", Gone)
    assert not finding.healthy
    assert (finding.says, finding.cure) == ("It does not answer.", "Start it.")


def test_files_that_give_back_other_bytes_are_ill() -> None:
    """A disk that forgets what was written is down, not ok."""

    class Forgetful:
        @contextmanager
        def create(self, name: str):
            yield BytesIO()

        @contextmanager
        def open(self, name: str):
            yield BytesIO(b"pr")

        def remove(self, name: str) -> bool:
            return True

    finding = examine("files", "file://x", Forgetful)
    assert not finding.healthy
    assert "other bytes" in finding.says


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@db.example:5432/nextup", "postgresql://db.example:5432/nextup"),
        ("postgresql://me:p%40ss@h/x?password=hunter2", "postgresql://h/x?..."),
        ("redis://:hunter2@cache:6379/0", "redis://cache:6379/0"),
        ("sqlite:///data/events.db", "sqlite:///data/events.db"),
        ("memory://", "memory://"),
        ("file://data/lake", "file://data/lake"),
    ],
)
def test_credentials_are_not_shown(url: str, shown: str) -> None:
    """A finding names the backend without the user, the password and the options of its URL."""

    class Empty:
        def count_items(self) -> int:
            return 0

    assert examine("catalog", url, Empty).url == shown


class Skewed:
    """A log on a server whose clock is wrong."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def trial(self) -> Trial:
        return Trial("Clockwork 1.0", datetime.now(UTC) + self.ahead)

    def head(self) -> dict[str, int]:
        return {"0": 7}


@pytest.mark.parametrize(("minutes", "said"), [(10, "600 s ahead of ours"), (-1, "60 s behind")])
def test_a_wrong_clock_is_a_finding(minutes: int, said: str) -> None:
    """Times of events would be judged by it; the cure is one for both machines."""
    finding = examine("event_log", "x://", lambda: Skewed(timedelta(minutes=minutes)))
    assert not finding.healthy
    assert said in finding.says
    assert "NTP" in finding.cure
    assert finding.product == "Clockwork 1.0"


def test_a_clock_that_is_right_is_none(tmp_path: Path) -> None:
    """What a server is, is said beside what it holds."""
    finding = examine("event_log", "x://", lambda: Skewed(timedelta(0)))
    assert (finding.healthy, finding.says) == (True, "7 offsets used")


@pytest.mark.parametrize("port", ["event_log", "recommendation_store", "online_state", "control"])
def test_embedded_backends_are_tried_without_a_trace(port: str, tmp_path: Path) -> None:
    """Each writes, reads and deletes; it says which SQLite it is."""
    with open_platform(load_settings(tmp_path)) as platform:
        finding = examine_all(platform)[port]
        assert finding.product == f"SQLite {sqlite3.sqlite_version}"
        assert examine_all(platform)[port].healthy

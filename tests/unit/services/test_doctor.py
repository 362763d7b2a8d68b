"""The doctor asks every backend and reports; it never fails itself."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from nextup.bootstrap import PORTS, Platform, open_platform
from nextup.domain.errors import BackendUnavailable
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

"""The demo on somebody's servers, from their own file of settings."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from tests.contract.cleaning import clean_server
from tests.e2e.shell import nextup
from tests.servers import Backend, reach

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(900)

PORTS = {
    "event_log": "postgresql",
    "catalog": "postgresql",
    "control": "postgresql",
    "recommendation_store": "redis",
    "online_state": "redis",
}
SMALL = ("--people", 400, "--days", 60)


def test_check_proves_that_it_works_there(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A like changes the list and is named as the reason; run again, the demo mixes with nothing
    that is there, and names the cure."""
    urls = {name: reach(request, Backend(name)).url for name in {*PORTS.values()}}
    tenant = f"d{secrets.token_hex(4)}"
    lines = [f'tenant = "{tenant}"', *(f'{port}_url = "{urls[on]}"' for port, on in PORTS.items())]
    (tmp_path / "mine.toml").write_text("\n".join(lines), encoding="utf-8")
    demo = ("demo", "--check", "--config", "mine.toml", *SMALL)
    try:
        found = nextup(*demo, "--folder", "shop", "--json", cwd=tmp_path).document
        assert found["before"] != found["after"]
        assert found["explained_by_the_like"]
        findings = nextup("doctor", "-C", "shop", "--json", cwd=tmp_path).document["findings"]
        assert {one["port"]: one["healthy"] for one in findings}.items() >= {
            (port, True) for port in PORTS
        }
        again = nextup(*demo, "--folder", "again", cwd=tmp_path)
        assert again.status == 1
        assert "tenant" in again.err
        assert not any(url in again.err for url in urls.values())  # they hold passwords
    finally:
        for url in urls.values():
            clean_server(url, f"{tenant}_")

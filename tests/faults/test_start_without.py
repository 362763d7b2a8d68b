"""A server starts although a store is out of order, and is whole again when the store is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.workers_world import Served, make_platform, serving, wait_until

if TYPE_CHECKING:
    from pathlib import Path

EVENT = {"type": "like", "user_id": "ada", "item_id": "film-1"}


def test_damaged_stores(tmp_path: Path) -> None:
    """Without histories and published lists it answers, says what is missing, takes events in
    durably, and needs no restart once the damaged files are gone."""
    home = make_platform(tmp_path)
    damaged = [home / "data" / name for name in ("state.db", "lists.db")]
    for file in damaged:
        file.write_bytes(os.urandom(20_000))
    with serving(home) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        answer = client.get("/v1/users/ada/recommendations").json()
        assert answer["items"]
        assert {"online_state", "recommendation_store"} <= set(answer["missing"])
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert client.post("/v1/events", json=EVENT).status_code == 202
        for file in damaged:
            file.unlink()
        wait_until(lambda: client.get("/readyz").json()["status"] == "ready")
        wait_until(lambda: client.get("/v1/users/ada/history").json()["history"])


def test_without_a_log_it_does_not_start(tmp_path: Path) -> None:
    """A damaged log is refused at the start, in a line that says what to do."""
    home = make_platform(tmp_path)
    (home / "data" / "events.db").write_bytes(os.urandom(20_000))
    with pytest.raises(AssertionError, match=r"events\.db is damaged.*restore"):
        Served(home)

"""Simulated people in front of a real server, and what the report says of them and of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from nextup.algorithms.audience.simulate import AudienceConfig
from nextup.algorithms.audience.visitors import Curve
from nextup.bootstrap import open_platform
from nextup.domain.errors import BackendUnavailable, Conflict, NextupError
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.entrypoints.cli.app import app
from nextup.entrypoints.cli.traffic import MISTAKES, ServerShop
from nextup.services.traffic import Traffic, TrafficConfig
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform

AUDIENCE = AudienceConfig(people=400, days=60)  # with which the sample was filled
END, SEED = datetime(2026, 4, 1, tzinfo=UTC), 7
BUSY = TrafficConfig(
    seconds=1,
    sessions_per_second=25,
    curve=Curve.FLAT,
    cold_share=0.3,
    mistake_share=0.5,
    think_seconds=0,
    callers=8,
)


@pytest.fixture
def url(built: Platform) -> Iterator[str]:
    """A server with a trained model."""
    with ApiServer(create_app(built), host="127.0.0.1", port=0) as server:
        yield server.url


def test_people_are_served_by_their_tastes(built: Platform, url: str) -> None:
    """All that they did is in the log, mistakes were refused, nothing failed; the known got
    better lists than the popular titles would have been."""
    before = built.event_log.head()
    with ServerShop(url) as shop:
        found = Traffic(shop, BUSY, AUDIENCE, ends_at=END, seed=SEED).run()
    assert found.failures == {}
    assert found.sessions > 5
    assert found.mistakes == found.refused > 0
    told = built.event_log.read(before, 100_000).rows
    assert len(told) == sum(found.events.values()) > 0
    assert {event.type for event in told} <= {"click", "like", "rating", "dismiss"}
    assert all(event.recommendation_id for event in told)
    assert sum(source.clicks for source in found.sources) == found.events["click"]
    assert found.lists == sum(found.levels.values())
    regret = {one.who: one for one in found.regret}
    assert regret["known"].lists + regret["cold"].lists == found.lists
    assert regret["known"].mean < regret["known"].popular
    assert any(event.user_id.startswith("cold-") for event in told)
    kinds = {latency.what: latency.answers for latency in found.latencies}
    assert kinds["event"] == len(told)
    assert kinds["history"] == found.sessions


def test_every_mistake_is_refused(url: str) -> None:
    """Each of those that callers make."""
    with ServerShop(url) as shop:
        assert [shop.err(number) for number in range(len(MISTAKES))] == [True] * len(MISTAKES)


def test_what_fails_is_counted_and_the_rest_goes_on(built: Platform) -> None:
    """A server that goes away in the middle: its failures are told by what was asked."""
    with ApiServer(create_app(built), host="127.0.0.1", port=0) as server:
        shop = ServerShop(server.url)
        traffic = Traffic(shop, BUSY, AUDIENCE, ends_at=END, seed=SEED)
    with shop:
        found = traffic.run()
    assert found.lists == 0
    assert sum(found.failures.values()) >= found.sessions > 0
    assert all("Unreachable" in reason for reason in found.failures)


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    """With what to do."""
    with ServerShop("http://127.0.0.1:9") as shop, pytest.raises(BackendUnavailable) as told:
        shop.items()
    assert "--url" in told.value.cure


def test_a_server_without_items_is_told(tmp_path: Path) -> None:
    """There is nothing to show to anybody."""
    with (
        open_platform(load_settings(tmp_path)) as platform,
        ApiServer(create_app(platform), host="127.0.0.1", port=0) as server,
        ServerShop(server.url) as shop,
        pytest.raises(Conflict, match="no items"),
    ):
        Traffic(shop, BUSY, AUDIENCE, ends_at=END, seed=SEED)


def test_a_server_that_asks_for_a_key_is_told(tmp_path: Path) -> None:
    """Before anybody comes."""
    with (
        open_platform(load_settings(tmp_path, access={"auth": "keys"})) as platform,
        ApiServer(create_app(platform), host="127.0.0.1", port=0) as server,
        ServerShop(server.url) as shop,
        pytest.raises(NextupError, match="refuses"),
    ):
        shop.items()


def test_the_command_answers_machines(url: str) -> None:
    """One document, with all of the report."""
    command = f"simulate --to api --url {url} --people 400 --days 60 --seed 7 --until 2026-04-01"
    quick = "--seconds 1 --rate 3 --curve flat --think 0 --json"
    done = CliRunner().invoke(app, f"{command} {quick}")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert {"sessions", "latencies", "sources", "regret", "failures"} <= document.keys()
    assert document["failures"] == {}

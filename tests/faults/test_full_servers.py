"""Servers whose disk, memory or quota is full: what is acknowledged is durable, all else is refused
with a cure, the API goes on answering, and with room again everything adds up."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from redis import Redis
from stack.fetching import jars, java
from tests.conftest import SETTINGS
from tests.contract.cleaning import clean_server
from tests.faults.disks import Disk, small_disk
from tests.faults.kafka_world import assert_state_is_the_log, log_rows
from tests.servers import Backend, reach

from nextup.bootstrap import Platform, open_platform
from nextup.domain.errors import StorageFull
from nextup.domain.recommendations import PublishedList, Scored
from nextup.domain.tables import EVENT_ID, Table
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.services.collect import collect
from nextup.services.refine import refine_events
from nextup.services.simulate import put_sample
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from stack.server import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

MEGABYTES = 48  # of a server's small disk
PATIENCE_SECONDS = 120  # until what comes back by itself is back
POSTGRESQL_USER = "postgres"  # as whom it runs where root starts it, and mounting needs root
WIDE = "x" * 3_000  # of an event's context
MOST = 4_000  # events until a server must be full
CONFIG = {"recommend": {"cache_seconds": 0.0}, "lake": {"collect_seconds": 0.3}}


class World:
    """A platform with the sample's catalogue that serves, and a client that counts."""

    def __init__(self, platform: Platform, client: httpx.Client) -> None:
        self.platform = platform
        self.client = client
        self.acknowledged: list[str] = []
        self._sent = 0
        self._refused: dict[str, Any] | None = None
        self._items = [item.item_id for item in platform.catalog.all_items()][:30]

    def publish(self) -> None:
        """A list for the stranger, in service; raises what the store raises."""
        store, generation = self.platform.recommendation_store, f"g{time.monotonic_ns()}"
        places = tuple(Scored(item, 1.0 / (at + 1), "als") for at, item in enumerate(self._items))
        store.write(generation, [PublishedList("stranger", places)])
        store.switch(generation)

    def post(self) -> int:
        """One event: the one that was refused last, else a new one; returns the status."""
        event = self._refused or self._new()
        answer = self.client.post("/v1/events", json=event)
        body = answer.json()
        if answer.status_code == 202:
            self.acknowledged.append(body["event_id"])
            self._refused = None
        else:
            assert answer.status_code in {503, 507}, body
            assert body["cure"]
            self._refused = event
        return answer.status_code

    def _new(self) -> dict[str, Any]:
        self._sent += 1
        return {
            "event_id": f"e{self._sent}",
            "type": "like",
            "user_id": f"p{self._sent % 5}",
            "item_id": self._items[self._sent % len(self._items)],
            "context": {"note": WIDE},
        }

    def post_until_refused(self) -> int:
        """The first status that is no acknowledgement, after which nothing more fits."""
        for _ in range(MOST):
            status = self.post()
            if status != 202 and {self.post() for _ in range(3)} <= {503, 507}:
                return status
        pytest.fail("the server never was full")

    def assert_answers(self) -> None:
        """People get something, known or not."""
        for person in ("stranger", "p1", "nobody"):
            answer = self.client.get(f"/v1/users/{person}/recommendations", params={"limit": 5})
            assert answer.status_code == 200, answer.text
            assert answer.json()["items"]
        assert self.client.get("/healthz").status_code == 200

    def assert_counts_agree(self) -> None:
        """Acknowledgements, log, bronze, silver and the live state: the same events."""
        rows = log_rows(self.platform)
        assert sorted(row.event_id for row in rows) == sorted(self.acknowledged)
        head = self.platform.event_log.head()
        eventually(lambda: self.platform.online_state.position() == head, "the state is there")
        self.assert_lake_is_complete()
        refine_events(self.platform.engine, batch_rows=10_000)
        assert self._in(Table.INTERACTIONS) == sorted(self.acknowledged)
        assert_state_is_the_log(self.platform, rows)

    def assert_lake_is_complete(self) -> None:
        eventually(lambda: self._in(Table.EVENTS) == sorted(self.acknowledged), "bronze is there")

    def collect(self) -> None:
        collect(self.platform.event_log, self.platform.engine, batch_rows=1000)

    def assert_lake_is_full(self) -> None:
        """Events are taken, people are answered, and whoever writes the lake is told why not."""
        complete = self._in(Table.EVENTS)
        assert {self.post() for _ in range(20)} == {202}
        with pytest.raises(StorageFull) as refused:
            self.collect()
        assert refused.value.cure
        self.assert_answers()
        assert self._in(Table.EVENTS) == complete

    def _in(self, table: Table) -> Sequence[str]:
        return sorted(self.platform.lake.scan(table).collect()[EVENT_ID])


def eventually(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


def quota(url: str, *change: str) -> None:
    """Have HDFS change a folder's quota; that of space counts whole blocks, before they fill."""
    root, _, folder = url.rpartition("/")
    tool = [str(java()), "-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars('hdfs')}/*"]
    admin = [*tool, "org.apache.hadoop.hdfs.tools.DFSAdmin", "-fs", root]
    done = subprocess.run(
        [*admin, *change, f"/{folder}"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def serving(home: Path, **settings: Any) -> Iterator[World]:
    home.mkdir()
    (home / "nextup.toml").write_text(SETTINGS, encoding="utf-8")
    with open_platform(load_settings(home, **CONFIG, **settings)) as platform:
        put_sample(platform.catalog)
        with (
            ApiServer(create_app(platform), host="127.0.0.1", port=0) as api,
            httpx.Client(base_url=api.url, timeout=60) as client,
        ):
            yield World(platform, client)


@pytest.fixture
def small_server(
    private_server: Callable[..., Server],
) -> Iterator[Callable[[str, str], tuple[Server, Disk]]]:
    """Starts a server one of whose folders is a small disk."""
    disks: list[Disk] = []

    def start(name: str, folder: str) -> tuple[Server, Disk]:
        def mount(server: Server) -> None:
            disks.append(small_disk(server.folder / folder, MEGABYTES))

        return private_server(name, before=mount), disks[-1]

    yield start
    for disk in disks:
        disk.unmount()


def test_redis_has_no_memory(private_server: Callable[..., Server], tmp_path: Path) -> None:
    """Events are in the log although the live state cannot take them, the published lists stay,
    a publication is refused; the state catches up when there is memory."""
    url = private_server("redis").url
    stores = {"online_state_url": url, "recommendation_store_url": url}
    with Redis.from_url(url) as redis, serving(tmp_path / "home", **stores) as world:
        world.publish()
        assert {world.post() for _ in range(20)} == {202}
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] // 2)
        assert {world.post() for _ in range(20)} == {202}
        world.assert_answers()
        with pytest.raises(StorageFull) as refused:
            world.publish()
        assert "maxmemory" in refused.value.cure
        redis.config_set("maxmemory", 0)
        world.publish()
        assert {world.post() for _ in range(20)} == {202}
        world.assert_counts_agree()


def test_postgresql_has_no_space(
    small_server: Callable[[str, str], tuple[Server, Disk]], tmp_path: Path
) -> None:
    """Events that do not fit are refused with 507, none that was acknowledged is lost, and the API
    goes on answering."""
    server, disk = small_server("postgresql", "small")
    tables = disk.folder / "tables"
    tables.mkdir()
    shutil.chown(tables, POSTGRESQL_USER)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
        connection.execute("ALTER DATABASE postgres SET default_tablespace = small")
    ports = ("event_log", "online_state", "recommendation_store", "control")
    urls = {f"{port}_url": server.url for port in ports}
    with serving(tmp_path / "home", **urls) as world:
        world.publish()
        assert {world.post() for _ in range(20)} == {202}
        disk.fill()
        assert world.post_until_refused() == 507
        world.assert_answers()
        disk.clear()
        assert {world.post() for _ in range(20)} == {202}
        world.publish()
        world.assert_counts_agree()


def test_kafka_has_no_space(
    small_server: Callable[[str, str], tuple[Server, Disk]], tmp_path: Path
) -> None:
    """The broker ends, as Kafka does: events are refused, the API goes on answering, and once there
    is room and a broker again, they are taken, each once."""
    server, disk = small_server("kafka", "data-1")
    kafka = {"partitions": 1, "timeout_seconds": 2.0}
    with serving(tmp_path / "home", event_log_url=server.url, kafka=kafka) as world:
        assert {world.post() for _ in range(20)} == {202}
        disk.fill()
        assert world.post_until_refused() in {503, 507}
        world.assert_answers()
        server.kill()
        disk.clear()
        server.launch()
        eventually(lambda: world.post() == 202, "events are taken")
        assert {world.post() for _ in range(20)} == {202}
        world.collect()  # as `nextup stream` does where the log is Kafka
        world.assert_counts_agree()


def test_s3_has_no_space(
    small_server: Callable[[str, str], tuple[Server, Disk]], tmp_path: Path
) -> None:
    """Events are taken while the lake cannot be written, which says so; with room it catches up."""
    server, disk = small_server("s3", "objects")
    with serving(tmp_path / "home", lake_url=f"{server.url}/lake") as world:
        assert {world.post() for _ in range(20)} == {202}
        world.assert_lake_is_complete()
        disk.fill()
        world.assert_lake_is_full()
        disk.clear()
        world.assert_counts_agree()


def test_hdfs_has_no_quota_left(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Likewise, with a quota on the lake's folder: the server is shared with other tests."""
    url = reach(request, Backend("hdfs", path=f"/full-{secrets.token_hex(4)}")).url
    with serving(tmp_path / "home", lake_url=url) as world:
        assert {world.post() for _ in range(20)} == {202}
        world.assert_lake_is_complete()
        quota(url, "-setSpaceQuota", "1")
        world.assert_lake_is_full()
        quota(url, "-clrSpaceQuota")
        world.assert_counts_agree()
    clean_server(url, "")

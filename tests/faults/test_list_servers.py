"""Cassandra and MongoDB that are away, die, freeze and come back, and who depends on them."""

from __future__ import annotations

import resource
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from stack.processes import free_port
from tests.contract.backends import Place
from tests.servers import own_servers

from nextup.bootstrap import open_adapter, open_platform
from nextup.domain.errors import BackendUnavailable
from nextup.domain.items import Item
from nextup.domain.recommendations import PublishedList, Scored
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.services.doctor import examine
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from stack.server import Server

    from nextup.bootstrap import Platform
    from nextup.ports.recommendation_store import RecommendationStore

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

LISTS = 12_000
PATIENT = {"timeout_seconds": 5.0, "retry_seconds": 120.0}
HASTY = {"timeout_seconds": 1.0, "retry_seconds": 1.0}
no_passwords = pytest.mark.xfail(
    strict=True, reason="the MongoDB that the tests start has no passwords"
)


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], Server]]:
    """One of each kind for this file, running at the beginning of every test."""
    with own_servers() as start:
        running: dict[str, Server] = {}

        def get(name: str) -> Server:
            if name not in running:
                running[name] = start(name)
            return running[name]

        yield get


@pytest.fixture(params=["cassandra", "mongodb"])
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Iterator[Server]:
    server = servers(request.param)
    yield server
    server.resume()
    if not server.processes:
        server.launch()


class Opener:
    """Opens the lists of this test on a server, and closes all of them."""

    def __init__(self, home: Path, tenant: str) -> None:
        self.home = home
        self.tenant = tenant
        self._opened: list[Any] = []

    def settings(self, url: str, **options: Any) -> Any:
        scheme = urlsplit(url).scheme
        return load_settings(
            self.home, tenant=self.tenant, recommendation_store_url=url, **{scheme: options}
        )

    def __call__(self, url: str, **options: Any) -> RecommendationStore:
        store: RecommendationStore = open_adapter(
            "recommendation_store", self.settings(url, **options)
        )
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def lists(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Opener]:
    opener = Opener(tmp_path, f"t{abs(hash(request.node.name)) % 10**9}")
    yield opener
    opener.close()


def generation_of(tag: str, people: int) -> Iterator[PublishedList]:
    for number in range(people):
        items = tuple(Scored(f"{tag}/{place}", 1.0 / (place + 1), "als") for place in range(20))
        yield PublishedList(f"user-{number}", items)


def with_login(url: str, login: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))


def in_service(store: RecommendationStore, tag: str, people: int) -> None:
    assert store.write(tag, generation_of(tag, people)) == people
    store.switch(tag)


def eventually(check: Callable[[], bool], what: str) -> None:
    """For what comes back by itself: a driver looks now and then."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if check():
                return
        except BackendUnavailable:
            pass
        time.sleep(0.2)
    pytest.fail(f"never: {what}")


@pytest.mark.parametrize("scheme", ["cassandra", "mongodb"])
def test_nobody_listens(scheme: str, lists: Opener) -> None:
    """Opening waits for nobody; every use says that it cannot be reached, and no password."""
    url = f"{scheme}://somebody:s3cret@127.0.0.1:{free_port()}/nextup"
    store = lists(url, **HASTY)
    for use in (store.current, lambda: store.read("ada"), lambda: store.write("g", [])):
        with pytest.raises(BackendUnavailable) as caught:
            use()
        assert "s3cret" not in str(caught.value) + repr(caught.value) + repr(store)
        assert caught.value.cure
    found = examine("recommendation_store", url, lambda: store)
    assert not found.healthy
    assert "s3cret" not in repr(found)
    with pytest.raises(BackendUnavailable):
        next(iter([store.generations()]))


@pytest.mark.parametrize("name", ["cassandra", pytest.param("mongodb", marks=no_passwords)])
def test_a_wrong_password(name: str, servers: Callable[[str], Server], lists: Opener) -> None:
    """It is refused in words that say so, without the password."""
    store = lists(with_login(servers(name).url, "cassandra:wr0ng"), **PATIENT)
    with pytest.raises(BackendUnavailable, match="password") as caught:
        store.current()
    assert "wr0ng" not in str(caught.value)


def test_killed_while_it_is_written(server: Server, lists: Opener) -> None:
    """Kill -9 in the middle of a publication, restart: the same call completes, every list is
    there once, and until the switch people get the old ones."""
    store = lists(server.url, **PATIENT)
    in_service(store, "old", 50)
    half = threading.Event()

    def source() -> Iterator[PublishedList]:
        for number, each in enumerate(generation_of("new", LISTS)):
            if number == LISTS // 2:
                half.set()
            yield each

    written: list[int] = []
    writer = threading.Thread(target=lambda: written.append(store.write("new", source())))
    writer.start()
    assert half.wait(300)
    server.kill()
    server.launch()
    eventually(lambda: store.current() == "old", "the old lists")
    found = store.read("user-7")
    assert found is not None
    assert found.items[0].item_id == "old/0"
    writer.join(300)
    assert written == [LISTS]
    assert store.count("new") == LISTS
    store.switch("new")
    other = lists(server.url, **PATIENT)
    people = [other.read(f"user-{number}") for number in range(0, LISTS, 97)]
    assert all(each is not None and each.items[0].item_id == "new/0" for each in people)


def test_gone_for_longer_than_a_writer_waits(server: Server, lists: Opener) -> None:
    """The publication fails and says so; the old lists stay in service, and the next one
    completes."""
    store = lists(server.url, **PATIENT)
    in_service(store, "old", 50)

    def source() -> Iterator[PublishedList]:
        yield from generation_of("new", 5_000)
        server.kill()
        yield from generation_of("new", 5_000)

    with pytest.raises(BackendUnavailable):
        lists(server.url, **PATIENT | {"retry_seconds": 0.5}).write("new", source())
    server.launch()
    eventually(lambda: store.current() == "old", "the old lists")
    assert store.count("old") == 50
    in_service(store, "new", 6_000)
    assert store.count("new") == 6_000
    store.drop("old")
    assert store.generations() == ["new"]


def test_what_was_acknowledged_is_there(server: Server, lists: Opener) -> None:
    """A server that is killed the moment it has acknowledged a write and a switch has both."""
    in_service(lists(server.url, **PATIENT), "new", 300)
    server.kill()
    server.launch()
    other = lists(server.url, **PATIENT)
    assert other.current() == "new"
    assert other.count("new") == 300


def test_frozen_for_longer_than_the_time_out(server: Server, lists: Opener) -> None:
    """Readers are told within the time-out, again and again, and go on when it has thawed."""
    store = lists(server.url, **PATIENT)
    in_service(store, "old", 50)
    hasty = lists(server.url, timeout_seconds=1.0, scan_seconds=1.0, retry_seconds=1.0)
    eventually(lambda: hasty.read("user-1") is not None, "a first answer")
    server.pause()
    for _ in range(3):
        with pytest.raises(BackendUnavailable):
            hasty.read("user-1")
    server.resume()
    eventually(lambda: hasty.read("user-1") is not None, "an answer after the frost")


def test_full(server: Server, lists: Opener) -> None:
    """Without space for its files the server fails or stops: the publication fails and says so,
    what readers get are the old lists or an error; with space and started again it has them all."""
    store = lists(server.url, **PATIENT)
    in_service(store, "old", 50)
    for process in server.processes:
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, most))  # bytes, of every file
    wide = tuple(Scored(f"{place}{'x' * 300}", 1.0 / (place + 1), "als") for place in range(100))
    with pytest.raises(BackendUnavailable):
        lists(server.url, **PATIENT | {"retry_seconds": 0.5}).write(
            "new", (PublishedList(f"user-{number}", wide) for number in range(1_500))
        )  # 50 MB, more than any space set aside
    with suppress(BackendUnavailable):
        found = store.read("user-7")
        assert found is not None
        assert found.items[0].item_id == "old/0"
    server.kill()
    server.launch()
    eventually(lambda: store.current() == "old", "the old lists")
    assert store.count("old") == 50
    in_service(store, "new", 300)
    assert store.count("new") >= 300


def level(client: httpx.Client) -> tuple[int, str, Sequence[str]]:
    answer = client.get("/v1/users/stranger/recommendations", params={"limit": 5})
    body = answer.json()
    return answer.status_code, body.get("level", ""), body.get("missing", [])


@pytest.fixture
def serving(built_folder: Path, server: Server, lists: Opener) -> Iterator[httpx.Client]:
    """An API whose lists are on the server; `stranger` has a list, and no history."""
    lists.home = built_folder
    settings = lists.settings(server.url, timeout_seconds=1.0, scan_seconds=1.0, retry_seconds=30.0)
    overrides = {
        "online_state_url": "memory://",
        "tenant": "default",
        "recommend": settings.recommend.model_copy(update={"cache_seconds": 0.0}),
    }
    settings = settings.model_copy(update=overrides)
    with open_platform(settings) as platform:
        _publish(platform)
        with (
            ApiServer(create_app(platform), host="127.0.0.1", port=0) as api,
            httpx.Client(base_url=api.url, timeout=60) as client,
        ):
            yield client


def _publish(platform: Platform) -> None:
    items = [item.item_id for _, item in zip(range(30), platform.catalog.all_items(), strict=False)]
    store = platform.recommendation_store
    generation = f"g{time.monotonic_ns()}"
    places = tuple(Scored(item, 1.0 / (rank + 1), "als") for rank, item in enumerate(items))
    store.write(generation, [PublishedList("stranger", places)])
    store.switch(generation)


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_the_api_answers_without_lists(how: str, server: Server, serving: httpx.Client) -> None:
    """While the server is dead or frozen, who would get a published list gets what trends, with
    a word about what is missing; afterwards the list is back."""
    assert level(serving) == (200, "published", [])
    (server.kill if how == "kill" else server.pause)()
    for _ in range(3):
        status, answered, missing = level(serving)
        assert status == 200
        assert answered in {"trending", "popular"}
        assert missing == ["recommendation_store"]
    if how == "kill":
        server.launch()
    else:
        server.resume()
    eventually(lambda: level(serving) == (200, "published", []), "the list again")


@pytest.fixture
def mongodb(servers: Callable[[str], Server]) -> Server:
    server = servers("mongodb")
    if not server.processes:
        server.launch()
    return server


def test_a_catalogues_writer_is_killed(mongodb: Server, tmp_path: Path) -> None:
    """All or nothing without transactions: what a killed process had put is seen by nobody, and
    the next writer takes over and cleans up."""
    place = Place(mongodb.url, tmp_path, "killedwriter")
    catalog = place.catalog()
    catalog.put_items(Item(f"m{number}", title="old") for number in range(3_000))
    program = """
from nextup.domain.items import Item
def source():
    for number in range(20_000):
        if number == 9_000:
            print("half", flush=True)
            sys.stdin.read()
        yield Item(f"m{number}", title="new")
place.catalog().put_items(source())
"""
    process = place.run(program.replace("sys.stdin.read()", "import time; time.sleep(600)"))
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "half\n"
        assert catalog.count_items() == 3_000  # the turn is the other's
        assert {item.title for item in catalog.all_items()} == {"old"}
        assert catalog.search_items("new", kind=None, limit=5) == []
        process.kill()
    assert catalog.put_items([Item("after")]) == 1
    assert catalog.count_items() == 3_001
    assert {item.title for item in catalog.all_items()} == {"old", ""}
    place.clean()


def test_a_catalogues_server_is_killed(mongodb: Server, tmp_path: Path) -> None:
    """A put in whose midst the server dies and comes back is completed by the same call."""
    place = Place(mongodb.url, tmp_path, "killedserver")
    catalog = place.catalog()
    catalog.put_items(Item(f"m{number}", title="old") for number in range(3_000))

    def source() -> Iterator[Item]:
        for number in range(8_000):
            if number == 5_000:
                mongodb.kill()
                mongodb.launch()
            yield Item(f"m{number}", title="new")

    assert catalog.put_items(source()) == 8_000
    assert catalog.count_items() == 8_000
    assert {item.title for item in catalog.all_items()} == {"new"}
    place.clean()

"""A bad network between Nextup and its servers: what is slow, cut, chopped or silent on the way.

Toxiproxy stands before every server. Whatever it does: a call ends, with its answer or in our
words; the API answers with less and says what is missing; an event is safe or was refused; and all
is as before when the network is.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
from stack.servers.toxiproxy import Toxiproxy
from tests.contract.backends import Place
from tests.contract.cases import event
from tests.contract.lake_rows import events as lake_rows
from tests.contract.log_rows import NOON, after, row
from tests.faults.load import Sender
from tests.faults.looking import EVERYTHING
from tests.faults.processes import PATIENCE, SEED, rounds
from tests.servers import Backend, own_servers, reach

from nextup.bootstrap import Platform, open_platform
from nextup.domain.errors import BackendUnavailable
from nextup.domain.items import Item
from nextup.domain.recommendations import PublishedList, Scored
from nextup.domain.tables import Table
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from nextup.settings import Settings

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

HASTY = {
    "connections": {"connect_seconds": 2, "answer_seconds": 1.0, "retries": 1},
    "cassandra": {"timeout_seconds": 1.0, "scan_seconds": 1.0, "retry_seconds": 1.0},
    "mongodb": {"timeout_seconds": 1.0, "scan_seconds": 1.0, "retry_seconds": 1.0},
}
LONG = "in which nothing happens, " * 10  # so that an answer does not fit into one packet
TOUCHES = 80  # some 20 kB, as with all: a delay is for each packet


@dataclass(frozen=True)
class Toxin:
    """What happens to answers on their way, and what may become of a call."""

    kind: str  # of Toxiproxy; empty: the connection is cut, and none is accepted
    how: dict[str, int]
    allowed: frozenset[str]

    def spoil(self, proxies: Toxiproxy, port: int) -> None:
        if self.kind:
            proxies.poison(port, self.kind, **self.how)
        else:
            proxies.cut(port)


ANSWERED, REFUSED = frozenset({"answered"}), frozenset({"refused"})
TOXINS = {
    "delayed": Toxin("latency", {"latency": 100, "jitter": 50}, ANSWERED),
    "trickling": Toxin("bandwidth", {"rate": 10}, ANSWERED | REFUSED),  # kilobytes per second
    "chopped": Toxin("limit_data", {"bytes": 4000}, ANSWERED | REFUSED),  # in mid-reply
    "reset": Toxin("reset_peer", {"timeout": 0}, REFUSED),
    "silent": Toxin("timeout", {"timeout": 0}, REFUSED),
    "cut": Toxin("", {}, REFUSED),
}


def _fill_store(store: Any) -> None:
    places = tuple(Scored(f"item-{n}-{LONG}", 1.0 / (n + 1), "als") for n in range(80))
    store.write("g1", [PublishedList("ada", places)])
    store.switch("g1")


def _fill_state(state: Any) -> None:
    touches = [row(n, "ada", f"item-{n}-{LONG}", at=NOON) for n in range(TOUCHES)]
    state.apply(touches, after(touches))


@dataclass(frozen=True)
class Use:
    """How a port is filled, and what is asked of it: some 20 kB."""

    fill: Callable[[Any], object]
    ask: Callable[[Any], object]


ITEM_IDS = [f"film-{number}" for number in range(80)]
USES = {
    "recommendation_store": Use(_fill_store, lambda store: store.read("ada")),
    "online_state": Use(_fill_state, lambda state: state.history("ada")),
    "catalog": Use(
        lambda catalog: catalog.put_items(Item(each, title=f"A film {LONG}") for each in ITEM_IDS),
        lambda catalog: catalog.items(ITEM_IDS),
    ),
    "event_log": Use(
        lambda log: log.append([event(n, context='{"note": "' + LONG + '"}') for n in range(80)]),
        lambda log: log.read({}, 1000).rows,
    ),
    "lake": Use(
        lambda lake: lake.append(Table.EVENTS, lake_rows(*range(300))),
        lambda lake: lake.scan(Table.EVENTS).sort("offset").collect().rows(),
    ),
}
PORTS = [
    ("redis", "recommendation_store"),
    ("redis", "online_state"),
    ("postgresql", "catalog"),
    ("postgresql", "event_log"),
    ("postgresql", "online_state"),
    ("postgresql", "recommendation_store"),
    ("cassandra", "recommendation_store"),
    ("mongodb", "recommendation_store"),
    ("mongodb", "catalog"),
    ("s3", "lake"),
]
"""Servers and what they are for Nextup: a row is tried with every toxin."""


class Network:
    """A proxy before each server that is asked for; one for all tests, so that whoever keeps a
    connection to it is met again."""

    def __init__(self, proxies: Toxiproxy) -> None:
        self.proxies = proxies
        self._ports: dict[int, int] = {}

    def through(self, port: int) -> int:
        if port not in self._ports:
            self._ports[port] = self.proxies.before(port)
        self.proxies.heal(self._ports[port])
        return self._ports[port]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with own_servers() as start:
        yield Network(cast("Toxiproxy", start("toxiproxy")))


@dataclass
class Road:
    """The way to one server: straight, and through a proxy."""

    straight: str
    near: str
    proxy: int
    network: Network
    place: Place | None = None  # of the test, where somebody serves it

    def spoil(self, toxin: Toxin) -> None:
        toxin.spoil(self.network.proxies, self.proxy)

    def heal(self) -> None:
        self.network.proxies.heal(self.proxy)


@pytest.fixture
def road(
    request: pytest.FixtureRequest, network: Network, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Road]]:
    """Finds the server of that name; whatever was done to the way to it is undone at the end."""
    found: list[Road] = []

    def build(name: str) -> Road:
        url = reach(request, Backend(name)).url
        if name == "s3":
            real = urlsplit(os.environ["AWS_ENDPOINT_URL"])
            proxy = network.through(real.port or 80)
            one = Road(f"{url}/lake", f"{url}/lake", proxy, network)
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy}")
        else:
            parts = urlsplit(url)
            proxy = network.through(parts.port or 0)
            login = parts.netloc.rpartition("@")[0]
            place = f"{login}@127.0.0.1:{proxy}" if login else f"127.0.0.1:{proxy}"
            one = Road(url, parts._replace(netloc=place).geturl(), proxy, network)
        found.append(one)
        return one

    yield build
    for one in found:
        one.heal()


def ended(ask: Callable[[], object], expected: object) -> str:
    """How the call ended; one that never does is a failure."""
    found: list[object] = []

    def call() -> None:
        try:
            found.append(ask())
        except Exception as error:
            found.append(error)

    calling = Thread(target=call, daemon=True)  # nobody waits for one that hangs
    calling.start()
    calling.join(PATIENCE)
    assert found, "the call never ended"
    (outcome,) = found
    if not isinstance(outcome, Exception):
        assert outcome == expected
        return "answered"
    assert isinstance(outcome, BackendUnavailable), outcome
    assert outcome.cure
    return "refused"


def eventually(check: Callable[[], bool], what: str) -> None:
    """For what comes back by itself."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if check():
                return
        except BackendUnavailable:
            pass
        time.sleep(0.1)
    pytest.fail(f"never: {what}")


@pytest.mark.parametrize(("name", "port"), PORTS, ids=["-".join(one) for one in PORTS])
def test_a_call_through_a_bad_network(
    name: str, port: str, road: Callable[[str], Road], tmp_path: Path
) -> None:
    """It ends with the whole answer or as "unavailable", never with a part of it, and the same
    open backend answers when the network is well."""
    way, use = road(name), USES[port]
    tenant = f"net{abs(hash((name, port, str(tmp_path)))) % 10**9}"
    straight = Place(way.straight, tmp_path, tenant)
    near = Place(way.near, tmp_path, tenant, more=HASTY)
    opened = getattr(straight, port)()
    use.fill(opened)
    expected = use.ask(opened)
    assert expected
    hasty = getattr(near, port)()
    for what, toxin in TOXINS.items():
        eventually(lambda: use.ask(hasty) == expected, f"an answer before it is {what}")
        way.spoil(toxin)
        outcomes = {ended(lambda: use.ask(hasty), expected) for _ in range(2)}
        print(f"{name} {port} {what}: {sorted(outcomes)}")
        assert outcomes <= toxin.allowed, what
        way.heal()
    eventually(lambda: use.ask(hasty) == expected, "an answer in the end")
    near.close()
    straight.clean()


SERVING = [
    ("redis", ("recommendation_store", "online_state")),
    ("postgresql", ("catalog",)),
    ("postgresql", ("recommendation_store", "online_state")),
    ("cassandra", ("recommendation_store",)),
    ("mongodb", ("recommendation_store",)),
]
"""What an API can do without, and the server that it then is on."""


class PartlyElsewhere(Platform):
    """A platform some of whose ports are a tenant's on a server."""

    def __init__(self, settings: Settings, place: Place, ports: Collection[str]) -> None:
        super().__init__(settings)
        self._place = place
        self._ports = ports

    def _open(self, port: str, **options: Any) -> Any:
        if port not in self._ports:
            return super()._open(port, **options)
        return getattr(self._place, port)()


@pytest.fixture
def serve(
    built_folder: Path, tmp_path: Path, road: Callable[[str], Road]
) -> Iterator[Callable[[str, Collection[str]], tuple[Road, ApiServer]]]:
    """An API on a copy of the built platform, with the given ports behind a proxy."""
    with ExitStack() as stack:

        def start(name: str, ports: Collection[str]) -> tuple[Road, ApiServer]:
            way = road(name)
            home = tmp_path / "home"
            shutil.copytree(built_folder, home)
            tenant = f"net{time.monotonic_ns() % 10**9}"
            straight = Place(way.straight, home, tenant)
            stack.callback(straight.clean)
            way.place = straight
            settings = load_settings(home, recommend={"cache_seconds": 0.0})
            with open_platform(settings) as embedded:
                _fill_for_serving(straight, ports, list(embedded.catalog.all_items()))
            near = Place(way.near, home, tenant, more=HASTY)
            stack.callback(near.close)
            platform = stack.enter_context(PartlyElsewhere(settings, near, ports))
            app = create_app(platform)
            return way, stack.enter_context(ApiServer(app, host="127.0.0.1", port=0))

        yield start


def _fill_for_serving(place: Place, ports: Collection[str], items: Sequence[Item]) -> None:
    if "catalog" in ports:
        place.catalog().put_items(items)
    if "recommendation_store" in ports:
        places = tuple(Scored(item.item_id, 1.0 / (n + 1), "als") for n, item in enumerate(items))
        store = place.recommendation_store()
        store.write("g1", [PublishedList("stranger", places[:50])])
        store.switch("g1")


def _asked(client: httpx.Client) -> tuple[int, int, set[str]]:
    """Status, number of places, and what was missing, for somebody without a history."""
    answer = client.get("/v1/users/stranger/recommendations", params={"limit": 5})
    body = answer.json()
    return answer.status_code, len(body.get("items", [])), set(body.get("missing", []))


@pytest.mark.parametrize(("name", "ports"), SERVING, ids=[f"{n}-{p[0]}" for n, p in SERVING])
def test_the_api_behind_a_bad_network(
    name: str,
    ports: Collection[str],
    serve: Callable[[str, Collection[str]], tuple[Road, ApiServer]],
) -> None:
    """It answers with less, and says what is missing; whole again when the network is well."""
    way, api = serve(name, ports)
    whole = (200, 5, set[str]())
    with httpx.Client(base_url=api.url, timeout=PATIENCE) as client:
        for what in ("cut", *_share(set(TOXINS) - {"cut"}, 2)):
            eventually(lambda: _asked(client) == whole, f"a whole answer before it is {what}")
            way.spoil(TOXINS[what])
            still_answers = "answered" in TOXINS[what].allowed

            def degraded(ports: Collection[str] = ports, enough: bool = still_answers) -> bool:
                status, places, missing = _asked(client)
                assert (status, places) == (200, 5)
                assert missing <= set(ports)
                return bool(missing) or enough

            for _ in range(2):  # the catalogue is remembered for a moment
                eventually(degraded, f"a word about what is missing when it is {what}")
            way.heal()
        eventually(lambda: _asked(client) == whole, "a whole answer in the end")


def _share(names: Collection[str], number: int) -> list[str]:
    """Some of them, or all where more rounds are asked for than `make test` has."""
    known = sorted(names)
    return random.Random(SEED).sample(known, min(rounds(number), len(known)))


def test_events_through_a_bad_network(
    serve: Callable[[str, Collection[str]], tuple[Road, ApiServer]],
) -> None:
    """A client that repeats what was not acknowledged is told 202 or 503, nothing else, and each
    of its events is in the log once, in the order in which it sent them."""
    way, api = serve("postgresql", ("event_log",))
    dice = random.Random(SEED)
    with httpx.Client(base_url=api.url, timeout=PATIENCE) as client:
        items = [one["item_id"] for one in client.get("/v1/items").json()["items"]]
    senders = [Sender(f"sender{n}", cast("Any", api), dice, items) for n in range(2)]
    for sender in senders:
        sender.start()
    for what in [*TOXINS, *dice.choices(sorted(TOXINS), k=rounds(2))]:
        time.sleep(0.3)  # of a good network between two bad ones
        way.spoil(TOXINS[what])
        time.sleep(dice.uniform(0.5, 2.5))
        way.heal()
    told = {name for sender in senders for name in sender.acknowledged}
    eventually(lambda: all(_went_on(sender, told) for sender in senders), "events again")
    for sender in senders:
        sender.stop()
    assert [sender.wrong for sender in senders] == [[], []]
    assert way.place is not None
    found = [one.event_id for one in way.place.event_log().read({}, EVERYTHING).rows]
    assert sorted(found) == sorted({name for sender in senders for name in sender.sent})
    assert {name for sender in senders for name in sender.acknowledged} == set(found)
    for sender in senders:
        assert [name for name in found if name.startswith(sender.name)] == sender.sent
    repeated = sum(sender.repeated for sender in senders)
    print(f"network: {len(found)} acknowledged = in the log; {repeated} refused and sent again")
    assert repeated


def _went_on(sender: Sender, told: Collection[str]) -> bool:
    return bool(set(sender.acknowledged) - set(told))

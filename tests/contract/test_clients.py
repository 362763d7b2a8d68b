"""What the store of clients promises."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.contract.backends import CONTROLS, HOSTILE_IDS, Place, places
from tests.contract.cases import BASE, in_threads
from tests.servers import durable

from nextup.adapters.control.clients import SqlClients
from nextup.adapters.sql import open_database
from nextup.domain.clients import REFUSED, ApiKey, Client, Scope, SigningKey, Usage
from nextup.domain.errors import BackendUnavailable, Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextup.ports.clients import Clients

    Opener = Callable[[], Clients]

DAY = date(2024, 3, 1)


@pytest.fixture(params=CONTROLS)
def place(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.fixture
def open_clients(place: Place) -> Iterator[Opener]:
    """Opens the same store again and again; closes all of them."""
    opened: list[SqlClients] = []

    def open_it() -> SqlClients:
        opened.append(SqlClients(open_database(place.url, place.home, f"{place.tenant}_")))
        return opened[-1]

    yield open_it
    for one in opened:
        one.close()


@pytest.fixture
def clients(open_clients: Opener) -> Clients:
    return open_clients()


def client(name: str, tenant: str = "default") -> Client:
    return Client(name, tenant, frozenset({Scope.READ, Scope.WRITE}), BASE)


def key(name: str, of: str = "shop", hour: int = 0) -> ApiKey:
    return ApiKey(name, of, "0" * 64, BASE + timedelta(hours=hour), "staging")


def signing_key(name: str, hour: int = 0) -> SigningKey:
    return SigningKey(name, f"-----{name}-----", BASE + timedelta(hours=hour))


def test_a_new_store_is_empty(clients: Clients) -> None:
    """Nobody may call, and asking is not an error."""
    assert clients.revision() == 0
    assert list(clients.clients()) == list(clients.signing_keys()) == []
    assert clients.client("shop") is clients.key("k") is None
    assert list(clients.keys("shop")) == list(clients.usage("shop", DAY, DAY)) == []
    assert clients.used(DAY) == {}


def test_a_client_comes_back_as_it_was(clients: Clients) -> None:
    """All fields survive; the number is small and its own."""
    full = replace(
        client("shop", "acme"),
        password_hash="$argon2id$...",
        per_second=12.5,
        burst=40,
        per_day=10_000,
        tokens_since=BASE,
    )
    assert clients.add(full) == replace(full, number=1)
    assert clients.add(client("app")).number == 2
    assert clients.client("shop") == replace(full, number=1)
    assert [one.client_id for one in clients.clients()] == ["app", "shop"]
    assert [one.client_id for one in clients.clients("acme")] == ["shop"]


def test_a_name_is_given_once(clients: Clients) -> None:
    """Also not after its client was revoked."""
    clients.add(client("shop"))
    clients.revoke("shop", BASE)
    with pytest.raises(Conflict):
        clients.add(client("shop", "acme"))
    assert [one.tenant for one in clients.clients()] == ["default"]


def test_a_change_keeps_what_is_for_ever(clients: Clients) -> None:
    """Tenant, number and the beginning stay; a client that was revoked stays so."""
    added = clients.add(client("shop"))
    clients.revoke("shop", BASE)
    other = replace(added, tenant="acme", number=9, created_at=BASE + timedelta(days=1), burst=3)
    clients.change(replace(other, scopes=frozenset({Scope.ADMIN})))
    kept = replace(added, scopes=frozenset({Scope.ADMIN}), burst=3, revoked_at=BASE)
    assert clients.client("shop") == kept
    with pytest.raises(NotFound):
        clients.change(client("nobody"))


def test_revoking_twice_keeps_the_first_time(clients: Clients) -> None:
    """It says whether the client, or the key, was let in before."""
    clients.add(client("shop"))
    clients.add_key(key("k"))
    later = BASE + timedelta(hours=1)
    assert [clients.revoke("shop", BASE), clients.revoke("shop", later)] == [True, False]
    assert [clients.revoke_key("k", BASE), clients.revoke_key("k", later)] == [True, False]
    assert [clients.revoke("nobody", BASE), clients.revoke_key("nothing", BASE)] == [False, False]
    found, found_key = clients.client("shop"), clients.key("k")
    assert found is not None
    assert found_key is not None
    assert (found.revoked_at, found_key.revoked_at) == (BASE, BASE)


def test_keys_belong_to_a_client(clients: Clients) -> None:
    """The latest first; a key of nobody and a second one of the same name are refused."""
    clients.add(client("shop"))
    clients.add(client("app"))
    for name, hour in (("k1", 0), ("k3", 2), ("k2", 1)):
        clients.add_key(key(name, "shop", hour))
    clients.add_key(key("k4", "app"))
    assert [one.key_id for one in clients.keys("shop")] == ["k3", "k2", "k1"]
    assert clients.key("k1") == key("k1")
    with pytest.raises(NotFound):
        clients.add_key(key("k5", "nobody"))
    with pytest.raises(Conflict):
        clients.add_key(key("k4", "shop"))
    assert [one.key_id for one in clients.keys("app")] == ["k4"]


@durable(CONTROLS)
def test_every_change_is_a_new_revision(open_clients: Opener) -> None:
    """Another opener sees it once the call has returned; usage and reading change nothing."""
    clients, other = open_clients(), open_clients()
    seen = [other.revision()]
    changes = (
        lambda: clients.add(client("shop")),
        lambda: clients.add_key(key("k")),
        lambda: clients.change(replace(client("shop"), burst=1)),
        lambda: clients.revoke_key("k", BASE),
        lambda: clients.revoke("shop", BASE),
        lambda: clients.add_signing_key(signing_key("s"), after=None, drop_before=BASE),
    )
    for change in changes:
        change()
        seen.append(other.revision())
    assert seen == sorted(set(seen))
    clients.count([Usage("shop", DAY, "read", 1)])
    clients.clients()
    assert other.revision() == clients.revision() == seen[-1]


REVOKE = """
from datetime import datetime, UTC
from nextup.adapters.control.clients import SqlClients
from nextup.adapters.sql import open_database
clients = SqlClients(open_database(place.url, place.home, place.tenant + "_"))
clients.revoke("shop", datetime.now(UTC))
print("revoked", flush=True)
clients.close()
"""


@durable(CONTROLS)
def test_another_process_changes_the_revision(place: Place, clients: Clients) -> None:
    """What one process revokes, the next question of another finds revoked."""
    clients.add(client("shop"))
    before = clients.revision()
    process = place.run(REVOKE)
    with process:
        assert process.communicate()[0] == "revoked\n"
    assert clients.revision() > before
    found = clients.client("shop")
    assert found is not None
    assert found.revoked_at is not None


def test_signing_keys_take_turns(clients: Clients) -> None:
    """Of two that were made after the same one, the first is kept; old ones go when told."""
    assert clients.add_signing_key(signing_key("a"), after=None, drop_before=BASE)
    assert not clients.add_signing_key(signing_key("x", 1), after=None, drop_before=BASE)
    assert clients.add_signing_key(signing_key("b", 1), after="a", drop_before=BASE)
    assert not clients.add_signing_key(signing_key("y", 2), after="a", drop_before=BASE)
    assert list(clients.signing_keys()) == [signing_key("b", 1), signing_key("a")]
    later = BASE + timedelta(hours=1)
    assert clients.add_signing_key(signing_key("c", 2), after="b", drop_before=later)
    assert [one.kid for one in clients.signing_keys()] == ["c", "b"]


def test_usage_adds_up(clients: Clients) -> None:
    """Per client, day and scope; what was refused is no use of the day's requests."""
    tomorrow = DAY + timedelta(days=1)
    clients.count([])
    clients.count([Usage("shop", DAY, "read", 2), Usage("app", DAY, "read", 5)])
    clients.count([Usage("shop", DAY, "read", 1), Usage("shop", DAY, "write", 4)])
    clients.count([Usage("shop", DAY, REFUSED, 9), Usage("shop", tomorrow, "read", 1)])
    assert clients.used(DAY) == {"shop": 7, "app": 5}
    assert list(clients.usage("shop", DAY, DAY)) == [
        Usage("shop", DAY, "read", 3),
        Usage("shop", DAY, REFUSED, 9),
        Usage("shop", DAY, "write", 4),
    ]
    assert len(clients.usage("shop", DAY, tomorrow)) == 4


def test_threads_count_and_add_at_once(clients: Clients) -> None:
    """Nothing is lost, and every client gets a number of its own."""

    def work(thread: int) -> None:
        for number in range(5):
            clients.add(client(f"c{thread}-{number}"))
            clients.count([Usage(name, DAY, "read", 1) for name in ("b", "a")])
            clients.revision()

    in_threads([threading.Thread(target=work, args=(thread,)) for thread in range(4)])
    assert sorted(one.number for one in clients.clients()) == list(range(1, 21))
    assert clients.used(DAY) == {"a": 20, "b": 20}
    assert clients.revision() == 20


@pytest.mark.parametrize("hostile", [name for name in HOSTILE_IDS if name])
def test_names_may_be_anything(clients: Clients, hostile: str) -> None:
    """Text that means something to a database is only text in a name."""
    clients.add(client(hostile, hostile))
    clients.add_key(ApiKey(hostile, hostile, hostile, BASE, hostile))
    clients.count([Usage(hostile, DAY, hostile, 1)])
    assert [one.client_id for one in clients.clients(hostile)] == [hostile]
    assert clients.key(hostile) == ApiKey(hostile, hostile, hostile, BASE, hostile)
    assert clients.used(DAY) == {hostile: 1}


@durable(CONTROLS)
def test_everything_survives_a_restart(open_clients: Opener) -> None:
    """Clients, keys, usage and the revision are there for the next process."""
    clients = open_clients()
    clients.add(client("shop"))
    clients.add_key(key("k"))
    clients.count([Usage("shop", DAY, "read", 1)])
    revision = clients.revision()
    clients.close()
    again = open_clients()
    assert again.client("shop") == replace(client("shop"), number=1)
    assert again.key("k") == key("k")
    assert (again.used(DAY), again.revision()) == ({"shop": 1}, revision)


def test_secrets_are_not_shown() -> None:
    """A client, a key or a signing key in a log line tells nothing that opens a door."""
    shown = repr((replace(client("shop"), password_hash="s3cret"), key("k"), signing_key("s")))
    assert "s3cret" not in shown
    assert "0" * 64 not in shown
    assert "-----s-----" not in shown


def test_closing_twice_does_nothing(clients: Clients) -> None:
    """After closing, use is refused with a clear error."""
    clients.revision()
    clients.close()
    clients.close()
    with pytest.raises(BackendUnavailable):
        clients.revision()
    with pytest.raises(BackendUnavailable):
        clients.clients()

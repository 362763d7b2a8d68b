"""What is somebody else's: every operation is tried across tenants and across clients."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.access_world import World, make_world, register_all, server_of
from tests.integration.openapi_calls import Operation, operations

from nextup.domain.clients import ALL_SCOPES, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

SECRET = "jabberwocky"  # in everything that is the victim's, and in no request of anybody else
PEOPLE = [Scope.READ, Scope.WRITE]
LAST = 20  # ranks that pages show
# They start work or change the tenant as a whole; their answers are looked at one by one below.
OWN_WORK = {"POST /v1/operations/runs"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("tenants") / "home")
    register_all(made)
    with server_of(made):
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One tenant whose clients, `one` and `two`, each have people of their own."""
    made = make_world(tmp_path_factory.mktemp("clients") / "home", people="client")
    made.register("one", scopes=PEOPLE)
    made.register("two", scopes=PEOPLE)
    made.register("admin", scopes=ALL_SCOPES)
    with server_of(made):
        yield made


@pytest.fixture(scope="module")
def every(world: World) -> list[Operation]:
    with world.client(None) as nobody:
        return list(operations(nobody.get("/openapi.json").json()))


def live(client: httpx.Client, user_id: str) -> dict[str, str]:
    """Let a person of this client act, and return the names of what came of it."""
    attributes = {"attributes": {"diary": SECRET}}
    assert client.put(f"/v1/users/{user_id}", json=attributes).status_code == 200
    events = [
        {
            "type": "like",
            "user_id": user_id,
            "item_id": f"film-{n}",
            "event_id": f"{user_id}-{n}",
            "session_id": SECRET,
            "context": {"said": SECRET},
        }
        for n in (0, 4, 8)
    ]
    answer = client.post("/v1/events/batch", json=events).json()
    assert (answer["accepted"], answer["duplicates"]) == (3, 0), answer
    broken = {"type": "like", "user_id": user_id, "item_id": SECRET}
    rejected = client.post("/v1/events", json=broken)
    assert rejected.status_code == 422
    page = client.get(f"/v1/users/{user_id}/recommendations?limit=5").json()
    assert page["user_id"] == user_id
    return {
        "user_id": user_id,
        "token": page["token"],
        "page": page["next_page"],
        "rejected_id": rejected.json()["rejected_id"],
        "event_id": f"{user_id}-0",
    }


def seen(client: httpx.Client, names: dict[str, str]) -> list[Any]:
    """All that this client can see of its own."""
    user_id, token = names["user_id"], names["token"]
    paths = [
        f"/v1/users/{user_id}",
        f"/v1/users/{user_id}/history?limit=200",
        f"/v1/served/{token}",
        "/v1/items/film-0",
    ]
    answers = [client.get(path) for path in paths]
    assert [one.status_code for one in answers] == [200] * len(paths)
    assert SECRET in answers[0].text
    return [one.json() for one in answers]


def seen_by_admin(admin: httpx.Client) -> list[Any]:
    """What a tenant's admin sees of its clients, models and runs."""
    clients = admin.get("/v1/clients").json()["clients"]
    return [
        [one for one in clients if one["tenant"] == "default"],
        admin.get("/v1/clients/only-read").json(),
        admin.get("/v1/operations/models").json(),
        admin.get("/v1/operations/runs").json(),
        admin.get("/v1/operations/generations").json(),
    ]


def test_no_operation_reaches_another_tenant(world: World, every: list[Operation]) -> None:
    """A rival with all scopes, who knows every name there is, sees none of the content behind
    them and changes nothing."""
    with world.client("admin") as owner, world.client("rival") as rival:
        put = {"kind": "film", "title": f"The {SECRET}", "genres": [SECRET]}
        assert owner.put("/v1/items/secret-item", json=put).status_code == 200
        names = live(owner, "victim") | {
            "item_id": "secret-item",
            "client_id": "only-read",
            "model_id": "model-of-default",
            "kind": "film",
            "key_id": owner.get("/v1/clients/only-read").json()["keys"][0]["key_id"],
        }
        before = seen(owner, names), seen_by_admin(owner)
        for operation in every:
            if operation.scope is None or str(operation) in OWN_WORK:
                continue
            answer = operation.send(rival, names)
            assert answer.status_code < 500, (operation, answer.text)
            assert SECRET not in answer.text, operation
            assert "model-of-default" not in _without_echo(answer), operation
        assert (seen(owner, names), seen_by_admin(owner)) == before
        assert SECRET in owner.get("/v1/items/secret-item").text


def test_no_operation_reaches_another_clients_people(shared: World, every: list[Operation]) -> None:
    """For another client of the tenant the person, the served list and the pages are not there:
    every answer is the one that it gets for names that nobody has."""
    with shared.client("one") as owner, shared.client("two") as other:
        names = live(owner, "victim")
        before = seen(owner, names)
        # of the same length and form, so that answers can be compared
        unknown = {
            "user_id": "nobody",
            "token": names["token"][::-1],
            "page": names["page"].split(".")[0][::-1] + "." + names["page"].split(".")[1],
            "rejected_id": "0" * len(names["rejected_id"]),
            "event_id": "event-9",
        }
        for operation in every:
            if operation.scope not in PEOPLE or "items" in operation.path.split("/")[2]:
                continue  # the catalogue is common
            there = operation.send(other, names | {"item_id": "film-1"})
            nowhere = operation.send(other, unknown | {"item_id": "film-1"})
            assert there.status_code == nowhere.status_code, (operation, there.text, nowhere.text)
            assert SECRET not in there.text, operation
            assert _shape(there) == _shape(nowhere), operation
        assert seen(owner, names) == before


class TestPeopleOfAClient:
    def test_the_same_id_is_two_people(self, shared: World) -> None:
        """With the same event ids, too; each client reads back its own, under the bare id."""
        with shared.client("one") as one, shared.client("two") as two:
            for client, item in ((one, "film-1"), (two, "film-2")):
                event = {"type": "like", "user_id": "7", "item_id": item, "event_id": "e"}
                assert client.post("/v1/events", json=event).json() == {
                    "event_id": "e",
                    "duplicate": False,
                }
                assert client.post("/v1/events", json=event).json()["duplicate"]
            for client, item in ((one, "film-1"), (two, "film-2")):
                answer = client.get("/v1/users/7/history").json()
                assert answer["user_id"] == "7"
                assert [act["item_id"] for act in answer["history"]] == [item]

    def test_pages_and_replays_show_bare_ids(self, shared: World) -> None:
        """No answer names the client, and pages go on for their owner."""
        with shared.client("one") as one, shared.client("two") as two:
            names = live(one, "pager")
            first = one.get("/v1/users/pager/recommendations?limit=5").json()
            following = one.get(first["next"]).json()
            ranks = [place["rank"] for place in first["items"] + following["items"]]
            assert ranks == list(range(1, 11))
            replayed = one.get(f"/v1/served/{first['token']}").json()
            assert replayed["user_id"] == following["user_id"] == "pager"
            assert replayed["items"][:5] == first["items"]
            assert two.get(first["next"]).status_code == 404
            assert two.get(f"/v1/served/{first['token']}").status_code == 404
            shown = json.dumps([first, following, replayed, seen(one, names)])
            assert "one/" not in shown

    def test_a_list_for_nobody_is_its_clients(self, shared: World) -> None:
        """A list made of a history without a name is continued by who asked for it only."""
        with shared.client("one") as one, shared.client("two") as two:
            body = {"history": ["film-1"], "limit": 5}
            made = one.post("/v1/recommendations", json=body).json()
            assert one.get(made["next"]).status_code == 200
            assert two.get(made["next"]).status_code == 404
            assert two.get(f"/v1/served/{made['token']}").status_code == 404

    def test_an_id_cannot_pretend_to_be_anothers(self, shared: World) -> None:
        """`one/7`, sent by `two`, is a person of `two`."""
        with shared.client("one") as one, shared.client("two") as two:
            live(one, "target")
            for name in ("one/target", "../one/target", "one%2Ftarget"):
                path = f"/v1/users/{name.replace('%', '%25').replace('/', '%2F')}"
                assert two.get(f"{path}/history").json()["history"] == []
                assert two.delete(path).json()["removed"]["event_log"] == 0
            assert len(one.get("/v1/users/target/history").json()["history"]) == 3

    def test_erasing_reaches_all_of_ones_own_and_nobody_elses(self, shared: World) -> None:
        """Every store, quarantine included; the namesake stays."""
        with shared.client("one") as one, shared.client("two") as two:
            mine, theirs = live(one, "namesake"), live(two, "namesake")
            before = seen(two, theirs)
            removed = one.delete("/v1/users/namesake").json()["removed"]
            assert removed["event_log"] == 3 + 1  # the rejected one, too
            assert one.get("/v1/users/namesake").status_code == 404
            assert one.get(f"/v1/served/{mine['token']}").status_code == 404
            assert seen(two, theirs) == before
            their_removed = two.delete("/v1/users/namesake").json()["removed"]
            for both in (removed, their_removed):  # the list's record, if it was written already
                assert both.pop("online_state") in {1, 2}
            assert their_removed == removed


def _shape(answer: httpx.Response) -> Any:
    """The answer without what differs between any two: ids of requests, times, tokens, scores."""
    if answer.status_code >= 400:
        return answer.json()["title"]
    body = answer.json() if answer.content else {}
    return sorted(body), len(body.get("items", ())), body.get("level"), body.get("history")


def _without_echo(answer: httpx.Response) -> str:
    """A problem repeats the name that was asked for; nothing else may."""
    return "" if answer.status_code >= 400 else answer.text

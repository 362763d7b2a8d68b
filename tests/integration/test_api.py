"""The API over real SQLite stores, through a real server."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.integration.api_world import BOOKS, FILMS, catalogue, served, train

from nextup.bootstrap import open_platform
from nextup.domain.errors import BackendUnavailable
from nextup.domain.events import START
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer, bind
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.bootstrap import Platform


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[tuple[httpx.Client, Platform]]:
    with served(tmp_path_factory.mktemp("platform")) as (client, platform):
        train(platform, "m1")
        wait_for_model(client, "m1")
        yield client, platform


@pytest.fixture
def client(world) -> httpx.Client:
    return world[0]


@pytest.fixture
def platform(world) -> Platform:
    return world[1]


def wait_for_model(client, model_id) -> None:
    deadline = time.monotonic() + 20
    while client.get("/readyz").json()["model_id"] != model_id:
        assert time.monotonic() < deadline, "the server did not take up the model"
        time.sleep(0.05)


def like(user_id, item_id, **more):
    return {"type": "like", "user_id": user_id, "item_id": item_id} | more


def ids(answer) -> list[str]:
    return [place["item_id"] for place in answer.json()["items"]]


def is_problem(answer, status) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "cure", "request_id"} <= problem.keys()
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


class TestEvents:
    def test_a_like_changes_the_next_answer(self, client):
        """An acknowledged like is in that person's very next answer, with its reason."""
        before = client.get("/v1/users/new/recommendations").json()
        answer = client.post("/v1/events", json=like("new", "film-4"))
        after = client.get("/v1/users/new/recommendations").json()
        assert answer.status_code == 202
        assert answer.json()["duplicate"] is False
        assert before["level"] == "popular"
        assert after["level"] == "fresh"
        assert [place["item_id"] for place in before["items"]] != [
            place["item_id"] for place in after["items"]
        ]
        first = after["items"][0]
        assert first["because"][0] == {"item_id": "film-4", "title": "Title <4>", "share": 1.0}
        assert "taste0" in first["genres"]
        assert "film-4" not in {place["item_id"] for place in after["items"]}

    def test_the_same_event_twice_is_one(self, client, platform):
        """A repeated event_id is acknowledged as a duplicate and not written again."""
        event = like("twice", "film-4", event_id="once-only")
        first = client.post("/v1/events", json=event).json()
        head = platform.event_log.head()
        second = client.post("/v1/events", json=event).json()
        assert (first["duplicate"], second["duplicate"]) == (False, True)
        assert first["event_id"] == second["event_id"] == "once-only"
        assert platform.event_log.head() == head
        assert len(client.get("/v1/users/twice/history").json()["history"]) == 1

    @pytest.mark.parametrize(
        ("record", "rule"),
        [
            (like("u", "no-such-item"), "unknown_item"),
            (like("u", "film-1", value=3), "schema"),
            ({"type": "adore", "user_id": "u", "item_id": "film-1"}, "unknown_type"),
            (
                {"type": "rating", "user_id": "u", "item_id": "film-1", "value": 9},
                "rating_out_of_range",
            ),
            ([], "schema"),
        ],
    )
    def test_a_broken_contract_is_a_422_and_quarantined(self, client, platform, record, rule):
        """The caller hears the rule; the record is kept whole."""
        problem = is_problem(client.post("/v1/events", json=record), 422)
        assert problem["rule"] == rule
        kept = platform.event_log.read_rejected(START, 1000).rows
        assert problem["rejected_id"] in {row.rejected_id for row in kept}

    def test_what_is_not_json_is_quarantined_too(self, client, platform):
        """Bytes that are no JSON at all are a 422 with its rule, and kept."""
        problem = is_problem(client.post("/v1/events", content=b'{"type": "like"'), 422)
        assert problem["rule"] == "not_json"
        kept = platform.event_log.read_rejected(START, 1000).rows
        assert '{"type": "like"' in {row.record for row in kept}

    def test_deep_json(self, client):
        """JSON nested a hundred thousand deep is refused, in both doors."""
        deep = b"[" * 100_000 + b"]" * 100_000
        is_problem(client.post("/v1/events", content=deep), 422)
        is_problem(client.post("/v1/events/batch", content=deep), 422)

    def test_a_batch_keeps_its_good_rows(self, client):
        """One result per row, and the counts add up."""
        rows = [like("b", "film-1", event_id="b1"), {"type": "like"}, like("b", "film-2"), 7]
        rows.append(like("b", "film-1", event_id="b1"))
        answer = client.post("/v1/events/batch", json=rows)
        assert answer.status_code == 202
        body = answer.json()
        assert (body["accepted"], body["duplicates"], body["rejected"]) == (2, 1, 2)
        assert [row["status"] for row in body["rows"]] == [
            "accepted",
            "rejected",
            "accepted",
            "rejected",
            "duplicate",
        ]
        assert body["rows"][1]["rule"] == "schema"
        history = client.get("/v1/users/b/history").json()["history"]
        assert [act["item_id"] for act in history] == ["film-2", "film-1"]

    def test_one_bad_character_spoils_one_row(self, client):
        """A row with half a character goes to quarantine; its neighbours are kept."""
        good = b'{"type": "like", "user_id": "half", "item_id": "film-1"}'
        bad = b'{"type": "like", "user_id": "\\ud800", "item_id": "film-1"}'
        body = b"[" + good + b"," + bad + b"]"
        answer = client.post("/v1/events/batch", content=body).json()
        assert [row["status"] for row in answer["rows"]] == ["accepted", "rejected"]
        assert answer["rows"][1]["rule"] == "bad_encoding"

    def test_a_batch_that_is_none(self, client):
        """A body that is no array, or too long, is refused as a whole."""
        is_problem(client.post("/v1/events/batch", json={"rows": []}), 422)
        is_problem(client.post("/v1/events/batch", json=[7] * 10_001), 422)
        assert client.post("/v1/events/batch", json={"events": []}).json()["rows"] == []

    def test_many_at_once(self, client):
        """Twenty threads post at once; every event counts exactly once."""

        def post(n):
            for item in range(5):
                answer = client.post("/v1/events", json=like(f"crowd-{n}", f"film-{item}"))
                assert answer.status_code == 202

        threads = [threading.Thread(target=post, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for n in range(20):
            history = client.get(f"/v1/users/crowd-{n}/history").json()["history"]
            assert sorted(act["item_id"] for act in history) == [f"film-{i}" for i in range(5)]


class TestLists:
    def test_following_next_shows_everything_once(self, client):
        """The `next` links lead through all items, each once, ranks ascending."""
        client.post("/v1/events", json=like("reader", "film-8"))
        answer = client.get("/v1/users/reader/recommendations", params={"limit": 30})
        found, ranks = [], []
        while True:
            body = answer.json()
            found += [place["item_id"] for place in body["items"]]
            ranks += [place["rank"] for place in body["items"]]
            client.post("/v1/events", json=like("somebody", f"film-{len(found) % 7}"))
            if body["next"] is None:
                break
            answer = client.get(body["next"])
        assert sorted(found) == sorted(
            item.item_id for item in catalogue() if item.item_id != "film-8"
        )
        assert ranks == list(range(1, FILMS + BOOKS))

    def test_filters(self, client):
        """Kind, genre, exclude and pin do what they say."""
        answer = client.get(
            "/v1/users/filters/recommendations",
            params={
                "kind": "book",
                "genre": ["taste1", "taste2"],
                "exclude": "book-61",
                "pin": ["book-98", "film-1"],
            },
        )
        body = answer.json()
        assert body["items"][0]["item_id"] == "book-98"
        assert body["items"][0]["rules"] == ["pinned"]
        for place in body["items"]:
            assert place["kind"] == "book"
            assert {"taste1", "taste2"} & set(place["genres"])
        assert "book-61" not in ids(answer)

    def test_an_anonymous_history(self, client):
        """A history without a name gets a fresh list, and its next page."""
        history = ["film-4", {"item_id": "film-8", "type": "rating", "value": 5}]
        answer = client.post("/v1/recommendations", json={"history": history, "limit": 10})
        body = answer.json()
        assert body["level"] == "fresh"
        assert body["user_id"] == ""
        assert "taste0" in body["items"][0]["genres"]
        second = client.get(body["next"])
        assert second.status_code == 200
        third = client.post(
            "/v1/recommendations", json={"page": second.json()["next_page"], "limit": 10}
        )
        shown = ids(answer) + ids(second) + ids(third)
        assert len(set(shown)) == 30
        assert not {"film-4", "film-8"} & set(shown)

    def test_replay(self, client):
        """What a person saw can be shown again by the list's token."""
        seen = client.get("/v1/users/replay/recommendations", params={"limit": 5}).json()
        client.post("/v1/events", json=like("replay", "film-1"))
        again = client.get(f"/v1/served/{seen['token']}").json()
        assert again["items"][:5] == seen["items"]
        assert again["user_id"] == "replay"

    def test_page_tokens_that_lead_nowhere(self, client):
        """Garbage is a 422, an unknown or another person's list a 404; both say what to do."""
        mine = client.get("/v1/users/mine/recommendations", params={"limit": 5}).json()
        path = "/v1/users/theirs/recommendations"
        assert is_problem(client.get(path, params={"page": "x"}), 422)["cure"]
        assert is_problem(client.get(path, params={"page": mine["next_page"]}), 404)["cure"]
        assert is_problem(client.get("/v1/served/unknown"), 404)["cure"]

    def test_shelves(self, client):
        """Similar, trending and popular answer with the items' details."""
        client.post("/v1/events", json=like("fan", "book-70"))
        similar = client.get("/v1/items/film-4/similar", params={"limit": 5, "kind": "film"})
        assert "taste0" in similar.json()["items"][0]["genres"]
        assert "film-4" not in ids(similar)
        popular = client.get("/v1/popular", params={"limit": 5}).json()
        assert len(popular["items"]) == 5
        assert popular["items"][0]["title"].startswith("Title")
        trending = client.get("/v1/trending", params={"window": 24}).json()
        assert trending["source"] == "trending"
        is_problem(client.get("/v1/trending", params={"window": 10_000}), 422)
        is_problem(client.get("/v1/items/nothing/similar"), 404)


class TestItems:
    def test_put_get_delete(self, client):
        """An item can be put, read, found, and removed; what is gone is a 404."""
        body = {"kind": "film", "title": "Ünïcode & <b>", "year": 2020, "genres": ["all"]}
        put = client.put("/v1/items/fresh-1", json=body)
        assert put.status_code == 200
        assert client.get("/v1/items/fresh-1").json() == put.json()
        found = client.get("/v1/items", params={"q": "ünïcode"}).json()["items"]
        assert [item["item_id"] for item in found] == ["fresh-1"]
        assert client.delete("/v1/items/fresh-1").status_code == 204
        is_problem(client.delete("/v1/items/fresh-1"), 404)
        is_problem(client.get("/v1/items/fresh-1"), 404)

    @pytest.mark.parametrize(
        "attributes",
        [
            b'{"a":' * 500 + b"1" + b"}" * 500,
            b'{"a": NaN}',
            b'{"a": 1e999}',
            b'{"a": ["\\u0000"]}',
            b'{"\\ud800": 1}',
        ],
    )
    def test_attributes_that_cannot_be_kept(self, client, attributes):
        """What could not be given back as it came is refused, and nothing is stored."""
        answer = client.put(
            "/v1/items/poison",
            content=b'{"attributes": ' + attributes + b"}",
            headers={"content-type": "application/json"},
        )
        is_problem(answer, 422)
        is_problem(client.get("/v1/items/poison"), 404)

    def test_withdrawn_at_once(self, client):
        """An item that is made unavailable is not in the next answer."""
        first = client.get("/v1/popular", params={"limit": 1}).json()["items"][0]
        item = client.get(f"/v1/items/{first['item_id']}").json()
        item_id = item.pop("item_id")
        client.put(f"/v1/items/{item_id}", json=item | {"available": False})
        try:
            assert item_id not in ids(client.get("/v1/popular"))
            assert item_id not in ids(client.get("/v1/users/w/recommendations?limit=200"))
        finally:
            client.put(f"/v1/items/{item_id}", json=item)

    def test_a_batch(self, client):
        """Many items at once, each judged by itself: what does not fit is named, and the rest
        is kept."""
        good = [
            {"item_id": f"batch-{n}", "title": f"Batch {n}", "available": False} for n in range(3)
        ]
        bad = [{"item_id": "batch-9", "year": "long ago"}, 7, {"title": "nameless"}]
        answer = client.post("/v1/items/batch", json={"items": [*bad, *good]}).json()
        assert (answer["items"], answer["rejected"]) == (3, 3)
        assert [row["status"] for row in answer["rows"]] == ["rejected"] * 3 + ["kept"] * 3
        assert answer["rows"][0]["reason"].startswith("year: ")
        assert answer["rows"][2]["reason"].startswith("item_id: ")
        assert client.get("/v1/items/batch-2").json()["title"] == "Batch 2"
        is_problem(client.get("/v1/items/batch-9"), 404)
        is_problem(client.post("/v1/items/batch", json={"items": [1] * 10_001}), 422)


class TestEdge:
    def test_unknown_routes_and_methods(self, client):
        """Whatever is asked, the answer is a problem document."""
        is_problem(client.get("/nothing/here"), 404)
        is_problem(client.post("/healthz"), 405)
        is_problem(client.get("/v1/users/u/recommendations", params={"limit": 0}), 422)
        is_problem(client.get("/v1/users/u/recommendations", params={"limit": "many"}), 422)
        is_problem(client.get("/v1/users/a%00b/recommendations"), 422)
        as_json = {"content-type": "application/json"}
        for body in (b"{", b"\xff\xfe", b"[" * 100_000):
            is_problem(client.post("/v1/recommendations", content=body, headers=as_json), 400)
        untyped = is_problem(client.post("/v1/recommendations", content=b"{}"), 422)
        assert "application/json" in untyped["cure"]

    def test_bodies_have_a_limit(self, client, platform):
        """A body over the limit is refused, whether it says its length or not."""
        size = platform.settings.server.max_body_bytes + 1
        is_problem(client.post("/v1/events", content=b" " * size), 413)
        chunks = (b" " * 1_000_000 for _ in range(size // 1_000_000 + 1))
        is_problem(client.post("/v1/events/batch", content=chunks), 413)

    def test_request_ids(self, client):
        """A harmless request id is kept, another one replaced."""
        kept = client.get("/healthz", headers={"x-request-id": "abc-1"})
        assert kept.headers["x-request-id"] == "abc-1"
        replaced = client.get("/healthz", headers={"x-request-id": 'a"b c'})
        assert replaced.headers["x-request-id"] not in {'a"b c', ""}

    def test_health_and_readiness(self, client):
        """Alive; and each backend answers by name."""
        assert client.get("/healthz").json() == {"status": "alive"}
        ready = client.get("/readyz").json()
        assert ready["status"] == "ready"
        assert ready["backends"].keys() == {
            "event_log",
            "catalog",
            "online_state",
            "recommendation_store",
            "control",
            "files",
            "lake",
        }
        assert all(backend["ok"] for backend in ready["backends"].values())

    def test_metrics(self, client):
        """The stable names are there, with routes and not paths as handlers."""
        client.post("/v1/events", json=like("m", "film-1"))
        client.post("/v1/events", json=like("m", "no-such-item"))
        client.get("/v1/users/m/recommendations")
        text = client.get("/metrics").text
        for line in (
            'http_requests_total{handler="/v1/users/{user_id}/recommendations",method="GET",status="200"}',
            'http_request_duration_seconds_bucket{handler="/v1/events",le="0.001",method="POST"}',
            'nextup_events_total{outcome="accepted",type="like"}',
            'nextup_quarantined_total{rule="unknown_item"}',
            'nextup_served_total{level="fresh"}',
            "nextup_freshness_seconds_count",
            "nextup_model_age_seconds 3",
            'nextup_backend_up{port="event_log"} 1.0',
        ):
            assert line in text, line
        assert "no-such" not in text

    def test_the_documentation_needs_nothing_from_elsewhere(self, client):
        """The docs page loads nothing, and every route is on it."""
        page = client.get("/docs")
        assert page.status_code == 200
        assert "http://" not in page.text.replace(str(client.base_url), "")
        assert "https://" not in page.text
        assert "<script" not in page.text
        paths = client.get("/openapi.json").json()["paths"]
        assert {"/v1/events", "/v1/users/{user_id}/recommendations", "/v1/trending"} <= paths.keys()
        for path in paths:
            assert path in page.text

    def test_errors_are_described_as_they_are_sent(self, client):
        """The OpenAPI document gives each error the media type of problem documents."""
        paths = client.get("/openapi.json").json()["paths"]
        described = [
            (status, list(answer["content"]))
            for path, methods in paths.items()
            for operation in methods.values()
            for status, answer in operation["responses"].items()
            if status >= "400" and path != "/readyz"
        ]
        assert len(described) > 30
        assert {media for _, kinds in described for media in kinds} == {"application/problem+json"}


class TestModels:
    def test_promotion_and_rollback_without_a_restart(self, client, platform):
        """Another model is taken up by the running server; a served list goes on meanwhile; a
        model that cannot be loaded leaves the old one in service, and is reported."""
        first = client.get("/v1/users/swap/recommendations", params={"limit": 10})
        train(platform, "m2", seed=2)
        wait_for_model(client, "m2")
        second = client.get(first.json()["next"])
        assert not set(ids(first)) & set(ids(second))
        assert second.json()["model_id"] == "m1"

        (platform.files.local_path("models/m1/model.json")).write_text("damaged")
        platform.control.set_current_model("m1")
        deadline = time.monotonic() + 20
        while not (report := client.get("/readyz").json())["model_failure"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert report["model_id"] == "m2"
        assert "m1" in report["model_failure"]
        assert client.get("/v1/users/swap/recommendations").json()["model_id"] == "m2"
        train(platform, "m1")
        wait_for_model(client, "m1")


class TestServer:
    def test_another_port_when_taken(self):
        """A taken port is stepped over."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with bind("127.0.0.1", port) as other:
                assert other.getsockname()[1] != port

    def test_events_from_another_process_count(self, client, platform):
        """What was appended to the log behind the server's back counts within moments."""
        from nextup.services.contracts import EventContract
        from nextup.services.recommend import utc_now

        contract = EventContract(platform.settings.contracts, platform.catalog, utc_now)
        platform.event_log.append([contract.check(like("behind", "film-4"), "test")])
        deadline = time.monotonic() + 20
        while not client.get("/v1/users/behind/history").json()["history"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def test_without_a_model(self, tmp_path):
        """A platform that has never trained answers all the same, and says what is missing."""
        with served(tmp_path) as (client, _):
            client.post("/v1/events", json=like("a", "film-9"))
            deadline = time.monotonic() + 20  # what trends is read every second or so
            while (body := client.get("/v1/users/b/recommendations").json())["level"] == "popular":
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert body["level"] == "trending"
            assert body["items"][0]["item_id"] == "film-9"
            assert body["missing"] == ["model"]
            assert client.get("/v1/items/film-4/similar").json()["source"] == "genres"
            assert client.get("/readyz").json()["status"] == "ready"


class Breakable:
    """A real platform whose ports can be taken down while the server runs."""

    def __init__(self, platform) -> None:
        self._platform = platform
        self.down: set[str] = set()

    def __getattr__(self, port):
        real = getattr(self._platform, port)
        return real if port == "settings" else BreakablePort(self, port, real)


class BreakablePort:
    def __init__(self, world, port, real) -> None:
        self._world, self._port, self._real = world, port, real

    def __getattr__(self, name):
        if self._port in self._world.down:
            raise BackendUnavailable(f"{self._port} does not answer.", cure="Start it.")
        return getattr(self._real, name)


class TestDown:
    @pytest.fixture
    def breakable(self, tmp_path):
        with open_platform(load_settings(tmp_path)) as platform:
            platform.catalog.put_items(catalogue())
            train(platform, "m1")
            world = Breakable(platform)
            with (
                ApiServer(create_app(world), host="127.0.0.1", port=0) as server,
                httpx.Client(base_url=server.url, timeout=30) as client,
            ):
                yield client, world

    def test_each_backend_in_turn(self, breakable):
        """Whichever backend is down, a list is answered or a 503 says what to do; readiness
        names it; and all is well when it is back."""
        client, world = breakable
        client.post("/v1/events", json=like("u", "film-4"))
        page = client.get("/v1/users/u/recommendations", params={"limit": 5}).json()
        for port in ("event_log", "catalog", "online_state", "recommendation_store", "control"):
            world.down = {port}
            answer = client.get("/v1/users/u/recommendations")
            assert answer.status_code == 200, port
            assert answer.json()["items"], port
            ready = client.get("/readyz")
            assert ready.json()["backends"][port]["ok"] is False
            assert ready.status_code == (503 if port in {"event_log", "catalog"} else 200)
        world.down = {"event_log"}
        problem = is_problem(client.post("/v1/events", json=like("u", "film-8")), 503)
        assert problem["cure"] == "Start it."
        world.down = {"online_state"}
        assert client.post("/v1/events", json=like("u", "film-12")).status_code == 202
        assert client.get("/v1/users/u/recommendations").json()["missing"] == ["online_state"]
        is_problem(client.get(page["next"]), 503)
        is_problem(client.get("/v1/users/u/history"), 503)
        world.down = set()
        assert client.get("/readyz").json()["status"] == "ready"
        assert client.get(page["next"]).status_code == 200
        deadline = time.monotonic() + 20
        while len(client.get("/v1/users/u/history").json()["history"]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)

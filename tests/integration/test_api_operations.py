"""The operations routes, re-ranking, people, and what watches them, through a real server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.integration.api_world import served, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from nextup.bootstrap import Platform

OPEN = {"auth": "none"}
ROOT = "/v1/operations"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[tuple[httpx.Client, Platform]]:
    with served(tmp_path_factory.mktemp("operated"), access=OPEN) as (client, platform):
        train(platform, "m1")
        train(platform, "m2", seed=2)
        until(lambda: client.get("/readyz").json()["model_id"] == "m2")
        yield client, platform


@pytest.fixture
def client(world) -> httpx.Client:
    return world[0]


@pytest.fixture
def platform(world) -> Platform:
    return world[1]


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def send(client, user_id, item_id, kind="like", **more):
    body = {"type": kind, "user_id": user_id, "item_id": item_id} | more
    answer = client.post("/v1/events", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


class TestModels:
    def test_promote_and_roll_back(self, client):
        """A rollback goes to the model before, a promotion back again, and servers follow."""
        models = client.get(f"{ROOT}/models").json()
        assert (models["current"], models["previous"]) == ("m2", ["m1"])
        assert [model["in_service"] for model in models["models"]] == [True, False]
        back = client.post(f"{ROOT}/rollback", params={"expected": "m2"})
        assert back.json()["model_id"] == "m1"
        until(lambda: client.get("/readyz").json()["model_id"] == "m1")
        again = client.post(f"{ROOT}/rollback", params={"expected": "m2"})
        assert again.status_code == 409
        assert client.post(f"{ROOT}/rollback").status_code == 409
        assert client.post(f"{ROOT}/models/m2/promote").json()["in_service"] is True
        until(lambda: client.get("/readyz").json()["model_id"] == "m2")
        assert client.post(f"{ROOT}/models/nothing/promote").status_code == 404
        assert client.get(f"{ROOT}/models/nothing").status_code == 404

    def test_pages_of_models(self, client):
        """A page's cursor leads to the next one; a strange cursor is refused."""
        first = client.get(f"{ROOT}/models", params={"limit": 1}).json()
        rest = client.get(f"{ROOT}/models", params={"cursor": first["next_cursor"]}).json()
        assert [model["model_id"] for model in first["models"] + rest["models"]] == ["m2", "m1"]
        assert rest["next_cursor"] is None
        assert client.get(f"{ROOT}/models", params={"cursor": "%%%"}).status_code == 422
        assert client.get(f"{ROOT}/models", params={"cursor": "MTI"}).status_code == 422


class TestWhatIf:
    def test_sources_add_up_to_the_list(self, client):
        """The parts of the sources' candidates are those of the places of the list."""
        send(client, "whatif", "film-3")
        body = {"user_id": "whatif", "limit": 5, "diversity": 0, "compare": "previous"}
        found = client.post(f"{ROOT}/what-if", json=body).json()
        first = found["list"]["items"][0]
        for source in found["list"]["sources"]:
            parts = {one["item_id"]: one["part"] for one in source["candidates"]}
            if first["item_id"] in parts:
                part = first["sources"][source["source"]]
                assert parts[first["item_id"]] == pytest.approx(part, rel=1e-3)
        assert sum(first["sources"].values()) == pytest.approx(first["score"])
        assert found["list"]["history"] == ["film-3"]
        assert found["list"]["model_id"] == "m2"
        assert found["compared"]["model_id"] == "m1"
        served_list = client.get("/v1/users/whatif/recommendations?limit=5&diversity=0").json()
        assert [place["item_id"] for place in served_list["items"]] == [
            place["item_id"] for place in found["list"]["items"]
        ]

    def test_as_of(self, client):
        """What came later is not known; the list of then comes back."""
        send(client, "past", "film-1", occurred_at="2026-01-05T00:00:00Z")
        send(client, "past", "film-2", occurred_at="2026-02-05T00:00:00Z")
        body = {"user_id": "past", "as_of": "2026-01-10T00:00:00Z"}
        then = client.post(f"{ROOT}/what-if", json=body).json()["list"]
        assert then["history"] == ["film-1"]
        now = client.post(f"{ROOT}/what-if", json={"user_id": "past"}).json()["list"]
        assert now["history"] == ["film-1", "film-2"]
        future = body | {"as_of": "2999-01-01T00:00:00Z"}
        assert client.post(f"{ROOT}/what-if", json=future).status_code == 422

    def test_without_the_reason_the_place_is_another(self, client):
        """Removing the item that a place is owed to changes the place, and only then."""
        rest = ["film-2", "film-6", "film-10"]
        history = ["film-1", *rest]
        wish = {"limit": 20, "diversity": 0}
        full = client.post("/v1/recommendations", json=wish | {"history": history}).json()
        owed = next(
            place
            for place in full["items"]
            if place["because"]
            and place["because"][0]["item_id"] == "film-1"
            and place["because"][0]["share"] > 0.5
        )
        without = client.post("/v1/recommendations", json=wish | {"history": rest}).json()
        ranks = {place["item_id"]: place["rank"] for place in without["items"]}
        assert ranks.get(owed["item_id"], 999) > owed["rank"]


class TestRerank:
    def test_everything_comes_back_or_is_accounted_for(self, client):
        """What no rule keeps out is in the answer once; the rest is named with its rule."""
        send(client, "rerank", "film-1")
        send(client, "rerank", "film-9", "dismiss")
        brought = ["film-2", "film-5", "film-1", "film-9", "nobody", "book-61", "film-5"]
        answer = client.post("/v1/rerank", json={"user_id": "rerank", "items": brought}).json()
        ranked = [place["item_id"] for place in answer["items"]]
        assert sorted(ranked) == ["book-61", "film-1", "film-2", "film-5"]
        assert ranked.index("film-5") < ranked.index("film-2")  # the taste of film-1
        assert {one["item_id"]: one["rule"] for one in answer["left_out"]} == {
            "film-9": "dismissed",
            "nobody": "unknown",
        }
        assert client.get(f"/v1/served/{answer['token']}").status_code == 200

    def test_rules_and_filters(self, client):
        """The same words as for our own lists."""
        wish = {
            "history": ["film-1"],
            "items": ["film-1", "film-2", "film-5", "book-61", "film-20"],
            "drop_seen": True,
            "filter": "year < 1961",
            "exclude": ["film-2"],
            "pin": ["film-20"],
        }
        answer = client.post("/v1/rerank", json=wish).json()
        assert [place["item_id"] for place in answer["items"]] == ["film-20", "film-5"]
        assert {one["item_id"]: one["rule"] for one in answer["left_out"]} == {
            "film-1": "seen",
            "film-2": "excluded",
            "book-61": "filter",
        }

    def test_the_callers_opinion(self, client):
        """With weight enough the caller's scores decide; without scores, their order."""
        items = ["film-2", "film-5", "film-3"]
        heavy = {"history": ["film-1"], "items": items, "weight": 100, "diversity": 0}
        ids = [place["item_id"] for place in client.post("/v1/rerank", json=heavy).json()["items"]]
        assert ids == items
        scored = [{"item_id": one, "score": at} for at, one in enumerate(items)]
        answer = client.post("/v1/rerank", json=heavy | {"items": scored}).json()
        assert [place["item_id"] for place in answer["items"]] == items[::-1]
        assert answer["items"][0]["source"] == "caller"


class TestPeople:
    def test_attributes(self, client):
        """Attributes are kept, replaced and removed; what a person did stays."""
        assert client.get("/v1/users/ann").status_code == 404
        put = client.put("/v1/users/ann", json={"attributes": {"country": "FR"}})
        assert put.json()["attributes"] == {"country": "FR"}
        send(client, "ann", "film-1")
        assert client.get("/v1/users/ann").json()["touches"] == 1
        assert client.delete("/v1/users/ann/attributes").status_code == 204
        assert client.delete("/v1/users/ann/attributes").status_code == 404
        assert client.get("/v1/users/ann").json()["attributes"] == {}

    def test_history_in_pages(self, client):
        """Pages of a history repeat nothing and skip nothing, whatever is done meanwhile."""
        for number in range(5):
            send(client, "leafing", f"film-{number}", "view")
        first = client.get("/v1/users/leafing/history", params={"limit": 2}).json()
        send(client, "leafing", "film-40")
        rest = client.get(first["next"].replace("limit=2", "limit=10")).json()
        seen = [act["item_id"] for act in first["history"] + rest["history"]]
        assert seen == [f"film-{number}" for number in (4, 3, 2, 1, 0)]
        likes = client.get("/v1/users/leafing/history", params={"type": "like"}).json()
        assert [act["item_id"] for act in likes["history"]] == ["film-40"]

    def test_erasing(self, client):
        """A forgotten person is unknown; the receipt counts what was removed."""
        send(client, "gone/é", "film-1")
        token = client.get("/v1/users/gone%2F%C3%A9/recommendations").json()["token"]
        receipt = client.delete("/v1/users/gone%2F%C3%A9").json()
        assert receipt["removed"]["event_log"] == 1
        assert client.get("/v1/users/gone%2F%C3%A9").status_code == 404
        assert client.get(f"/v1/served/{token}").status_code == 404
        assert sum(client.delete("/v1/users/gone%2F%C3%A9").json()["removed"].values()) == 0


class TestQuarantineAndRuns:
    def test_a_record_from_quarantine_to_the_log(self, client):
        """Broken records are browsed by rule in pages, and count once a fix made them valid."""
        for number in range(3):
            body = {"type": "like", "user_id": "q", "item_id": f"later-{number}"}
            assert client.post("/v1/events", json=body).status_code == 422
        run = client.post(f"{ROOT}/runs", json={"last": "features"})
        assert run.status_code == 202, run.text
        run_id = run.json()["run_id"]
        until(lambda: client.get(f"{ROOT}/runs/{run_id}").json()["outcome"] != "running")
        done = client.get(f"{ROOT}/runs/{run_id}").json()
        assert [step["outcome"] for step in done["steps"]] == ["succeeded"] * 3
        assert client.post(f"{ROOT}/runs/{run_id}/cancel").status_code == 409
        asked = {"rule": "unknown_item", "limit": 2}
        first = client.get(f"{ROOT}/quarantine", params=asked).json()
        rest = client.get(
            f"{ROOT}/quarantine", params=asked | {"cursor": first["next_cursor"]}
        ).json()
        records = first["records"] + rest["records"]
        assert len({one["rejected_id"] for one in records}) == first["total"] == 3
        assert rest["next_cursor"] is None
        one = records[0]
        assert client.get(f"{ROOT}/quarantine/{one['rejected_id']}").json() == one
        assert client.get(f"{ROOT}/quarantine/nothing").status_code == 404
        assert client.post(f"{ROOT}/quarantine/readmit", json={}).status_code == 422
        client.put("/v1/items/later-1", json={})
        readmit = client.post(f"{ROOT}/quarantine/readmit", json={"all": True}).json()
        assert (readmit["readmitted"], readmit["still_broken"]) == (1, {"unknown_item": 2})
        until(lambda: client.get("/v1/users/q/history").json()["history"] != [])

    def test_wrong_runs(self, client):
        """Steps that are none, and runs that never were."""
        assert client.post(f"{ROOT}/runs", json={"first": "dance"}).status_code == 422
        assert client.get(f"{ROOT}/runs/nothing").status_code == 404
        assert client.post(f"{ROOT}/runs/nothing/cancel").status_code == 404

    def test_a_run_elsewhere_stands_in_the_way(self, client, platform):
        """While somebody holds the pipeline's lock, a start is a conflict, not a second run."""
        with platform.control.lock("pipeline"):
            assert client.post(f"{ROOT}/runs", json={}).status_code == 409
            assert client.delete("/v1/users/whoever").status_code == 409


class TestWatching:
    def test_freshness_and_lake(self, client):
        """Every reader of the log is named; every table is described, written or not."""
        found = client.get(f"{ROOT}/freshness").json()
        assert {lag["group"] for lag in found["lags"]} == {"online", "lake", "silver"}
        assert found["model_id"] == "m2"
        tables = {table["table"]: table for table in client.get(f"{ROOT}/lake").json()["tables"]}
        assert "bronze.events" in tables
        assert tables["gold.trending"]["columns"]

    def test_backends(self, client):
        """The doctor, over HTTP."""
        found = client.get(f"{ROOT}/backends").json()
        assert found["healthy"] is True
        assert {"event_log", "lake", "engine"} <= {one["port"] for one in found["backends"]}

    def test_stats_and_clicks(self, client):
        """Events, lists and clicks of the last minute; a click counts for the source of its
        place."""
        send(client, "clicker", "film-1")
        page = client.get("/v1/users/clicker/recommendations?limit=1").json()
        place = page["items"][0]
        send(client, "clicker", place["item_id"], "click", recommendation_id=page["token"])
        name = f'nextup_clicks_total{{source="{place["source"]}"}} '
        until(lambda: name in client.get("/metrics").text)
        stats = client.get(f"{ROOT}/stats", params={"seconds": 300}).json()
        assert stats["events"]["accepted"] >= 2
        assert stats["served"]["fresh"] >= 1
        assert stats["clicks"][place["source"]] >= 1
        assert stats["latency_seconds"]["p50"] is not None
        assert sum(point["events"] for point in stats["series"]) == sum(stats["events"].values())

    def test_metrics_have_their_names(self, client):
        """Dashboards and alerts rely on these."""
        wanted = (
            'nextup_backend_up{port="lake"} 1.0',
            'nextup_consumer_lag{group="online"}',
            'nextup_lake_bytes{table="bronze.events"}',
            "nextup_generation_age_seconds",
            "nextup_list_coverage_ratio",
            "process_resident_memory_bytes",
        )
        send(client, "measured", "film-1")
        client.post(f"{ROOT}/runs", json={"last": "refine"})
        until(lambda: client.get(f"{ROOT}/runs?limit=1").json()["runs"][0]["outcome"] != "running")
        until(lambda: all(name in client.get("/metrics").text for name in wanted))


class TestEdges:
    def test_ids_of_anything(self, client):
        """An id may hold slashes, dots, spaces, percent signs and any script."""
        for item_id in ("a/b", "/", "a%2Fb", "日本 語", "x/similar", "..%", "a?b#c", "a+b"):
            path = f"/v1/items/{quoted(item_id)}"
            assert client.put(path, json={"title": item_id}).json()["item_id"] == item_id
            assert client.get(path).json()["title"] == item_id
            assert client.delete(path).status_code == 204
            missing = client.get(path)
            assert missing.status_code == 404
            assert item_id in missing.json()["detail"]

    def test_unchanged_answers_do_not_travel(self, client):
        """With the tag of the last answer there is a 304, until something changes."""
        path = "/v1/items/film-1"
        answer = client.get(path)
        tag = {"if-none-match": answer.headers["etag"]}
        unchanged = client.get(path, headers=tag)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        item = answer.json()
        item.pop("item_id")
        client.put(path, json=item | {"year": 1901, "keywords": ["changed"]})
        assert client.get(path, headers=tag).status_code == 200

    def test_large_answers_are_compressed(self, client):
        """For those who accept it; small ones never are."""
        large = client.get("/openapi.json", headers={"accept-encoding": "gzip"})
        assert large.headers["content-encoding"] == "gzip"
        assert large.json()["openapi"]
        plain = client.get("/openapi.json", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        small = client.get("/v1/items/film-1", headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in small.headers

    def test_idempotency_keys(self, client):
        """A request with the same key and content counts once, another one for itself."""
        body = {"type": "view", "user_id": "twice", "item_id": "film-1"}
        headers = {"idempotency-key": "k-1"}
        first = client.post("/v1/events", json=body, headers=headers).json()
        second = client.post("/v1/events", json=body, headers=headers).json()
        assert (first["duplicate"], second["duplicate"]) == (False, True)
        assert first["event_id"] == second["event_id"]
        batch = [body, body]
        one = client.post("/v1/events/batch", json=batch, headers=headers).json()
        two = client.post("/v1/events/batch", json=batch, headers=headers).json()
        assert (one["accepted"], one["duplicates"]) == (1, 1)  # its first row is the event above
        assert (two["accepted"], two["duplicates"]) == (0, 2)
        other = client.post("/v1/events", json=body, headers={"idempotency-key": "k-2"}).json()
        assert other["duplicate"] is False

    def test_filters_say_where_they_are_wrong(self, client):
        """On every route that takes a filter."""
        for path in ("/v1/items", "/v1/popular", "/v1/trending", "/v1/items/film-1/similar"):
            answer = client.get(path, params={"filter": "year >> 1"})
            assert answer.status_code == 422
            assert "position 7" in answer.json()["detail"]
        answer = client.get("/v1/users/u/recommendations", params={"filter": "year >"})
        assert answer.status_code == 422

    def test_filters_hold_over_pages(self, client):
        """Every page of a filtered list fulfils the filter, and no item comes twice."""
        send(client, "filtering", "film-1")
        asked = {"filter": 'genre = "taste1" and year < 1980', "limit": 5}
        page = client.get("/v1/users/filtering/recommendations", params=asked).json()
        seen = []
        while True:
            seen += [(place["item_id"], place["year"]) for place in page["items"]]
            if page["next"] is None:
                break
            page = client.get(page["next"]).json()
        assert len(seen) == len(set(seen)) == 19  # 20 of the taste, one of them seen
        assert all(year < 1980 and int(item.split("-")[1]) % 4 == 1 for item, year in seen)


def test_browsers_of_other_origins(tmp_path) -> None:
    """Pages of the origins in the settings may call, and no others."""
    wanted = {"cors_origins": ["https://shop.example"]}
    with served(tmp_path, access=OPEN, server=wanted) as (client, _):
        ours = client.get("/v1/popular", headers={"origin": "https://shop.example"})
        assert ours.headers["access-control-allow-origin"] == "https://shop.example"
        theirs = client.get("/v1/popular", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in theirs.headers


def quoted(item_id: str) -> str:
    from urllib.parse import quote

    return quote(item_id, safe="")

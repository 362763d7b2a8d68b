"""The recipe `platform-api`, from its daily files to the answers of its API, on PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.integration.test_airflow import NEXTUP, airflow, in_airflow, look  # noqa: F401
from tests.recipes.platform_world import (
    FIRST,
    PASSWORD,
    SECOND,
    Deployment,
    assert_mirrors,
    films,
    registered,
    serving,
    write_movies,
)

from nextup.domain.items import Item
from nextup.recipes.pipelines import pipelines_of
from nextup.services.artifacts import load_artifact

if TYPE_CHECKING:
    pass


def folded_in(shop: Deployment, stored: str) -> Any:
    """The vector that serving works with: the model's fold-in of the live history."""
    from nextup.services.recommending.history import in_rows, weigh
    from nextup.services.serving_model import build_serving_model

    with shop.opened() as platform:
        artifact = load_artifact(platform.files, platform.control.current_model() or "")
        model = build_serving_model(artifact, platform.catalog.all_items())
        touches = platform.online_state.history(stored)
        past = weigh(touches, platform.settings, datetime.now(UTC))
        return artifact.components["als"].user_vector(in_rows(model, past))  # type: ignore[attr-defined]


def test_names(shop: Deployment) -> None:
    """Tables and columns, DAGs and their times, are called what people rely on."""
    columns = shop.rows(
        "SELECT table_name, column_name, udt_name FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
    )
    assert columns == [
        ("clients", "client_id", "text"),
        ("clients", "password_hash", "text"),
        ("clients", "created_at", "timestamptz"),
        ("movies", "movie_id", "text"),
        ("movies", "title", "text"),
        ("movies", "genres", "_text"),
        ("movies", "year", "int4"),
        ("movies_users_rating", "client_id", "text"),
        ("movies_users_rating", "user_id", "text"),
        ("movies_users_rating", "movie_id", "text"),
        ("movies_users_rating", "rating", "float8"),
        ("movies_users_rating", "rated_at", "timestamptz"),
        ("users", "client_id", "text"),
        ("users", "user_id", "text"),
        ("users", "vector", "_float4"),
        ("users", "updated_at", "timestamptz"),
    ]
    pipelines = {one.name: one for one in pipelines_of(shop.settings())}
    inject, train, backup = (
        pipelines[name] for name in ("inject-data", "train-model", "backup-db")
    )
    assert inject.at == "07:00"
    assert inject.step_names == [
        "fetch_simulation_data",
        "build_user_vectors",
        "inject_into_database",
    ]
    assert train.after == inject.steps[-1].makes
    assert inject.within_minutes + train.within_minutes <= 60  # done by 08:00
    assert backup.at == "06:00"


def test_the_first_day(shop: Deployment) -> None:
    """From files to tables, models and experiments; each person has the vector that serving
    makes of them."""
    data = shop.home / "data"
    dropped = {file.name for file in shop.inbox.glob("*-2026-03-*")}
    assert dropped <= {file.name for file in (data / "raw" / str(FIRST)).iterdir()}
    listed = list(csv.DictReader(io.StringIO(shop.listed_first)))
    assert {row["movie_id"]: row["title"] for row in listed} == {
        film.item_id: film.title for film in films()
    }
    assert {row[0] for row in shop.rows("SELECT movie_id FROM movies")} >= {
        film.item_id for film in films()
    }
    assert shop.not_injected(FIRST) == {}

    lines = [
        json.loads(line)
        for file in shop.inbox.glob("events-2026-03-*.jsonl")
        for line in file.read_text().splitlines()
    ]
    people = {line["user_id"] for line in lines}
    assert {row[0] for row in shop.rows("SELECT user_id FROM users")} >= people
    rated = {
        (line["user_id"], line["item_id"]) for line in lines if line["type"] in {"rating", "like"}
    }
    found = shop.rows("SELECT user_id, movie_id FROM movies_users_rating")
    assert set(found) >= rated

    vectors = shop.rows("SELECT client_id, user_id, vector FROM users ORDER BY user_id LIMIT 5")
    for client_id, user_id, vector in vectors:
        expected = folded_in(shop, f"{client_id}/{user_id}")
        np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)
        assert np.linalg.norm(expected) > 0

    models = {folder.name for folder in (shop.home / "models" / "models").iterdir()}
    from mlflow import MlflowClient

    tracker = f"sqlite:///{shop.home}/models/experience/mlflow.db"
    client = MlflowClient(tracker, tracker)
    experiment = client.get_experiment_by_name("experience")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["nextup.model_id"] for run in runs} == models


def test_a_client_asks(shop: Deployment) -> None:
    """A history alone mints a user, is kept, and answered for; tables have it when it is answered,
    and the vector is that of the answer."""
    liked, rated = films()[0].item_id, films()[1].item_id
    with serving(shop) as client:
        cinema = registered(client, "cinema")
        wish = {"history": [liked, {"movie_id": rated, "rating": 4.5}], "limit": 5}
        answer = client.post("/recommendations", json=wish, headers=cinema).json()
        user_id = answer["user_id"]
        assert len(answer["recommendations"]) == 5
        assert {"movie_id", "title", "genres", "score"} == answer["recommendations"][0].keys()
        query = (
            "SELECT movie_id, rating FROM movies_users_rating WHERE client_id = %s AND user_id = %s"
        )
        assert set(shop.rows(query, "cinema", user_id)) == {(liked, None), (rated, 4.5)}
        ((vector,),) = shop.rows(
            "SELECT vector FROM users WHERE client_id = %s AND user_id = %s", "cinema", user_id
        )
        expected = folded_in(shop, f"cinema/{user_id}")
        np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)
        again = client.post("/recommendations", json={"user_id": user_id}, headers=cinema).json()
        assert {liked, rated}.isdisjoint(film["movie_id"] for film in again["recommendations"])
        known = client.post("/recommendations", json={**wish, "user_id": "7"}, headers=cinema)
        assert known.json()["user_id"] == "7"
        assert "http_requests_total" in client.get("/metrics").text
    ((password_hash,),) = shop.rows("SELECT password_hash FROM clients WHERE client_id = 'cinema'")
    assert password_hash.startswith("$argon2")
    assert PASSWORD not in password_hash


def test_whom_nobody_knows(shop: Deployment) -> None:
    """Gets the popular list under the id that was asked for; nobody asks for nobody."""
    with serving(shop) as client:
        stranger = registered(client, "stranger")
        answer = client.post("/recommendations", json={"user_id": "new"}, headers=stranger).json()
        assert answer["user_id"] == "new"
        popular = client.get("/v1/popular", params={"limit": 10}, headers=stranger).json()
        best = [item["item_id"] for item in popular["items"]]
        assert {film["movie_id"] for film in answer["recommendations"]} <= {
            film.item_id for film in films()
        }
        assert answer["recommendations"][0]["movie_id"] == best[0]
        for nobody in ({}, {"history": []}):
            refused = client.post("/recommendations", json=nobody, headers=stranger)
            assert refused.status_code == 422
            assert "Neither" in refused.json()["detail"]
    assert shop.rows("SELECT count(*) FROM users WHERE client_id = 'stranger'") == [(0,)]


def test_people_are_the_clients_own(shop: Deployment) -> None:
    """User 7 of one client is not user 7 of another, in the tables and in the answers."""
    with serving(shop) as client:
        one, other = registered(client, "one"), registered(client, "other")
        wish = {"user_id": "7", "history": [films()[0].item_id]}
        client.post("/recommendations", json=wish, headers=one)
        history = client.get("/v1/users/7/history", headers=other).json()["history"]
        assert history == []
    query = "SELECT client_id FROM users WHERE user_id = '7' AND client_id IN ('one', 'other')"
    found = shop.rows(query)
    assert found == [("one",)]


@pytest.mark.parametrize(
    "entry", ["no such film", {"movie_id": "1", "rating": 9}, {"movie_id": "film", "stars": 3}, ""]
)
def test_a_history_that_does_not_fit(shop: Deployment, entry: object) -> None:
    """422 with the reason, and nothing of it is kept, not even what fits."""
    name = f"clumsy{abs(hash(str(entry))) % 1_000_000}"
    with serving(shop) as client:
        clumsy = registered(client, name)
        wish = {"user_id": "1", "history": [films()[0].item_id, entry]}
        answer = client.post("/recommendations", json=wish, headers=clumsy)
        assert answer.status_code == 422
        assert answer.json()["detail"]
    assert shop.rows("SELECT count(*) FROM users WHERE client_id = %s", name) == [(0,)]


def test_credentials(shop: Deployment) -> None:
    """201, then 409; weak 422; closed to strangers unless the settings open it; wrong 401; too
    many 429."""
    body = {"client_id": "kino", "password": PASSWORD}
    with serving(shop, logins_per_minute=4) as client:
        statuses = [
            client.post("/create-client", json=one).status_code
            for one in (body, body, {**body, "client_id": "weak", "password": "1234"})
        ]
        assert statuses == [201, 409, 422]
        given = client.post("/token", json=body).json()
        assert given.keys() >= {"access_token", "token_type", "expires_in"}
        assert given["token_type"] == "bearer"
        wrong = client.post("/token", json={**body, "password": "something else entirely"})
        assert wrong.status_code == 401
        assert client.post("/recommendations", json={"user_id": "1"}).status_code == 401
        more = [client.post("/create-client", json=body).status_code for _ in range(4)]
        assert more[-1] == 429
    with serving(shop, registration="closed") as client:
        assert client.post("/create-client", json=body).status_code == 401


@pytest.fixture(scope="module")
def after(shop: Deployment) -> dict[str, Any]:
    """What was there before, and what the runs of the day counted."""
    before = {
        "tables": shop.tables(),
        "model": shop.rows("SELECT model_id FROM platform.models_in_service"),
    }
    new = Item("film:the-new-one", "film", "The New One, at Last", 2026, ("Drama", "Comedy"))
    again = replace(films()[0], title="Another Title")
    write_movies(shop.inbox / f"movies-{SECOND}.csv", [new, again])
    ratings = [
        ("user_id", "movie_id", "rating", "timestamp"),
        ("ada", "film:the-new-one", "5", "1775041200"),
        ("ada", films()[2].item_id, "4", "1775041201"),
        ("bob", films()[3].item_id, "1.5", "2026-04-01T12:00:00+00:00"),
        ("bob", films()[3].item_id, "2.5", "2026-04-01T11:00:00+00:00"),
    ]
    with (shop.inbox / f"ratings-{SECOND}.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(ratings)
    poison = [
        b'{"type": "like", "user_id": "eve", "item_id": "no such film"}',
        b"\xff\xfe not text",
        b'{"type": "rating", "user_id": "eve", "item_id": "film:the-new-one", "value": 9}',
        b'{"type": "like", "user_id": "eve", "item_id": "film:the-new-one", "client_id": "x"}',
        b'["a list"]',
        b'{"type": "like", "user_id": "eve", "item_id": "film:the-new-one"}',
    ]
    (shop.inbox / f"events-{SECOND}.jsonl").write_bytes(b"\n".join(poison))
    (shop.inbox / f"odd-{SECOND}.csv").write_bytes(b"a,b\n1,2\n")
    (shop.inbox / f"picture-{SECOND}.png").write_bytes(bytes(range(256)))
    (shop.inbox / f"events-{SECOND + timedelta(days=1)}.jsonl").write_bytes(b"tomorrow's")
    inject = shop.run("inject-data", SECOND)
    train = shop.run("train-model", SECOND)
    return before | {"inject": inject.steps[-1].counts, "train": train}


class TestSecondDay:
    """Its files lie on top of the first day's; some of them are poisoned."""

    def test_what_could_be_injected(self, shop: Deployment, after: dict[str, Any]) -> None:
        """Is: films anew and changed, ratings of which the last counts, one good event."""
        assert after["inject"]["films"] == 2
        assert after["inject"]["events"] == 5
        assert shop.rows(
            "SELECT title, genres, year FROM movies WHERE movie_id = %s", "film:the-new-one"
        ) == [("The New One, at Last", ["Drama", "Comedy"], 2026)]
        assert shop.rows("SELECT title FROM movies WHERE movie_id = %s", films()[0].item_id) == [
            ("Another Title",)
        ]
        found = shop.rows(
            "SELECT user_id, movie_id, rating FROM movies_users_rating "
            "WHERE user_id IN ('ada', 'bob', 'eve') ORDER BY 1, 2"
        )
        assert found == sorted(
            [
                ("ada", "film:the-new-one", 5.0),
                ("ada", films()[2].item_id, 4.0),
                ("bob", films()[3].item_id, 1.5),
                ("eve", "film:the-new-one", None),
            ]
        )
        movies = (shop.home / "data" / "external" / "movies.csv").read_text()
        assert 'film:the-new-one,"The New One, at Last",Drama|Comedy,2026' in movies

    def test_what_could_not(self, shop: Deployment, after: dict[str, Any]) -> None:
        """Is kept, row and rule, file by file; tomorrow's file waits for tomorrow."""
        assert after["inject"]["not_injected"] == 7
        kept = shop.not_injected(SECOND)
        events = kept[f"events-{SECOND}.jsonl.jsonl"]
        assert {(one["line"], one["rule"]) for one in events} == {
            (1, "unknown_item"),
            (2, "bad_encoding"),
            (3, "rating_out_of_range"),
            (4, "unknown_client"),
            (5, "schema"),
        }
        assert events[0]["row"] or events[1]["row"]
        assert [one["rule"] for one in kept[f"odd-{SECOND}.csv.jsonl"]] == ["unknown_columns"]
        assert [one["rule"] for one in kept[f"picture-{SECOND}.png.jsonl"]] == ["unknown_format"]
        raw = {file.name for file in (shop.home / "data" / "raw" / str(SECOND)).iterdir()}
        assert f"events-{SECOND + timedelta(days=1)}.jsonl" not in raw

    def test_a_new_model(self, shop: Deployment, after: dict[str, Any]) -> None:
        """Is in service, and everybody's vector is by it, of the first day's people, too."""
        assert shop.rows("SELECT model_id FROM platform.models_in_service") != after["model"]
        people = shop.rows("SELECT client_id, user_id, vector FROM users")
        assert all(vector is not None for _, _, vector in people)
        chosen = [row for row in people if row[1] in {"ada", "eve"}] + people[:3]
        for client_id, user_id, vector in chosen:
            expected = folded_in(shop, f"{client_id}/{user_id}")
            np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)

    def test_once_more(self, shop: Deployment, after: dict[str, Any]) -> None:
        """Both days again change nothing, in any table."""
        shop.run("train-model", SECOND)
        before, aside = shop.tables(), shop.not_injected(SECOND)
        for day in (FIRST, SECOND):
            counts = shop.run("inject-data", day).steps[-1].counts
            assert (counts["films"], counts["events"], counts["vectors"]) == (0, 0, 0)
        shop.run("train-model", SECOND)
        assert shop.tables() == before
        assert shop.not_injected(SECOND) == aside


def test_what_the_tables_are(shop: Deployment) -> None:
    """Views of the log: whatever the order in which ratings come, and after a person is erased,
    the table is what the log says; and it is there in the transaction of the event."""
    with serving(shop) as client:
        late = registered(client, "late")
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        film = films()[5].item_id
        for user_id, acts in {
            "x": [(5, 3.0), (1, 5.0), (None, 9), (4, 4.0)],
            "y": [(None, 1), (None, 3), (None, 2)],
        }.items():
            for stars, hours in acts:
                event = {"type": "like" if stars is None else "rating", "user_id": user_id}
                event |= {"item_id": film, "occurred_at": str(moment + timedelta(hours=hours))}
                event |= {} if stars is None else {"value": stars}
                event["occurred_at"] = (moment + timedelta(hours=hours)).isoformat()
                assert client.post("/v1/events", json=event, headers=late).status_code < 300
        query = "SELECT user_id, rating, rated_at FROM movies_users_rating WHERE client_id = 'late'"
        assert sorted(shop.rows(query)) == [
            ("x", 1.0, moment + timedelta(hours=5)),
            ("y", None, moment + timedelta(hours=3)),
        ]
        assert client.delete("/v1/users/x", headers=late).status_code < 300
        assert [row[0] for row in shop.rows(query)] == ["y"]
        assert shop.rows("SELECT user_id FROM users WHERE client_id = 'late'") == [("y",)]
    assert_mirrors(shop)

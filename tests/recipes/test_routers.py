"""The routes that two recipes promise, over the same services, with real servers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.integration.api_world import served

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models import by_name as models
from nextup.domain.items import Item
from nextup.domain.operations import ModelRecord
from nextup.entrypoints.api.app import create_app
from nextup.services.artifacts import Artifact, save_artifact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import httpx

    from nextup.bootstrap import Platform

FILMS = 40
PASSWORD = "seven green bicycles at dawn"
STARS = {"view": 0, "click": 0, "like": 0, "rating": 5, "neutral_rating": 0}


def put_films(platform: Platform) -> None:
    platform.catalog.put_items(
        Item(str(number), "film", f"Film {number}", 1980 + number, ("Drama",))
        for number in range(FILMS)
    )


def train_on_stars(platform: Platform, now: datetime) -> None:
    """People who love even films and people who love odd ones."""
    rng = np.random.default_rng(3)
    people, films = np.divmod(rng.choice(80 * FILMS, 800, replace=False), FILMS)
    stars = np.where(films % 2 == people % 2, 5.0, 1.0)
    touches = Interactions.from_pairs(people, films, stars, n_users=80, n_items=FILMS)
    ids = [str(number) for number in range(FILMS)]
    fitted = {
        "popularity": models.component("popularity").fit(touches, seed=1),
        "explicit_als": models.component("explicit_als", factors=4).fit(touches, seed=1),
    }
    blend = {"explicit_als": 1.0, "popularity": 0.0}
    save_artifact(platform.files, Artifact("stars", now, ids, fitted, {}, {}, blend))
    platform.control.save_model(ModelRecord("stars", now, "explicit_als"))
    platform.control.set_current_model("stars")


def wait_for_model(client: httpx.Client, model_id: str) -> None:
    """The server looks for a new model now and then."""
    while client.get("/readyz").json()["model_id"] != model_id:
        time.sleep(0.02)


class TestRatingService:
    @pytest.fixture
    def client(self, tmp_path) -> Iterator[httpx.Client]:
        from nextup.services.recommend import utc_now

        wanted = {
            "recipe": "rating-service",
            "contracts": {"id_type": "int"},
            "weights": STARS,
            "blend": {"trending": 0.0, "popularity": 0.0},
            "recommend": {"num_recommendations": 5, "diversity": 0},
        }
        with served(tmp_path, access={"auth": "none"}, **wanted) as (client, platform):
            put_films(platform)
            train_on_stars(platform, utc_now())
            wait_for_model(client, "stars")
            yield client

    def test_a_rating_and_its_consequences(self, client):
        """A rating is taken in, and films come back with the stars that the person would give."""
        for film, stars in ((2, 5), (4, 5.0), (3, 1), (5, 1)):
            body = {"userId": 7, "movieId": film, "rating": stars}
            answer = client.post("/send_rating", json=body)
            assert answer.status_code == 202, answer.text
            assert answer.json()["event_id"]
        answer = client.get("/recommendations/7")
        films = answer.json()
        assert answer.headers["x-nextup-level"] == "fresh"
        assert len(films) == 5
        assert films[0]["userId"] == 7
        assert isinstance(films[0]["movieId"], int)
        assert films[0]["title"].startswith("Film ")
        assert films[0]["genres"] == ["Drama"]
        assert all(film["movieId"] % 2 == 0 for film in films[:3])
        assert 3.0 < films[0]["rating"] <= 5.0

    def test_an_event_id_makes_it_one_rating(self, client):
        """The same `eventId` twice is one rating; without one each post is one."""
        body = {"userId": 1, "movieId": 2, "rating": 4}
        for _ in range(2):
            client.post("/send_rating", json=body | {"eventId": "e1"})
        assert len(client.get("/v1/users/1/history").json()["history"]) == 1
        for _ in range(2):
            client.post("/send_rating", json=body)
        assert len(client.get("/v1/users/1/history").json()["history"]) == 3

    @pytest.mark.parametrize(
        "body",
        [
            {"userId": 1, "movieId": 2},
            {"userId": "1", "movieId": 2, "rating": 4},
            {"userId": 1, "movieId": 2.5, "rating": 4},
            {"userId": 1, "movieId": 2, "rating": "four"},
            {"userId": 1, "movieId": 2, "rating": 6},
            {"userId": 1, "movieId": 2, "rating": True},
            {"userId": -1, "movieId": 2, "rating": 4},
            {"userId": 1, "movieId": 99_999, "rating": 4},
            {"userId": 2**80, "movieId": 2, "rating": 4},
            [],
            None,
        ],
    )
    def test_what_does_not_fit(self, client, body):
        """A missing field, a wrong type, a rating out of range: 422, with the reason."""
        answer = client.post("/send_rating", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"]

    @pytest.mark.parametrize("user_id", ["abc", "7.5", "-1", "7a", ""])
    def test_ids_that_are_no_numbers(self, client, user_id):
        """There is no such route."""
        assert client.get(f"/recommendations/{user_id}").status_code == 404

    def test_somebody_unknown(self, client):
        """Gets the degraded list, and its level."""
        answer = client.get("/recommendations/424242")
        assert answer.status_code == 200
        assert answer.headers["x-nextup-level"] in {"popular", "trending"}
        assert len(answer.json()) == 5


class TestPlatformApi:
    @pytest.fixture
    def client(self, tmp_path) -> Iterator[httpx.Client]:
        access = {"auth": "keys", "registration": "open", "people": "client"}
        with served(tmp_path, access=access, recipe="platform-api") as (client, platform):
            put_films(platform)
            yield client

    def test_register_sign_in_ask(self, client):
        """From nothing to recommendations: a client, a token, a list for a history."""
        made = client.post("/create-client", json={"client_id": "cinema", "password": PASSWORD})
        assert made.status_code == 201
        assert made.json() == {"client_id": "cinema"}
        taken = client.post("/create-client", json={"client_id": "cinema", "password": PASSWORD})
        assert taken.status_code == 409
        weak = client.post("/create-client", json={"client_id": "other", "password": "1234"})
        assert weak.status_code == 422
        token = self.token(client, "cinema")
        wish = {"history": [1, {"movie_id": "2", "rating": 4.5}], "limit": 3}
        first = self.ask(client, token, wish)
        assert len(first["recommendations"]) == 3
        assert {"movie_id", "title", "genres", "score"} == first["recommendations"][0].keys()
        assert {"1", "2"}.isdisjoint(film["movie_id"] for film in first["recommendations"])
        again = self.ask(client, token, {"user_id": first["user_id"], "limit": 40})
        assert again["user_id"] == first["user_id"]
        assert len(again["recommendations"]) == 40
        assert {"1", "2"}.isdisjoint(film["movie_id"] for film in again["recommendations"])

    def test_wrong_credentials(self, client):
        """No token, a wrong password: 401."""
        assert client.post("/recommendations", json={"user_id": "1"}).status_code == 401
        body = {"client_id": "nobody", "password": PASSWORD}
        assert client.post("/token", json=body).status_code == 401
        form = {"username": "nobody", "password": PASSWORD, "grant_type": "password"}
        assert client.post("/token", data=form).status_code == 401

    def test_neither_user_nor_history(self, client):
        """422 with the reason; somebody unknown gets the popular list under their id."""
        client.post("/create-client", json={"client_id": "cinema", "password": PASSWORD})
        token = self.token(client, "cinema")
        headers = {"authorization": f"Bearer {token}"}
        answer = client.post("/recommendations", json={}, headers=headers)
        assert answer.status_code == 422
        assert "Neither" in answer.json()["detail"]
        unknown = self.ask(client, token, {"user_id": "never seen"})
        assert unknown["user_id"] == "never seen"
        assert len(unknown["recommendations"]) == 10

    def test_people_are_the_clients_own(self, client):
        """User 7 of one client is not user 7 of another."""
        tokens = {}
        for name in ("one", "two"):
            client.post("/create-client", json={"client_id": name, "password": PASSWORD})
            tokens[name] = self.token(client, name)
        self.ask(client, tokens["one"], {"user_id": "7", "history": [1, 2, 3]})
        found = {}
        for name, token in tokens.items():
            headers = {"authorization": f"Bearer {token}"}
            history = client.get("/v1/users/7/history", headers=headers).json()["history"]
            found[name] = len(history)
        assert found == {"one": 3, "two": 0}

    def test_a_history_counts_once(self, client):
        """Sending the same history again adds nothing."""
        client.post("/create-client", json={"client_id": "cinema", "password": PASSWORD})
        token = self.token(client, "cinema")
        for _ in range(2):
            self.ask(client, token, {"user_id": "8", "history": [1, 2]})
        headers = {"authorization": f"Bearer {token}"}
        assert len(client.get("/v1/users/8/history", headers=headers).json()["history"]) == 2

    def token(self, client, name) -> str:
        form = {"username": name, "password": PASSWORD, "grant_type": "password"}
        answer = client.post("/token", data=form)
        assert answer.status_code == 200, answer.text
        assert answer.json()["token_type"] == "bearer"
        assert answer.json()["expires_in"] > 0
        return answer.json()["access_token"]

    def ask(self, client, token, wish) -> dict:
        headers = {"authorization": f"Bearer {token}"}
        answer = client.post("/recommendations", json=wish, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()


def test_closed_registration(tmp_path) -> None:
    """Unless the settings open it, only an admin registers clients."""
    access = {"auth": "keys"}
    with served(tmp_path, access=access, recipe="platform-api") as (client, _):
        body = {"client_id": "cinema", "password": PASSWORD}
        assert client.post("/create-client", json=body).status_code == 401


def test_routes_only_where_they_are_wanted(tmp_path) -> None:
    """Without the recipe there are no such routes; a recipe without routes adds none."""
    for recipe in ("", "film-lakehouse"):
        with served(tmp_path / (recipe or "none"), access={"auth": "none"}, recipe=recipe) as (
            client,
            platform,
        ):
            assert client.post("/send_rating", json={}).status_code == 404
            assert client.post("/create-client", json={}).status_code == 404
            assert "/send_rating" not in create_app(platform).openapi()["paths"]

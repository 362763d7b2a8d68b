"""The recipe rating-service on real servers, from POST /send_rating to GET /recommendations: two
days, kills and restarts, and messages that are none."""

from __future__ import annotations

import json
import secrets
import signal
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient
from hdfs_native import Client
from pymongo import MongoClient
from redis import Redis
from tests.contract.cleaning import clean_server
from tests.e2e.shell import line_with, nextup, started
from tests.servers import Backend, reach
from tests.spark_world import STARTING_SECONDS

from nextup.bootstrap import open_platform
from nextup.domain.events import START
from nextup.domain.operations import Outcome
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.entrypoints.cli.context import context_of
from nextup.recipes.folders import write_folder
from nextup.recipes.pipelines import pipelines_of
from nextup.services.pipeline import run_pipeline, today
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.domain.operations import Run

PATIENCE_SECONDS = 300.0  # for servers and processes on a busy machine
PEOPLE, FILMS = 24, 40
STEPS = ["check", "read_ratings", "features", "train", "evaluate", "publish", "send_lists"]


@dataclass
class World:
    """A deployment of this recipe, under a tenant of this test's own."""

    folder: Path
    tenant: str
    urls: dict[str, str]
    spark: dict[str, Any] = field(default_factory=dict)
    sent: Counter[tuple[int, int, float]] = field(default_factory=Counter)

    @property
    def prefix(self) -> str:
        return f"{self.tenant}_"

    @contextmanager
    def platform(self) -> Iterator[Platform]:
        with open_platform(load_settings(self.folder, **self.spark)) as platform:
            yield platform

    @contextmanager
    def api(self, platform: Platform) -> Iterator[httpx.Client]:
        with (
            ApiServer(create_app(platform), host="127.0.0.1", port=0) as server,
            httpx.Client(base_url=server.url, timeout=60) as client,
        ):
            yield client

    # ---- what the servers' own clients say

    def csv(self) -> list[str]:
        """The file on HDFS."""
        client = Client(self.urls["hdfs"])
        path = f"/{self.prefix}/ratings/ratings.csv"
        try:
            length = client.get_file_info(path).length
            with client.read(path) as reader:
                return reader.read(length).decode().splitlines() if length else []
        except FileNotFoundError:
            return []

    def rows(self) -> Counter[tuple[int, int, float]]:
        """Person, film and stars of each whole line."""
        lines = [line.split(",") for line in self.csv()[1:]]
        return Counter((int(one[0]), int(one[1]), float(one[2])) for one in lines)

    def messages(self, topic: str) -> list[tuple[bytes | None, bytes]]:
        """All that is in a topic, with its keys."""
        brokers = self.urls["kafka"].split("/")[2]
        with closing(
            Consumer(
                {
                    "bootstrap.servers": brokers,
                    "group.id": secrets.token_hex(4),
                    "auto.offset.reset": "earliest",
                    "enable.partition.eof": True,
                }
            )
        ) as consumer:
            consumer.subscribe([self.prefix + topic])
            found, ended = [], 0
            while ended < 3:  # partitions
                message = consumer.poll(PATIENCE_SECONDS)
                assert message is not None
                if message.error() is not None:
                    ended += 1
                    continue
                found.append((message.key(), message.value() or b""))
        return found

    def produce(self, topic: str, *contents: object) -> None:
        """As another program does."""
        producer = Producer({"bootstrap.servers": self.urls["kafka"].split("/")[2]})
        for content in contents:
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            producer.produce(self.prefix + topic, text, key=b"1")
        assert producer.flush(PATIENCE_SECONDS) == 0

    def documents(self, collection: str) -> list[dict[str, Any]]:
        with MongoClient[dict[str, Any]](self.urls["mongodb"]) as client:
            return list(client["movies_db"][self.prefix + collection].find({}, {"_id": 0}))

    def in_redis(self) -> dict[int, Any]:
        """Everybody's list, by `recommendations:<userId>`."""
        with Redis.from_url(self.urls["redis"]) as redis:
            keys = list(redis.scan_iter(f"{self.prefix}recommendations:*"))
            found = {int(key.split(b":")[1]): redis.get(key) for key in keys}
        return {user: json.loads(text) for user, text in found.items() if text}

    def committed(self, group: str) -> int:
        """How far a consumer group has come, by the brokers' word."""
        admin = AdminClient({"bootstrap.servers": self.urls["kafka"].split("/")[2]})
        asked = [ConsumerGroupTopicPartitions(self.prefix + group)]
        (future,) = admin.list_consumer_group_offsets(asked).values()
        return sum(max(0, one.offset) for one in future.result().topic_partitions)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The folder that `nextup init --recipe rating-service` writes, with this machine's servers
    in its .env."""
    urls = {
        name: reach(request, Backend(name)).url for name in ("kafka", "hdfs", "mongodb", "redis")
    }
    mongodb = f"{urls['mongodb'].rpartition('/')[0]}/movies_db"
    tenant = f"t{secrets.token_hex(4)}"
    folder = tmp_path / "rating-service"
    write_folder("rating-service", folder)
    chosen = {
        "TENANT": tenant,
        "EVENT_LOG_URL": urls["kafka"],
        "CATALOG_URL": mongodb,
        "FILES_URL": urls["hdfs"],
        "LAKE_URL": f"{urls['hdfs']}/lake",
        "RECOMMENDATION_STORE_URL": urls["redis"],
        "ONLINE_STATE_URL": urls["redis"],
        "OPTIONS__PUBLISHED_URL": mongodb,
        "MODELS": json.dumps({"explicit_als": {"factors": 4, "iterations": 6}}),
        "OPTIONS__RATINGS_SECONDS": "0.1",
        "RECOMMEND__NUM_RECOMMENDATIONS": "5",
    }
    lines = [f"NEXTUP_{name}='{value}'" for name, value in chosen.items()]
    (folder / ".env").write_text("\n".join(lines))
    yield World(folder, tenant, {**urls, "mongodb": mongodb})
    for url in (urls["kafka"], urls["hdfs"], urls["redis"], mongodb):
        clean_server(url, f"{tenant}_")


def until(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"{what}: it does not come to that"
        time.sleep(0.2)


def write_movielens(folder: Path, ratings: list[tuple[int, int, float]]) -> None:
    folder.mkdir()
    films = [f"{film},Film {film} ({1980 + film}),Drama|War" for film in range(1, FILMS + 1)]
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *films, ""]))
    rows = [f"{user},{film},{stars},1700000000" for user, film, stars in ratings]
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *rows, ""]))


def taste(user: int, film: int) -> float:
    """Everybody loves the films that are as even as they are."""
    return 5.0 if user % 2 == film % 2 else 1.0


def first_ratings() -> list[tuple[int, int, float]]:
    return [
        (user, film, taste(user, film))
        for user in range(1, PEOPLE + 1)
        for film in range(1, FILMS + 1)
        if (7 * user * user + 11 * film * film + user * film) % 7 < 3
    ]


def rate(client: httpx.Client, world: World, user: int, film: int, stars: float) -> None:
    body = {"userId": user, "movieId": film, "rating": stars}
    answer = client.post("/send_rating", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["event_id"]
    world.sent[user, film, stars] += 1


def run_day(world: World, days: int = 0) -> Run:
    with world.platform() as platform:
        settings = platform.settings
        context = context_of(platform, today(settings) + timedelta(days=days))
        return run_pipeline(context, platform.control, pipeline=pipelines_of(settings)[0])


@contextmanager
def streaming(world: World) -> Iterator[Any]:
    """`nextup stream` in a process of its own; kill -9 at the end."""
    with started("stream", cwd=world.folder) as process:
        line_with(process, "Streaming: online, intake, ratings-csv, recommendations")
        yield process


@pytest.fixture
def begun(world: World) -> World:
    """Films, and ratings that were there before."""
    write_movielens(world.folder / "ml", first_ratings())
    nextup("ingest", "movielens", "ml", cwd=world.folder)
    world.sent.update(first_ratings())
    return world


@pytest.mark.timeout(6 * PATIENCE_SECONDS)
def test_every_rating_reaches_the_file_once(begun: World) -> None:
    """A writer that is killed loses and doubles nothing; a message that is none is kept aside."""
    with begun.platform() as platform, begun.api(platform) as client:
        ratings_reach_the_file_through_kills(begun, client)
        messages_that_are_none(begun, platform)


@pytest.mark.timeout(STARTING_SECONDS + 6 * PATIENCE_SECONDS)
def test_two_days(begun: World, spark: dict[str, Any]) -> None:
    """Every station of the chain holds what it must, on a first day and on a second, with all
    processes started anew in between."""
    begun.spark = spark
    first_day(begun)
    second_day(begun)
    a_person_is_forgotten(begun)


def ratings_reach_the_file_through_kills(world: World, client: httpx.Client) -> None:
    stop = threading.Event()

    def people_rate() -> None:
        number = 0
        while not stop.is_set():
            rate(client, world, 100 + number % 20, 1 + number % FILMS, 3.0)
            number += 1

    rating = threading.Thread(target=people_rate)
    rating.start()
    try:
        for more in (5, 50):
            before = len(world.csv())
            with streaming(world) as process:
                until(lambda: len(world.csv()) > before + more, "the file grows")  # noqa: B023
                process.send_signal(signal.SIGKILL)
    finally:
        stop.set()
        rating.join()
    with streaming(world):
        until(lambda: sum(world.rows().values()) >= world.sent.total(), "all ratings in the file")
    assert world.csv()[0] == "userId,movieId,rating,timestamp"
    assert world.rows() == world.sent
    sent = [json.loads(content) for _, content in world.messages("ratings")]
    assert Counter((one["userId"], one["movieId"], one["rating"]) for one in sent) == world.sent
    assert {*sent[0]} == {"userId", "movieId", "rating", "timestamp"}


def messages_that_are_none(world: World, platform: Platform) -> None:
    """What other programs send: a rating counts, rubbish is kept aside, with its reason."""
    good = {"userId": 50, "movieId": 4, "rating": 4.0, "timestamp": 1_700_000_000}
    broken = [b"not json", {**good, "movieId": 99_999}, {**good, "rating": 77}]
    world.produce("ratings", *broken, good)
    world.produce("recommendations", b"[1, 2", {"userId": "7", "recommendations": []})
    world.sent[50, 4, 4.0] += 1
    rejected: Any = lambda: platform.event_log.read_rejected(START, 100).rows  # noqa: E731
    with streaming(world):
        until(lambda: world.rows() == world.sent, "the good rating in the file")
        until(lambda: len(rejected()) == 5, "the others rejected")
    assert Counter(row.rule for row in rejected()) == {
        "not_json": 1,
        "unknown_item": 1,
        "rating_out_of_range": 1,
        "no_list": 2,
    }


def first_day(world: World) -> None:
    world.produce("recommendations", b"[1, 2")  # for the consumer to pass over
    with streaming(world):
        until(lambda: world.rows() == world.sent, "all ratings in the file")
    done = run_day(world)
    assert done.outcome is Outcome.SUCCEEDED
    assert [step.step for step in done.steps] == STEPS
    by_step = {step.step: step.counts for step in done.steps}
    people = {user for user, _, _ in world.sent}
    assert by_step["read_ratings"] == {
        "items": FILMS, "ratings": world.sent.total(), "broken": 0
    }  # fmt: skip
    assert by_step["send_lists"] == {"messages": len(people)}
    with streaming(world):
        until(lambda: world.in_redis().keys() == people, "everybody's list in Redis")
        until(lambda: world.committed("nextup-recommendations"), "the group commits")
    assert_same_everywhere(world, people)
    with world.platform() as platform, world.api(platform) as client:
        assert_answers(world, client)
    again = run_day(world)  # nothing is new: the same model, the same lists
    remarks = {step.step: step.message for step in again.steps}
    assert "has not changed" in remarks["read_ratings"]
    assert "is up to date" in remarks["train"]


def assert_same_everywhere(world: World, people: set[int]) -> None:
    """MongoDB, the topic and Redis say the same of everybody: five films that they have not
    rated, best first, with stars."""
    documents = {
        one["userId"]: one["recommendations"] for one in world.documents("recommendations")
    }
    assert documents.keys() == people
    assert world.in_redis() == documents
    told = {}
    for key, content in world.messages("recommendations"):
        if content != b"[1, 2":
            message = json.loads(content)
            assert key == str(message["userId"]).encode()
            told[message["userId"]] = message["recommendations"]
    assert told == documents
    rated = {(user, film) for user, film, _ in world.sent}
    for user, places in documents.items():
        assert len(places) == 5
        assert not {(user, one["movieId"]) for one in places} & rated
        stars = [one["rating"] for one in places]
        assert stars == sorted(stars, reverse=True)
        assert all(0.5 <= one <= 5.0 for one in stars)
    for user in (1, 2):
        assert all(one["movieId"] % 2 == user % 2 for one in documents[user][:3])


def assert_answers(world: World, client: httpx.Client) -> None:
    answer = client.get("/recommendations/2")
    assert answer.headers["x-nextup-level"] == "published"
    films = answer.json()
    assert [
        {"movieId": film["movieId"], "rating": film["rating"]} for film in films
    ] == world.in_redis()[2]
    number = films[0]["movieId"]
    assert films[0] == {
        "userId": 2,
        "movieId": number,
        "rating": films[0]["rating"],
        "title": f"Film {number}",
        "genres": ["Drama", "War"],
        "year": 1980 + number,
        "attributes": films[0]["attributes"],
    }
    rate(client, world, 2, number, 2.0)  # what has been rated since is left out at once
    assert [film["movieId"] for film in client.get("/recommendations/2").json()] == [
        film["movieId"] for film in films[1:]
    ]
    unknown = client.get("/recommendations/424242")
    assert unknown.headers["x-nextup-level"] in {"popular", "trending"}
    assert unknown.status_code == 200
    assert unknown.json()
    assert client.get("/recommendations/seven").status_code == 404
    movies = client.get("/movies").json()
    assert {film["movieId"] for film in movies} == set(range(1, FILMS + 1))
    assert {film["movieId"] for film in world.documents("movies")} == set(range(1, FILMS + 1))


def second_day(world: World) -> None:
    """Somebody new, and somebody who turned round, on top of all that was there."""
    before = world.in_redis()
    with world.platform() as platform, world.api(platform) as client:
        for film in range(1, FILMS + 1):
            if film % 3:
                rate(client, world, 200, film, taste(200, film))
                rate(client, world, 1, film, taste(2, film))
    with streaming(world):
        until(lambda: world.rows() == world.sent, "the second day's ratings in the file")
        done = run_day(world, days=1)
        assert done.outcome is Outcome.SUCCEEDED
        until(lambda: 200 in world.in_redis(), "the new person's list")
        until(lambda: world.in_redis()[1] != before[1], "the other one's new list")
        people = {user for user, _, _ in world.sent}
        until(lambda: world.in_redis().keys() == people, "everybody's list")
    with world.platform() as platform, world.api(platform) as client:
        answer = client.get("/recommendations/200")
        assert answer.headers["x-nextup-level"] == "published"
        films = [film["movieId"] for film in answer.json()]
        assert all(film % 3 == 0 for film in films)
        assert films[0] % 2 == 0


def a_person_is_forgotten(world: World) -> None:
    done = nextup("erase", "200", "--yes", "--json", cwd=world.folder)
    removed = done.document["removed"]
    assert removed["ratings/ratings.csv"] == sum(
        times for (user, _, _), times in world.sent.items() if user == 200
    )
    assert removed["published"] == removed["recommendation_store"] == 1
    assert 200 not in {user for user, _, _ in world.rows()}
    assert 200 not in world.in_redis()
    assert 200 not in {one["userId"] for one in world.documents("recommendations")}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Each server that does not answer, with what to do about it; the pipeline does not begin."""
    folder = tmp_path / "rating-service"
    write_folder("rating-service", folder)
    nowhere = {
        "NEXTUP_EVENT_LOG_URL": "kafka://127.0.0.1:1/events",
        "NEXTUP_KAFKA__TIMEOUT_SECONDS": "1",
        "NEXTUP_CATALOG_URL": "mongodb://127.0.0.1:1/movies_db",
        "NEXTUP_OPTIONS__PUBLISHED_URL": "mongodb://127.0.0.1:1/movies_db",
        "NEXTUP_MONGODB__TIMEOUT_SECONDS": "1",
        "NEXTUP_FILES_URL": "hdfs://127.0.0.1:1",
        "NEXTUP_LAKE_URL": "file://data/lake",
        "NEXTUP_ENGINE_URL": "local://",
        "NEXTUP_RECOMMENDATION_STORE_URL": "redis://127.0.0.1:1/0",
        "NEXTUP_ONLINE_STATE_URL": "redis://127.0.0.1:1/0",
    }
    needed = nextup("doctor", "--needed", cwd=folder, **nowhere)
    assert needed.status == 1
    servers = ("event_log", "files", "catalog", "recommendation_store", "published")
    for server in servers:
        assert f"Missing: {server} (" in needed.out, needed.out
    run = nextup("pipeline", "run", cwd=folder, **nowhere)
    assert run.status == 1
    assert "5 of what is needed is missing" in run.err

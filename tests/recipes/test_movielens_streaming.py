"""The recipe `movielens-streaming` on real servers: HDFS, Kafka, a Spark cluster, Cassandra.

One story, by the recipe's own make targets, looked at with the servers' own clients: files become
a model and lists, ratings in a topic become new lists, a second day comes on top, and what is
poisoned stops nobody.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.e2e.shell import environment, line_with, nextup, started
from tests.recipes.at_length import at_length
from tests.recipes.movielens_world import KINDS, RATED, ratings, write_films, write_ratings
from tests.servers import Backend, reach
from tests.spark_world import SMALL, STARTING_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 600.0  # for what starts two JVMs on a busy machine; never a measure
SIX = ("input", "models/als", "logs", "processed", "errors", "tmps")
TOPIC, EVENTS, REJECTED = "movielens_ratings", "movielens_events", "movielens_events_rejected"
ROLE = "movielens_streaming"  # of PostgreSQL: this test's own, and its database
LAKE = "movielens-lake"  # other tests have theirs in /lake, on the same server
FIRST, SECOND, LATER = range(1, 81), range(81, 121), range(201, 207)
NEWCOMER, GRUMPY = 203, 300


@dataclass
class Servers:
    """Each by its own client."""

    hdfs_url: str
    kafka: str  # brokers
    cassandra_url: str
    postgresql_url: str
    spark: str
    _open: list[Any] = field(default_factory=list)

    # ---- HDFS

    def names(self, folder: str) -> list[str]:
        from hdfs_native import Client

        found = Client(self.hdfs_url).list_status(f"/{folder}")
        return sorted(entry.path.rpartition("/")[2] for entry in found)

    def content(self, name: str) -> bytes:
        from hdfs_native import Client

        with Client(self.hdfs_url).read(f"/{name}") as reader:
            return bytes(reader.read())

    # ---- Cassandra

    def cql(self, statement: str) -> list[Any]:
        return list(self._session().execute(statement, timeout=60))

    def lists(self) -> dict[int, list[Any]]:
        """Everybody's rows, best first."""
        found: dict[int, list[Any]] = {}
        for row in self.cql("SELECT * FROM reco.recommendations"):
            found.setdefault(row.userid, []).append(row)
        return {user: sorted(rows, key=lambda row: -row.score) for user, rows in found.items()}

    def _session(self) -> Any:
        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import DCAwareRoundRobinPolicy

        if not self._open:
            place = urlsplit(self.cassandra_url)
            balanced = ExecutionProfile(DCAwareRoundRobinPolicy(), request_timeout=60)
            cluster = Cluster(
                [place.hostname],
                port=place.port,
                auth_provider=PlainTextAuthProvider(place.username, place.password),
                execution_profiles={EXEC_PROFILE_DEFAULT: balanced},
                protocol_version=4,
                connect_timeout=60,
            )
            self._open = [cluster, cluster.connect()]
        return self._open[1]

    # ---- Kafka

    def messages(self, topic: str) -> list[Any]:
        """All that is in the topic."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": "a-test"})
        try:
            partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
            ends = {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=60)[1]
                for number in partitions
            }
            consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
            found: list[Any] = []
            while len(found) < sum(ends.values()):
                found += [one for one in consumer.consume(500, timeout=1) if one.error() is None]
            return found
        finally:
            consumer.close()

    def partitions(self, topic: str) -> int:
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.kafka})
        return len(admin.list_topics(topic, timeout=60).topics[topic].partitions)

    def send(self, *messages: bytes) -> None:
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.kafka})
        for message in messages:
            producer.produce(TOPIC, message, key="poison")
        assert producer.flush(60) == 0

    # ---- before and after

    def prepare(self, password: str) -> None:
        """A role and a database of the deployment's own."""
        self._sql(
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'",
            f"CREATE DATABASE {ROLE} OWNER {ROLE}",
        )

    def clean(self) -> None:
        """Remove every name of the recipe, also those that an earlier run has left."""
        from confluent_kafka.admin import AdminClient
        from hdfs_native import Client

        client = Client(self.hdfs_url)
        for name in {*(folder.partition("/")[0] for folder in SIX), LAKE}:
            client.delete(f"/{name}", recursive=True)
        self.cql("DROP KEYSPACE IF EXISTS reco")
        admin = AdminClient({"bootstrap.servers": self.kafka})
        mine = {TOPIC, EVENTS, REJECTED} & admin.list_topics(timeout=60).topics.keys()
        for future in admin.delete_topics(list(mine)).values() if mine else ():
            future.result()
        self._sql(f"DROP DATABASE IF EXISTS {ROLE} WITH (FORCE)", f"DROP ROLE IF EXISTS {ROLE}")

    def close(self) -> None:
        if self._open:
            self._open[0].shutdown()

    def _sql(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.postgresql_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    urls = {
        name: reach(request, Backend(name)).url
        for name in ("hdfs", "kafka", "cassandra", "postgresql", "spark")
    }
    kafka = urlsplit(urls["kafka"]).netloc
    found = Servers(urls["hdfs"], kafka, urls["cassandra"], urls["postgresql"], urls["spark"])
    found.clean()
    yield found
    found.clean()
    found.close()


@pytest.fixture
def folder(servers: Servers, tmp_path: Path) -> Path:
    """What `nextup init` writes, its servers being those of the test."""
    made = nextup("init", "--recipe", "movielens-streaming", "here", "--json", cwd=tmp_path)
    servers.prepare(made.document["secrets"]["POSTGRES_PASSWORD"])
    folder = tmp_path / "here"
    place = urlsplit(servers.postgresql_url).netloc.rpartition("@")[2]
    cassandra = servers.cassandra_url.rpartition("/")[0]
    spark = "".join(f"{key} = {json.dumps(value)}\n" for key, value in SMALL.items())
    text = (folder / "nextup.toml").read_text()
    for written, here in {
        "hdfs://localhost:9000/lake": f"hdfs://localhost:9000/{LAKE}",
        "hdfs://localhost:9000": servers.hdfs_url,
        "kafka://localhost:9092": f"kafka://{servers.kafka}",
        "cassandra://localhost:9042": cassandra,
        "spark://localhost:7077": servers.spark,
        "postgresql://nextup:": f"postgresql://{ROLE}:",
        "@localhost:5432/nextup": f"@{place}/{ROLE}",
        "[spark]\n": f"[spark]\n{spark}",
        "[cassandra]\n": "[cassandra]\ntimeout_seconds = 20\n",
        "[stream]\n": "[stream]\nlists_seconds = 0.5\n",
    }.items():
        assert written in text
        text = text.replace(written, here)
    (folder / "nextup.toml").write_text(f"{text}\n[models.als]\nfactors = 8\n")
    return folder


def make(folder: Path, *arguments: str) -> str:
    """A target, to its end; returns what it printed."""
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=with_nextup(),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@contextmanager
def making(folder: Path, target: str) -> Iterator[None]:
    """A target that stays, until Ctrl-C ends it well."""
    process = subprocess.Popen(
        ["make", "--no-print-directory", target],
        cwd=folder,
        env=with_nextup(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield
        assert process.poll() is None, process.communicate()[0]
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert "Stopped." in out
        assert "Traceback" not in out
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def with_nextup() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return environment(PATH=path)


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it does not get there"
        time.sleep(0.5)


def last_run(folder: Path) -> dict[str, Any]:
    """What each step of the latest run counted."""
    run: dict[str, Any] = nextup("pipeline", "status", "--json", cwd=folder).document[0]
    assert (run["pipeline"], run["outcome"]) == ("als_train", "succeeded")
    return run


def counts(run: dict[str, Any], step: str) -> dict[str, int]:
    found: dict[str, int] = next(one["counts"] for one in run["steps"] if one["step"] == step)
    return found


def own_kind(user: int, rows: list[Any]) -> float:
    """The share of films of the person's kind."""
    return sum(row.movieid % 3 == user % 3 for row in rows) / len(rows)


@at_length
@pytest.mark.timeout(STARTING_SECONDS + 6 * PATIENCE_SECONDS)
def test_the_chain(servers: Servers, folder: Path) -> None:
    """From files to lists, from a topic to lists, and back to who asks."""
    data = folder / "data"
    write_films(data / "movie.csv")
    first_day = ratings(FIRST, seed=1)
    write_ratings(data / "rating.csv", first_day, text_times=True)
    making_ready(servers, folder)
    first_run = first_training(servers, folder)
    streaming(servers, folder)
    second_day(servers, folder, first_run)
    tuning(servers, folder)
    asking(folder)
    notebooks(folder)
    cleaning(servers, folder)


def making_ready(servers: Servers, folder: Path) -> None:
    """`make init`, twice: the same again changes nothing."""
    for _ in range(2):
        make(folder, "init")
    for name in SIX:
        servers.names(name)  # which fails for what is not there
    assert servers.names("models") == ["als"]
    assert servers.names("input") == ["movie.csv", "rating.csv"]
    assert servers.content("input/rating.csv") == (folder / "data" / "rating.csv").read_bytes()
    columns = servers.cql(
        "SELECT column_name, type, kind FROM system_schema.columns "
        "WHERE keyspace_name = 'reco' AND table_name = 'recommendations'"
    )
    assert {(row.column_name, row.type, row.kind) for row in columns} == {
        ("userid", "int", "partition_key"),
        ("movieid", "int", "clustering"),
        ("score", "float", "regular"),
        ("title", "text", "regular"),
        ("genres", "text", "regular"),
    }
    assert servers.partitions(TOPIC) == 3
    left = Counter(name.rpartition("-")[0] for name in servers.names("logs"))
    targets = ("hdfs-configure", "hdfs-upload-csv", "cassandra-configure", "kafka-topics")
    assert left == dict.fromkeys(targets, 2)


def first_training(servers: Servers, folder: Path) -> str:
    """Files are used or set aside; ALS on Spark; ten films for each, in Cassandra."""
    (folder / "poison.csv").write_bytes(b"\0\0\0\0 no text")
    (folder / "poison.csv").rename(folder / "ratings.csv")
    nextup("files", "put", "ratings.csv", "--to", "input", cwd=folder)
    make(folder, "als-train")
    run = last_run(folder)
    taken = counts(run, "take_input")
    assert (taken["files"], taken["unreadable"]) == (2, 1)
    assert taken["accepted"] == len(FIRST) * RATED
    run_id: str = run["run_id"]
    assert servers.names("input") == []
    assert {"movie.csv", "rating.csv", "_manifest.json"} <= set(
        servers.names(f"processed/{run_id}")
    )
    assert servers.names("errors") == ["ratings.csv", "ratings.csv.reason.json"]
    assert "no text" in json.loads(servers.content("errors/ratings.csv.reason.json"))["reason"]
    (model_id,) = servers.names("models/als")
    card = json.loads(servers.content(f"models/als/{model_id}/model.json"))
    assert card["lineage"]["engine"].startswith("spark")
    assert "als" in card["components"]
    log = next(name for name in servers.names("logs") if name.startswith("als-train-"))
    assert "publish    succeeded" in servers.content(f"logs/{log}").decode()
    assert servers.names("tmps/training") == []  # what a training keeps, it removes

    lists = servers.lists()
    assert lists.keys() == set(FIRST)
    assert {len(rows) for rows in lists.values()} == {10}
    seen = {(person, film) for person, film, _, _ in ratings(FIRST, seed=1)}
    assert not seen & {(user, row.movieid) for user, rows in lists.items() for row in rows}
    # of their 15 films they have rated 9: six are left, and they come first
    assert sum(own_kind(user, rows[:5]) for user, rows in lists.items()) > 0.9 * len(lists)
    one = lists[1][0]
    assert one.title == f"Film {one.movieid}"
    assert one.genres == f"{KINDS[one.movieid % 3]}|Drama"
    return run_id


def streaming(servers: Servers, folder: Path) -> None:
    """Who rates gets a new list: newcomers are folded in, who likes nothing gets what is popular.
    The stream is stopped and begun again in between; poison is kept, and stops nobody."""
    later = ratings(LATER, seed=2)
    random.Random(3).shuffle(later)
    write_ratings(folder / "later.csv", later, text_times=True)
    half = f"LIMIT={len(later) // 2}"
    with making(folder, "kafka-stream"):
        assert f"{len(later) // 2} messages" in make(
            folder, "kafka-produce", "FILE=later.csv", half
        )
        film = json.dumps({"userId": 1, "movieId": 99999, "rating": 4, "timestamp": 10**9})
        servers.send(
            b"\xff\xfe no json", b'{"userId": "ann", "movieId": 2, "rating": 4}', film.encode()
        )
        grumpy = {"userId": GRUMPY, "movieId": 3, "rating": 0.5, "timestamp": 10**9}
        servers.send(json.dumps(grumpy).encode())
        half_way = {person for person, *_ in later[: len(later) // 2]}
        until(lambda: {*half_way, GRUMPY} <= servers.lists().keys())
    assert len(servers.messages(REJECTED)) == 3
    with making(folder, "kafka-stream"):
        make(folder, "kafka-produce", "FILE=later.csv")  # goes on where it was
        known = {person: films for person in LATER for films in [films_of(later, person)]}

        def followed() -> bool:
            lists = servers.lists()
            return set(LATER) <= lists.keys() and all(
                own_kind(person, lists[person][:5]) == 1
                and not known[person] & {row.movieid for row in lists[person]}
                for person in LATER
            )

        until(followed)
    sent = [json.loads(one.value()) for one in servers.messages(TOPIC) if one.key() != b"poison"]
    assert len(sent) == len(later)
    assert all(list(one) == ["userId", "movieId", "rating", "timestamp"] for one in sent)
    by_key: dict[bytes, set[int]] = {}
    for one in servers.messages(TOPIC):
        by_key.setdefault(one.key(), set()).add(one.partition())
    assert {len(partitions) for partitions in by_key.values()} == {1}
    assert set(by_key) == {b"poison", *(str(person).encode() for person in LATER)}
    lists = servers.lists()
    assert {len(rows) for rows in lists.values()} == {10}
    assert all(row.title for row in lists[GRUMPY])
    assert any("kafka-stream-" in name for name in servers.names("logs"))
    assert servers.names("tmps/checkpoints")


def films_of(rows: list[Any], person: int) -> set[int]:
    return {film for someone, film, _, _ in rows if someone == person}


def second_day(servers: Servers, folder: Path, first_run: str) -> None:
    """New ratings in the other spelling, on top of what is there; yesterday's files, uploaded once
    more, add nothing; ratings from the topic are trained on, too."""
    write_ratings(folder / "data" / "ratings.csv", ratings(SECOND, seed=4), text_times=False)
    make(folder, "hdfs-upload-csv", "als-train")
    run = last_run(folder)
    assert counts(run, "take_input")["accepted"] == len(SECOND) * RATED
    people = {*FIRST, *SECOND, *LATER, GRUMPY}
    assert counts(run, "train")["people"] == len(people)
    second: str = run["run_id"]
    assert set(servers.names("processed")) - {"_imports"} == {first_run, second}
    assert {"movie.csv", "rating.csv", "ratings.csv"} <= set(servers.names(f"processed/{second}"))
    assert len(servers.names("models/als")) == 2
    lists = servers.lists()
    assert lists.keys() >= {*FIRST, *SECOND, *LATER}
    assert sum(own_kind(user, lists[user][:5]) for user in SECOND) > 0.9 * len(SECOND)


def tuning(servers: Servers, folder: Path) -> None:
    """The search keeps its trials under /tmps, and the newest log can be fetched."""
    make(folder, "als-tune", "TRIALS=1")
    assert servers.names("tmps/tune")
    make(folder, "hdfs-download-log")
    (log,) = (folder / "data").glob("*.log")
    assert log.name.startswith("als-tune-")
    assert "ended with 0" in log.read_text()


def asking(folder: Path) -> None:
    """The API has the newcomer's list, and says why; an id that is no number is a mistake."""
    with (
        started("serve", "--port", "0", cwd=folder) as process,
        httpx.Client(base_url=line_with(process, "Serving on").split()[2].rstrip(";")) as client,
    ):
        answer = client.get(f"/v1/users/{NEWCOMER}/recommendations?limit=10")
        assert answer.status_code == 200, answer.text
        films = answer.json()["items"]
        assert len(films) == 10
        assert all(int(film["item_id"]) % 3 == NEWCOMER % 3 for film in films[:5])
        assert films[0]["title"].startswith("Film ")
        refused = client.post("/v1/events", json={"type": "like", "user_id": "ann", "item_id": "1"})
        assert refused.status_code == 422


def notebooks(folder: Path) -> None:
    """Each runs to its end, and shows what it says."""
    shown = {
        "explore_hdfs": "userId",
        "load_als_model": "factors",
        "query_cassandra": "people have a list",
        "see_recommendations": "level: ",
        "spark_kafka_demo": "Film ",
    }
    place = folder / "notebooks"
    assert {file.stem for file in place.glob("*.ipynb")} == shown.keys()
    subprocess.run(
        [Path(sys.executable).with_name("jupyter-execute"), "--inplace", *sorted(place.glob("*"))],
        cwd=place,
        env=with_nextup() | {"USER_ID": str(NEWCOMER)},
        check=True,
        timeout=2 * PATIENCE_SECONDS,
    )
    for name, text in shown.items():
        cells = json.loads((place / f"{name}.ipynb").read_text())["cells"]
        assert text in json.dumps([cell.get("outputs") for cell in cells]), name


def cleaning(servers: Servers, folder: Path) -> None:
    """`make hdfs-clean` asks; then it empties the six folders, which stay."""
    asked = nextup("files", "empty", *SIX, cwd=folder)
    assert asked.status == 2
    make(folder, "hdfs-clean", "ARGS=--yes")
    for name in set(SIX) - {"logs"}:
        assert servers.names(name) == []
    assert [name.rpartition("-")[0] for name in servers.names("logs")] == ["hdfs-clean"]

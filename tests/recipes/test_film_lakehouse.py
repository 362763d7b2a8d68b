"""The film lakehouse, from the publisher's archive to the answers of its API, on real servers."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import contextmanager
from datetime import UTC, date, datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable
from redis import Redis
from tests.e2e.shell import line_with
from tests.integration import test_airflow
from tests.integration.test_airflow import NEXTUP, airflow, in_airflow, look
from tests.recipes.at_length import at_length
from tests.recipes.film_world import (
    ARCHIVE,
    DATASET,
    SECONDS,
    SMALL,
    Lakehouse,
    cut_archive,
    needs_data,
    postgresql,
    publisher,
    variables_of,
)
from tests.servers import Backend, reach

from nextup.recipes.folders import write_folder
from nextup.recipes.pipelines import pipelines_of
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from stack.server import Server

    Found = Callable[[], Any]

__all__ = ["airflow"]  # a fixture

PEOPLE = 60
BAD_RATINGS = (
    "1,999999999,4.0,964982703\n"  # a film that there is not
    "1,1,9.0,964982703\n"  # too many stars
    "1,1\n"  # half a row
)
BAD_TAG = "1,1,  ,964982703\n"
TOPICS = ("view_events", "click_events", "rating_events")
DEAD = "dead_letter_events"
FILES = ("ratings.csv", "movies.csv", "tags.csv", "links.csv")
STEPS = [
    *("bronze", "silver_films", "ingest"),
    *("collect", "refine", "features", "train", "evaluate", "publish", "maintain_lake"),
]
DAY = date(2018, 9, 30)  # after the last rating
PATIENCE = 240  # seconds until something is believed not to come; never a measure
ADA = "42"  # rated 440 films

pytestmark = [needs_data, pytest.mark.timeout(2400)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `nextup init --recipe film-lakehouse` writes."""
    write_folder("film-lakehouse", tmp_path / "films")
    return tmp_path / "films"


def until(found: Found) -> Any:
    """What is found at last."""
    deadline = monotonic() + PATIENCE
    while not (something := found()):
        assert monotonic() < deadline, "it never came"
        sleep(0.2)
    return something


def table(folder: Path, name: str) -> Any:
    """A table as Delta's own reader sees it, in Polars."""
    import polars as pl

    return pl.scan_delta(DeltaTable(folder / "lakehouse" / name)).collect()


def test_bronze_comes_and_is_checked(folder: Path, tmp_path: Path) -> None:
    """`make bootstrap_bronze` fetches the real archive with a manifest, once; `--force` again.
    `make validate_bronze` names what is missing, and what was changed, and exits with 1."""
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(ARCHIVE, site)
    bronze = folder / "lakehouse" / "bronze" / "movielens" / DATASET
    with publisher(site) as url:
        source = f"{url}/{ARCHIVE.name}"
        of = {"NEXTUP_BRONZE__DATASET": DATASET, "NEXTUP_BRONZE__SOURCE": source}
        films = Lakehouse(folder, of)
        absent = films.make("validate_bronze")
        assert absent.status != 0
        assert all(name in absent.out for name in FILES)
        first = films.nextup("bronze", "fetch", "--json").document
        assert first["written"] == len(FILES)
        manifest = json.loads((bronze / "_manifest.json").read_text())
        assert (manifest["dataset"], manifest["url"]) == (DATASET, source)
        assert datetime.fromisoformat(manifest["downloaded_at"]).tzinfo is not None
        for told in manifest["files"]:
            content = (bronze / told["name"]).read_bytes()
            assert told["bytes"] == len(content)
            assert told["sha256"] == hashlib.sha256(content).hexdigest()
        assert [told["rows"] for told in manifest["files"]] == [100_836, 9_742, 3_683, 9_742]
        assert films.make("validate_bronze").status == 0

        written = (bronze / "ratings.csv").stat().st_mtime_ns
        again = films.make("bootstrap_bronze")
        assert "0 of 4 files written" in again.out
        assert (bronze / "ratings.csv").stat().st_mtime_ns == written

        (bronze / "links.csv").unlink()
        (bronze / "tags.csv").write_bytes((bronze / "tags.csv").read_bytes()[:-5])
        broken = films.nextup("bronze", "validate", "--json")
        assert broken.status == 1
        faults = {one["file"]: one["says"] for one in json.loads(broken.out)["faults"]}
        assert faults.keys() == {"links.csv", "tags.csv"}
        assert faults["links.csv"] == "is missing"
        mended = films.nextup("bronze", "fetch", "--json").document
        assert mended["written"] == 2
        forced = films.make("bootstrap_bronze", ARGS="--force")
        assert "4 of 4 files written" in forced.out
        assert (bronze / "ratings.csv").stat().st_mtime_ns != written
    unreachable = films.make("bootstrap_bronze", ARGS="--force")
    assert unreachable.status != 0
    assert "--from" in unreachable.err
    assert films.make("validate_bronze").status == 0  # what is there stays


def test_a_source_that_is_none(folder: Path, tmp_path: Path) -> None:
    """An archive without a file, or with another file by its name, writes nothing."""
    cut = tmp_path / "whole.zip"
    cut_archive(cut, people=2)
    films = Lakehouse(folder, {"NEXTUP_BRONZE__DATASET": DATASET})
    made = tmp_path / "unpacked"
    shutil.unpack_archive(cut, made)
    (made / DATASET / "links.csv").unlink()
    for head in ("", "this,is,something,else\n"):
        if head:
            (made / DATASET / "links.csv").write_text(head)
        done = films.nextup("bronze", "fetch", "--from", made)
        assert done.status == 2
        assert "links.csv" in done.err
    assert not (folder / "lakehouse" / "bronze").exists()
    assert films.nextup("bronze", "fetch", "x/../y").status == 2


def test_contracts_are_shown(folder: Path) -> None:
    """`make docs` prints every table and topic of the recipe."""
    shown = Lakehouse(folder, {}).make("docs").out
    for name in (*TOPICS, "silver.ratings", "silver.movies", "silver.tags", "UC1", "UC2", "UC3"):
        assert name in shown


def test_the_dag(folder: Path) -> None:
    """One, `film_lakehouse_daily`, at 02:00."""
    (daily,) = pipelines_of(load_settings(folder))
    assert (daily.name, daily.at, daily.step_names) == ("film_lakehouse_daily", "02:00", STEPS)


@pytest.fixture
def films(
    request: pytest.FixtureRequest,
    folder: Path,
    tmp_path: Path,
    private_server: Callable[[str], Server],
) -> Iterator[Lakehouse]:
    """The folder on servers of its own, so that the names are the recipe's; the publisher's
    archive is the real one's first people, with bad lines."""
    site = tmp_path / "site"
    site.mkdir()
    archive = site / f"{DATASET}.zip"
    cut_archive(archive, people=PEOPLE, ratings=BAD_RATINGS, tags=BAD_TAG)
    found = variables_of(private_server, "postgresql", "redis", "kafka")
    found["SPARK_MASTER"] = reach(request, Backend("spark")).url  # it has no names of ours
    with publisher(site) as url:
        more = {
            "NEXTUP_BRONZE__DATASET": DATASET,
            "NEXTUP_BRONZE__SOURCE": f"{url}/{DATASET}.zip",
        }
        yield Lakehouse(folder, found, more)


@at_length
def test_the_whole_chain(
    films: Lakehouse, airflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archive, bronze, silver, gold, model, MLflow, lists, API, cache, Kafka, a second day by
    Airflow: each station as its own client sees it, with bad lines and a restart in between."""
    monkeypatch.setattr(test_airflow, "SECONDS", SECONDS)  # ten tasks in one go
    topics_are_made(films)
    rows = first_day(films)
    with serving(films) as api:
        answers_are_kept(films, api)
        before = others_events_count(films, api)
    with serving(films) as api:  # the first was killed: another gives what it made, as it is
        assert asked(api, UC1) == (before, "hit")
    second_day(films, airflow, tmp_path, rows)


def topics_are_made(films: Lakehouse) -> None:
    """By `make topics`, with three partitions; a second time they are there."""
    assert "created" in films.make("topics").out
    assert "created" not in films.make("topics").out
    admin = AdminClient({"bootstrap.servers": films.variables["KAFKA"]})
    found = admin.list_topics(timeout=30).topics
    assert {name: len(found[name].partitions) for name in ("events", *TOPICS)} == dict.fromkeys(
        ("events", *TOPICS), 3
    )
    assert len(found[DEAD].partitions) == 1


def first_day(films: Lakehouse) -> int:
    """`make daily` on the Spark cluster; returns how many ratings are good."""
    done = films.make("daily", f"DATE={DAY}", ARGS="--json")
    assert done.status == 0, done.err
    run = json.loads(done.out.splitlines()[-1])
    assert run["outcome"] == "succeeded"
    assert [step["step"] for step in run["steps"]] == STEPS
    counts = {step["step"]: step["counts"] for step in run["steps"]}
    rows = int(counts["ingest"]["accepted"])

    lake = films.folder
    ratings = table(lake, "silver/ratings")
    assert ratings.columns == ["user_id", "item_id", "rating", "occurred_at"]
    assert ratings.height == counts["silver_films"]["ratings"] == rows
    assert counts["silver_films"]["ratings_left_out"] == 3
    assert table(lake, "silver/movies").height == 9_742
    assert table(lake, "silver/tags").height == 3_683
    assert table(lake, "silver/interactions").height == rows
    assert table(lake, "gold/user_item")["user_id"].n_unique() == PEOPLE
    assert table(lake, "gold/recommendations")["user_id"].n_unique() == PEOPLE
    assert table(lake, "gold/item_stats").height > 1_000
    quarantine = table(lake, "bronze/quarantine")
    assert sorted(quarantine["rule"]) == [
        "bad_row",
        "rating_out_of_range",
        "tag.not_null",
        "unknown_item",
    ]
    assert films.make("validate").status == 0

    assert len(messages(films, DEAD)) == 4
    copies = messages(films, "rating_events")
    assert len(copies) == rows
    assert {json.loads(one)["type"] for one in copies} == {"rating"}

    with postgresql(films.variables, "mlflow") as mlflow:
        experiments = mlflow.execute("SELECT name FROM experiments").fetchall()
        assert ("film-als",) in experiments
        versions = mlflow.execute("SELECT name, version FROM model_versions").fetchall()
        assert versions == [("film-als", 1)]
        metrics = mlflow.execute("SELECT count(*) FROM metrics").fetchone()
        assert metrics is not None
        assert int(str(metrics[0])) > 5
    with postgresql(films.variables) as ours:
        (models,) = ours.execute("SELECT count(*) FROM models").fetchall()
        assert models == (1,)
    assert list((films.folder / "lakehouse" / "mlflow").rglob("model.json"))
    return rows


def messages(films: Lakehouse, topic: str) -> list[bytes]:
    """All of a topic, by a consumer of its own."""
    consumer = Consumer(
        {
            "bootstrap.servers": films.variables["KAFKA"],
            "group.id": f"looking-{topic}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    found: list[bytes] = []
    partitions = len(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    ended: set[int] = set()
    consumer.subscribe([topic])
    try:
        deadline = monotonic() + PATIENCE
        while len(ended) < partitions and monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                ended.add(message.partition())
            else:
                found.append(message.value() or b"")
    finally:
        consumer.close()
    assert len(ended) == partitions
    return found


@contextmanager
def serving(films: Lakehouse) -> Iterator[httpx.Client]:
    """The API, and `nextup stream` beside it, asked as the admin."""
    secret = next(
        line.partition("=")[2]
        for line in (films.folder / ".env").read_text().splitlines()
        if line.startswith("ADMIN_PASSWORD=")
    )
    with (
        films.started("stream"),
        films.started("serve", "--port", "0") as process,
    ):
        line = line_with(process, "Serving on")
        url = next(word for word in line.split() if word.startswith("http://")).rstrip(".,;")
        with httpx.Client(base_url=url, timeout=120) as client:
            assert client.get("/v1/trending").status_code == 401
            form = {"username": "admin", "password": secret, "grant_type": "password"}
            token = client.post("/v1/token", data=form)
            assert token.status_code == 200, token.text
            client.headers["authorization"] = f"Bearer {token.json()['access_token']}"
            yield client


def asked(api: httpx.Client, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The answer, and whether it was kept."""
    answer = api.get(path) if body is None else api.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json(), answer.headers["x-nextup-cache"]


def hit(api: httpx.Client, path: str) -> Any:
    """The answer, once it comes from Redis."""
    return until(lambda: [one for one, how in [asked(api, path)] if how == "hit"])[0]


def ids(answer: Any) -> list[str]:
    return [place["item_id"] for place in answer["items"]]


def redis_of(films: Lakehouse) -> Redis:
    """The database of the live state."""
    return Redis.from_url(f"{films.variables['REDIS_URL']}/1")


def kept(films: Lakehouse) -> set[str]:
    """The keys of kept answers, as `redis-cli` shows them."""
    with redis_of(films) as redis:
        names = {key.decode() for key in redis.scan_iter("{nextup:state}:*")}
    about = (name.removeprefix("{nextup:state}:") for name in names)
    return {name for name in about if name.startswith("answers:") or name == "everybody"}


UC1 = f"/v1/users/{ADA}/recommendations?limit=10"
UC2 = "/v1/trending?window=24&limit=10"
UC3 = {"user_id": ADA, "items": ["1", "260", "296", "318", "2571", "4993", "58559", "79132"]}


def answers_are_kept(films: Lakehouse, api: httpx.Client) -> None:
    """Each use case is answered once and then from Redis, until an event of the person: theirs
    go; what is about everybody goes with anybody's."""
    top = hit(api, UC1)
    assert len(top["items"]) == 10
    assert all(place["title"] for place in top["items"])
    assert asked(api, UC1) == (top, "hit")
    reranked, source = asked(api, "/v1/rerank", UC3)
    assert source == "miss"
    assert sorted(ids(reranked), key=int) == sorted(UC3["items"], key=int)
    assert asked(api, "/v1/rerank", UC3) == (reranked, "hit")
    assert hit(api, UC2)["source"] == "popular"  # nothing has happened today
    assert kept(films) == {f"answers:{ADA}", "everybody"}

    liked = top["items"][0]["item_id"]
    event = {"type": "rating", "user_id": ADA, "item_id": liked, "value": 5.0}
    assert api.post("/v1/events", json=event).status_code == 202
    assert kept(films) == set()
    after, source = asked(api, UC1)
    assert source == "miss"
    assert liked not in ids(after)
    assert asked(api, "/v1/rerank", UC3)[1] == "miss"
    trending = until(lambda: [one for one in [asked(api, UC2)[0]] if one["source"] == "trending"])
    assert ids(trending[0]) == [liked]
    assert ids(hit(api, UC2)) == [liked]
    wrong = {"type": "rating", "user_id": ADA, "item_id": liked, "value": 11}
    refused = api.post("/v1/events", json=wrong)
    assert (refused.status_code, refused.json()["rule"]) == (422, "rating_out_of_range")


def others_events_count(films: Lakehouse, api: httpx.Client) -> Any:
    """What another program writes to the topics: a good event changes answers, a bad one goes to
    the dead letters, and the stream goes on. Returns what is kept at the end."""
    film = ids(hit(api, UC1))[0]
    producer = Producer({"bootstrap.servers": films.variables["KAFKA"]})
    producer.produce("click_events", b"{this is no JSON", key=ADA)
    producer.produce("view_events", json.dumps({"user_id": "x7", "item_id": film}).encode())
    good = {"event_id": "click-1", "user_id": ADA, "item_id": film}
    for _ in range(2):
        producer.produce("click_events", json.dumps(good).encode(), key=ADA)
    assert producer.flush(60) == 0
    assert until(lambda: film not in ids(asked(api, UC1)[0]))
    history = api.get(f"/v1/users/{ADA}/history").json()["history"]
    assert [one["item_id"] for one in history].count(film) == 1
    dead = until(lambda: [one for one in [messages(films, DEAD)] if len(one) >= 7])[0]
    rules = sorted(json.loads(one)["rule"] for one in dead[4:])
    assert rules == ["id_not_integer", "not_json", "rating_out_of_range"]
    return hit(api, UC1)


def second_day(films: Lakehouse, airflow: Path, tmp_path: Path, rows: int) -> None:
    """The DAG for today, on the local engine: today's events join the old ones, nothing twice."""
    home = tmp_path / "airflow"
    names = {**SMALL, **films.variables, **films.more, "NEXTUP_ENGINE_URL": "local://"}
    command = ["env", *(f"{name}={value}" for name, value in names.items()), *NEXTUP[1:]]
    today = datetime.now(UTC).date()
    given = ("airflow", home / "dags", "--nextup", " ".join(command), "--since", today)
    assert films.nextup(*given).status == 0
    in_airflow(home, airflow / "airflow", "db", "migrate")
    said = look(home, airflow, home / "dags", "film_lakehouse_daily", f"{today}T12:00:00+00:00")
    assert said["state"] == "success"
    assert said["film_lakehouse_daily"]["tasks"] == STEPS
    runs = films.nextup("pipeline", "status", "--limit", 20, "--json").document
    did = {step["step"]: step for run in runs if run["date"] == str(today) for step in run["steps"]}
    assert did.keys() == set(STEPS)
    assert did["bronze"]["counts"]["written"] == 0
    assert did["silver_films"]["counts"] == {"made": 0}
    assert did["ingest"]["counts"] == {"accepted": 0}
    interactions = table(films.folder, "silver/interactions")
    assert interactions.height == rows + 2  # a rating over HTTP, and a click that came twice
    assert interactions["event_id"].is_unique().all()
    with postgresql(films.variables, "mlflow") as mlflow:
        found = mlflow.execute("SELECT max(version) FROM model_versions").fetchone()
    assert found == (2,)

"""Every profile of deploy/compose.yaml, really started: healthy, answering on the ports it
publishes, a recommendation at its end, nothing lost by a restart, nothing left by `down`."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from ast import literal_eval
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import yaml
from confluent_kafka.admin import AdminClient
from tests.deploy.compose import engine
from tests.deploy.compose.project import FILES, Project

from nextup.recipes.folders import write_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

NOT_HERE = ("grafana", "kafka-ui")  # neither packages nor jars of them can be had
FORM = "application/x-www-form-urlencoded"
COLUMNS = ("item=isbn", "title=title", "category=category", "rating=rating")
COUNT = 'SELECT count(*) FROM "Interaction"'
GIVEN = 900  # ratings in the small MovieLens below
FILMS = [f"{n},Film {n} (19{50 + n}),{'Drama' if n % 2 else 'Comedy'}" for n in range(1, 41)]


@contextmanager
def deployment(profile: str, folder: Path, *, later: Collection[str] = ()) -> Iterator[Project]:
    """The profile's services in a new folder of its recipe, until the block ends; but for those
    that the test starts later."""
    write_folder(profile, folder)
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)  # read by the containers' user
    write_films(folder / "films")
    write_books(folder / "books.csv")
    spare(folder / "nextup.toml")
    project = Project(profile, folder, without=NOT_HERE)
    build_what(project)
    try:
        project.up(*(name for name in project.services if name not in later))
        for port in project.published(*later).values():
            with socket.create_connection(("127.0.0.1", port), timeout=60):
                pass
        yield project
        assert project.fallen() == {}
        project.down()
        assert project.left() == []
    finally:
        project.remove()


def spare(settings: Path) -> None:
    """Programs of Spark that two cores bear, and films of the test's own."""
    small = ("max_cores = 2", "shuffle_partitions = 2", 'driver_memory = "768m"')
    section = "\n".join(("[spark]", *small, 'executor_memory = "512m"', ""))
    text = settings.read_text().replace('"ml-25m"', '"ml-latest-small"')
    text = text.replace('source = ""', 'source = "/folder/films"')
    settings.write_text(text.replace("[spark]\n", section) if "[spark]" in text else text + section)


def build_what(project: Project) -> None:
    """The images of its services: ours, and those that stand in for others."""
    stand_ins = yaml.safe_load(FILES[1].read_text())["services"]
    for name, service in project.services.items():
        if service["image"].startswith("${NEXTUP_IMAGES"):
            engine.build(service["image"].split("}/")[1].partition(":")[0])
        else:
            engine.stand_in(stand_ins[name]["image"].partition("nextup-test-")[2].split(":")[0])


def write_films(folder: Path) -> None:
    """A small MovieLens: 40 films, 30 people of two tastes."""
    folder.mkdir()
    (folder / "movies.csv").write_text("\n".join(["movieId,title,genres", *FILMS]) + "\n")
    ratings = [
        f"{person},{film},{5 if film % 2 == person % 2 else 1}.0,{1_700_000_000 + person + film}"
        for person in range(1, 31)
        for film in range(1, 41)
        if (person * 7 + film * 3) % 4
    ]
    (folder / "ratings.csv").write_text(
        "\n".join(["userId,movieId,rating,timestamp", *ratings]) + "\n"
    )
    (folder / "links.csv").write_text("movieId,imdbId,tmdbId\n")
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n")
    for file in folder.iterdir():
        file.chmod(0o644)


def write_books(file: Path) -> None:
    """40 books, and what the recipe's tables want to know of each."""
    lines = [f"{n:013},Book {n},{'Novel' if n % 2 else 'Essay'},4.5" for n in range(1, 41)]
    file.write_text("\n".join(["isbn,title,category,rating", *lines]) + "\n")
    file.chmod(0o644)


def ask(port: int, path: str, body: object = None, *, token: str = "", form: bool = False) -> Any:
    """The JSON that a published port answers with."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if body is not None:
        request.data = (urlencode(body) if form else json.dumps(body)).encode()  # type: ignore[arg-type]
        request.add_header("content-type", FORM if form else "application/json")
    if token:
        request.add_header("authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text[:1] in b"{[" else text.decode(errors="replace")


def eventually(ready: Any, *, seconds: float = 300.0) -> Any:
    """What it returns once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := ready():
                return found
        except (HTTPError, OSError) as error:
            found = error
        assert time.monotonic() < deadline, f"never so: {found!r}"
        time.sleep(1.0)


def spark_answers(project: Project) -> None:
    """The master knows both workers; the history server has its page."""
    state = ask(project.ports["SPARK_MASTER_PORT"], "/json/")
    assert state["aliveworkers"] == 2
    assert "History Server" in ask(project.ports["SPARK_HISTORY_PORT"], "/")


def topics_of(project: Project) -> set[str]:
    """What Kafka tells a program of this machine, on the port that it publishes."""
    admin = AdminClient({"bootstrap.servers": f"localhost:{project.ports['KAFKA_PORT']}"})
    return set(admin.list_topics(timeout=60).topics)


def prometheus_sees(project: Project, *jobs: str) -> None:
    """Its targets of these jobs answer."""

    def up() -> bool:
        said = ask(project.ports["PROMETHEUS_PORT"], "/api/v1/query?query=up")
        alive = {one["metric"]["job"] for one in said["data"]["result"] if one["value"][1] == "1"}
        return set(jobs) <= alive

    eventually(up)


def test_rating_service(tmp_path: Path) -> None:
    """A rating sent to the API goes through Kafka to HDFS; the schedule, once it is there, makes up
    for the night that it missed, on Spark; Redis has the lists. A restart loses nothing."""
    with deployment("rating-service", tmp_path / "shop", later=["rating-schedule"]) as project:
        api = project.ports["API_PORT"]
        project.execute("rating-api", "nextup", "ingest", "movielens", "/folder/films")
        sent = ask(api, "/send_rating", {"userId": 1, "movieId": 3, "rating": 4.5})
        assert sent["event_id"]
        spark_answers(project)
        assert {"ratings", "recommendations"} <= topics_of(project)
        project.up("rating-schedule")
        eventually(lambda: project.in_redis("GET", "recommendations:1"), seconds=1800.0)
        films = ask(api, "/recommendations/1")
        assert all(one["rating"] for one in films)  # stars, which only the model gives
        assert films[0]["title"].startswith("Film")
        kept = ask(api, "/v1/users/1/history")["history"]
        head, *rows = lines_on_hdfs(project, "/ratings/ratings.csv")
        assert head == "userId,movieId,rating,timestamp"
        assert len(rows) == len(set(rows)) == GIVEN + 1
        project.restart()
        assert ask(api, "/v1/users/1/history")["history"] == kept
        assert ask(api, "/recommendations/1") == films
        assert ask(api, "/send_rating", {"userId": 2, "movieId": 3, "rating": 3.5})["event_id"]
        eventually(lambda: len(lines_on_hdfs(project, "/ratings/ratings.csv")) > GIVEN + 2)
        after = lines_on_hdfs(project, "/ratings/ratings.csv")
        assert after[:-1] == [head, *rows]
        prometheus_sees(project, "nextup-api", "kafka", "redis", "spark", "hdfs")


def token_of(project: Project, name: str, password: str) -> str:
    """Signed in at the API."""
    form = {"username": name, "password": password, "grant_type": "password"}
    answer = ask(project.ports["API_PORT"], "/v1/token", form, form=True)
    return str(answer["access_token"])


def airflow_ran(project: Project, dag: str) -> None:
    """Airflow, signed in to on its published port, has done the DAG's newest run, which makes up
    for the last time that its schedule names."""
    port = project.ports["AIRFLOW_PORT"]
    who = {"username": "admin", "password": project.secret("AIRFLOW_PASSWORD")}
    token = eventually(lambda: ask(port, "/auth/token", who))["access_token"]
    newest = f"/api/v2/dags/{dag}/dagRuns?order_by=-run_after&limit=1"

    def ended() -> str:
        (run,) = ask(port, newest, token=token)["dag_runs"] or [{"state": "none yet"}]
        return str(run["state"]) if run["state"] in {"success", "failed"} else ""

    assert eventually(ended, seconds=1800.0) == "success"


def lines_on_hdfs(project: Project, file: str) -> list[str]:
    """A text on HDFS; Hadoop's own client would print its warnings among the lines."""
    script = f"""
from hdfs_native import Client
with Client("hdfs://namenode:9000").read("{file}") as reader:
    print(bytes(reader.read()).decode(), end="")
"""
    return project.execute("rating-api", "python3", "-c", script).splitlines()


def test_movielens_streaming(tmp_path: Path) -> None:
    """Files on HDFS become a model on Spark, and lists in Cassandra; who rates through Kafka while
    the stream runs gets a list, too. A restart loses nothing."""
    with deployment("movielens-streaming", tmp_path / "ml", later=["streaming-worker"]) as project:
        spark_answers(project)
        assert "JupyterLab" in ask(
            project.ports["JUPYTER_PORT"], f"/lab?token={project.secret('JUPYTER_PASSWORD')}"
        )
        six = ("input", "models/als", "logs", "processed", "errors", "tmps")
        project.nextup("jupyter", "files", "make", *six)
        project.nextup(
            *("jupyter", "files", "put", "films/movies.csv", "films/ratings.csv", "--to", "input")
        )
        project.nextup("jupyter", "db", "upgrade")
        project.nextup("jupyter", "topics", "create")
        assert {"movielens_ratings", "movielens_events"} <= topics_of(project)
        project.nextup("jupyter", "pipeline", "run", "als_train")
        assert len(cassandra_rows(project, 1)) == 10

        project.up("streaming-worker")
        (project.folder / "later.csv").write_text(
            "userId,movieId,rating,timestamp\n"
            + "".join(f"77,{film},5.0,{1_700_100_000 + film}\n" for film in (1, 3, 5))
        )
        (project.folder / "later.csv").chmod(0o644)
        produced = project.nextup(
            *("jupyter", "events", "produce", "--file", "later.csv"),
            *("--topic", "movielens_ratings"),
        )
        assert "3 messages" in produced
        rows = eventually(lambda: cassandra_rows(project, 77), seconds=600.0)
        assert len(rows) == 10
        assert not {film for film, _ in rows} & {1, 3, 5}
        api = project.ports["API_PORT"]
        listed = ask(api, "/v1/users/1/recommendations")["items"]
        kept = ask(api, "/v1/users/77/history")["history"]
        assert len(kept) == 3
        project.restart()
        assert ask(api, "/v1/users/77/history")["history"] == kept
        assert ask(api, "/v1/users/1/recommendations")["items"] == listed
        assert cassandra_rows(project, 77) == rows


def cassandra_rows(project: Project, user: int) -> list[tuple[int, str]]:
    """Films and titles in `reco.recommendations`, asked for beside it: its image has no client."""
    script = f"""
from cassandra.cluster import Cluster
rows = Cluster(["cassandra"]).connect("reco").execute(
    "SELECT movieid, title FROM recommendations WHERE userid = {user}")
print(*sorted((row.movieid, row.title) for row in rows), sep="\\n")
"""
    said = project.execute("jupyter", "python3", "-W", "ignore", "-c", script)
    return [literal_eval(line) for line in said.splitlines() if line.startswith("(")]


def test_film_lakehouse(tmp_path: Path) -> None:
    """Airflow fetches the archive and takes it through bronze, silver, gold, a model on Spark and
    MLflow to Redis; the API answers whoever signs in. A restart loses nothing."""
    work = ["airflow-worker"]
    with deployment("film-lakehouse", tmp_path / "films", later=work) as project:
        spark_answers(project)
        project.nextup("fastapi", "topics", "create")
        assert {"events", "rating_events", "dead_letter_events"} <= topics_of(project)
        assert "MLflow" in ask(project.ports["MLFLOW_PORT"], "/")
        project.up(*work)
        airflow_ran(project, "film_lakehouse_daily")
        api, admin = project.ports["API_PORT"], project.secret("ADMIN_PASSWORD")
        token = token_of(project, "admin", admin)
        films = ask(api, "/v1/users/1/recommendations?limit=5", token=token)["items"]
        assert len(films) == 5
        asked = {"name": "film-als"}
        path = "/api/2.0/mlflow/registered-models/get"
        model = ask(project.ports["MLFLOW_PORT"], f"{path}?{urlencode(asked)}")
        assert model["registered_model"]["aliases"]
        assert int(project.in_redis("DBSIZE"))
        project.restart()
        token = token_of(project, "admin", admin)
        assert ask(api, "/v1/users/1/recommendations?limit=5", token=token)["items"] == films
        again = ask(project.ports["MLFLOW_PORT"], f"{path}?{urlencode(asked)}")
        assert again == model
        prometheus_sees(project, "nextup-api", "airflow", "kafka", "postgresql", "redis", "spark")


def test_book_platform(tmp_path: Path) -> None:
    """Likes posted to the API lie in PostgreSQL; Airflow's night takes yesterday's through HDFS and
    Spark to Redis. A restart loses nothing."""
    work = ["book-airflow-worker"]
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    with deployment("book-platform", tmp_path / "books", later=work) as project:
        spark_answers(project)
        columns = [f"--map={one}" for one in COLUMNS]
        project.nextup("book-api", "ingest", "items", "books.csv", *columns, "--kind", "book")
        api = project.ports["API_PORT"]
        acts = [
            {
                "type": "like" if book % 3 else "view",
                "user_id": f"{reader}",
                "item_id": f"{book:013}",
                "occurred_at": f"{yesterday}T{8 + book % 12:02}:00:00Z",
            }
            for reader in range(1, 31)
            for book in range(1, 41)
            if book % 2 == reader % 2 and (reader * 7 + book * 3) % 4
        ]
        assert ask(api, "/v1/events/batch", acts)["accepted"] == len(acts)
        project.up(*work)
        airflow_ran(project, "generate_book_recommendations")
        books = project.in_redis("LRANGE", "user:1", "0", "-1").splitlines()
        assert books
        listed = ask(api, "/v1/users/1/recommendations?limit=5")["items"]
        assert [one["item_id"] for one in listed] == books[:5]
        project.restart()
        assert project.in_redis("LRANGE", "user:1", "0", "-1").splitlines() == books
        assert ask(api, "/v1/users/1/recommendations?limit=5")["items"] == listed
        interactions = ("psql", "-U", "nextup", "-d", "book-platform-db", "-Atc", COUNT)
        assert int(project.execute("postgres", *interactions)) == len(acts)
        prometheus_sees(project, "nextup-api", "airflow", "hdfs", "postgresql", "redis", "spark")


def test_platform_api(tmp_path: Path) -> None:
    """A client registers; Airflow injects the day's files, which starts the training; the client
    signs in and gets a list. A restart loses nothing."""
    work = ["partner-airflow-worker"]
    with deployment("platform-api", tmp_path / "partner", later=work) as project:
        api = project.ports["API_PORT"]
        admin = token_of(project, "admin", project.secret("ADMIN_PASSWORD"))
        client = {"client_id": "simulation", "password": "seven green bicycles"}
        assert ask(api, "/create-client", client, token=admin) == {"client_id": "simulation"}
        dropped = "mkdir -p data/simulation_data && cp /folder/day/*.csv data/simulation_data/"
        write_day(project.folder)
        project.execute("partner-api", "sh", "-c", dropped)
        project.up(*work)
        airflow_ran(project, "inject-data")
        airflow_ran(project, "train-model")
        token = token_of(project, "simulation", client["password"])
        known = {"user_id": "1", "limit": 5}
        listed = ask(api, "/recommendations", known, token=token)["recommendations"]
        assert len(listed) == 5
        assert all(one["title"].startswith("Film") for one in listed)
        new = ask(api, "/recommendations", {"history": ["3", "5"], "limit": 5}, token=token)
        kept = ask(api, f"/v1/users/{new['user_id']}/history", token=token)["history"]
        assert len(kept) == 2
        project.restart()
        token = token_of(project, "simulation", client["password"])
        assert ask(api, f"/v1/users/{new['user_id']}/history", token=token)["history"] == kept
        again = ask(api, "/recommendations", known, token=token)["recommendations"]
        assert again == listed
        prometheus_sees(project, "nextup-api", "airflow", "postgresql")


def write_day(folder: Path) -> None:
    """The same films and ratings in the form of the recipe's daily files."""
    (folder / "day").mkdir(mode=0o755)
    films = [line.rsplit(",", 1) for line in FILMS]
    text = "".join(f"{film},{genre},2001\n" for film, genre in films)
    (folder / "day" / "movies.csv").write_text("movie_id,title,genres,year\n" + text)
    (folder / "day" / "ratings.csv").write_text((folder / "films" / "ratings.csv").read_text())
    for file in (folder / "day").iterdir():
        file.chmod(0o644)

"""Every profile of deploy/compose.yaml, really started: healthy, answering on the ports it
publishes, a recommendation at its end, nothing lost by a restart, nothing left by `down`."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
import yaml
from confluent_kafka.admin import AdminClient
from tests.deploy.compose import engine
from tests.deploy.compose.project import FILES, Project

from nextup.recipes.folders import recipes, write_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOT_HERE = ("grafana", "kafka-ui")  # neither packages nor jars of them can be had
FILMS = [f"{n},Film {n} (19{50 + n}),{'Drama' if n % 2 else 'Comedy'}" for n in range(1, 41)]


@contextmanager
def deployment(profile: str, folder: Path, *, later: str = "") -> Iterator[Project]:
    """The profile's services in a new folder of its recipe, until the block ends; but for one that
    the test starts later."""
    if profile not in recipes():
        pytest.skip(f"There is no recipe {profile} yet.")
    write_folder(profile, folder)
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)  # read by the containers' user
    write_films(folder / "films")
    spare(folder / "nextup.toml")
    project = Project(profile, folder, without=NOT_HERE)
    build_what(project)
    try:
        project.up(*(name for name in project.services if name != later))
        for name, port in project.published().items():
            with socket.create_connection(("127.0.0.1", port), timeout=60):
                print(f"{name}: {port}")
        yield project
        project.down()
        assert project.left() == []
    finally:
        project.remove()


def spare(settings: Path) -> None:
    """Programs of Spark that two cores bear."""
    small = ("max_cores = 2", "shuffle_partitions = 2", 'driver_memory = "768m"')
    section = "\n".join(("[spark]", *small, 'executor_memory = "512m"', ""))
    text = settings.read_text()
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


def ask(port: int, path: str, body: object = None, **headers: str) -> Any:
    """The JSON that a published port answers with."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json", **headers},
    )
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
    with deployment("rating-service", tmp_path / "shop", later="rating-schedule") as project:
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
        project.restart()
        assert ask(api, "/v1/users/1/history")["history"] == kept
        assert ask(api, "/recommendations/1") == films
        prometheus_sees(project, "nextup-api", "kafka", "redis", "spark", "hdfs")

"""A deployment of the recipe `platform-api` on a database of its own, and the files of its days."""

from __future__ import annotations

import csv
import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from sqlalchemy import make_url

from nextup.algorithms.audience.simulate import AudienceConfig
from nextup.bootstrap import Platform, open_platform
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.entrypoints.cli.context import context_of
from nextup.recipes.folders import write_folder
from nextup.recipes.pipelines import pipelines_of
from nextup.services.access.accounts import Accounts
from nextup.services.pipeline import pipeline_named, run_pipeline
from nextup.services.sample import sample_items
from nextup.services.simulate import write_days
from nextup.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nextup.domain.items import Item
    from nextup.domain.operations import Run

FIRST, SECOND = date(2026, 3, 31), date(2026, 4, 1)
KEYS = {"auth": "keys", "people": "client", "registration": "open"}
PASSWORD = "seven green bicycles at dawn"
FILMS = 120
AUDIENCE = AudienceConfig(people=60, days=20)
TABLES = ("movies", "users", "movies_users_rating", "clients")


@dataclass(frozen=True)
class Deployment:
    """A folder, and the database that it works on."""

    home: Path
    url: str
    listed_first: str = ""  # the list of films after the first day

    def settings(self, **more: Any) -> Settings:
        return load_settings(self.home, **more)

    @property
    def inbox(self) -> Path:
        return self.home / "data" / "simulation_data"

    def run(self, name: str, day: date) -> Run:
        settings = self.settings()
        with open_platform(settings) as platform:
            pipeline = pipeline_named(name, pipelines_of(settings))
            return run_pipeline(context_of(platform, day), platform.control, pipeline=pipeline)

    def run_only(self, name: str, day: date, step: str) -> Run:
        settings = self.settings()
        with open_platform(settings) as platform:
            pipeline = pipeline_named(name, pipelines_of(settings))
            return run_pipeline(
                context_of(platform, day),
                platform.control,
                pipeline=pipeline,
                first=step,
                last=step,
            )

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """As anybody with psql sees them."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, values).fetchall()

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """All four, whole."""
        return {name: sorted(self.rows(f"SELECT * FROM {name}"), key=repr) for name in TABLES}

    def not_injected(self, day: date) -> dict[str, list[dict[str, Any]]]:
        folder = self.home / "data" / "no_injected_data" / str(day)
        return {
            file.name: [json.loads(line) for line in file.read_text().splitlines()]
            for file in sorted(folder.glob("*"))
        }

    @contextmanager
    def opened(self, **more: Any) -> Iterator[Platform]:
        with open_platform(self.settings(**more)) as platform:
            yield platform


def deploy(server_url: str, name: str, home: Path) -> Deployment:
    """`nextup init --recipe platform-api`, with a database of this name on the server, and the
    client that daily files name."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    write_folder("platform-api", home)
    server = make_url(server_url)
    given = {
        "POSTGRES_HOST": server.host,
        "POSTGRES_PORT": server.port,
        "POSTGRES_DB": name,
        "POSTGRES_USER": server.username,
        "POSTGRES_PASSWORD": server.password,
        "ADMIN_PASSWORD": PASSWORD,
    }
    lines = [f"{variable}={value}\n" for variable, value in given.items()]
    (home / ".env").write_text("".join(lines))
    url = server.set(database=name).render_as_string(hide_password=False)
    deployment = Deployment(home, url)
    with deployment.opened() as platform:
        Accounts(platform.clients, platform.settings).register("simulation", password=PASSWORD)
    return deployment


def films() -> list[Item]:
    return list(sample_items())[:FILMS]


def write_movies(file: Path, items: Sequence[Item]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("movie_id", "title", "genres", "year"))
        for item in items:
            writer.writerow((item.item_id, item.title, "|".join(item.genres), item.year))


def first_day(deployment: Deployment) -> int:
    """Films, and what simulated people did up to the first day; returns how many events."""
    write_movies(deployment.inbox / f"movies-{FIRST}.csv", films())
    ends_at = datetime.combine(FIRST, time(), UTC) + timedelta(days=1)
    files = write_days(deployment.inbox, films(), AUDIENCE, ends_at=ends_at, seed=7)
    return sum(one.events for one in files)


@contextmanager
def serving(shop: Deployment, **access: object) -> Iterator[httpx.Client]:
    """The API with keys asked for."""
    with (
        shop.opened(access={**KEYS, **access}) as platform,
        ApiServer(create_app(platform), host="127.0.0.1", port=0) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


def registered(client: httpx.Client, name: str) -> dict[str, str]:
    """The headers of a new client."""
    made = client.post("/create-client", json={"client_id": name, "password": PASSWORD})
    assert made.status_code == 201, made.text
    form = {"username": name, "password": PASSWORD, "grant_type": "password"}
    token = client.post("/token", data=form).json()["access_token"]
    return {"authorization": f"Bearer {token}"}


def assert_mirrors(shop: Deployment) -> None:
    """Each table holds what Nextup's own says, no more and no less."""
    for table, source, columns in (
        ("movies", "platform.platform_movies", "*"),
        ("clients", "platform.platform_clients", "*"),
        (
            "movies_users_rating",
            "platform.platform_ratings",
            "client_id, user_id, movie_id, rating, rated_at",
        ),
    ):
        one, other = f"SELECT {columns} FROM public.{table}", f"SELECT {columns} FROM {source}"
        assert shop.rows(f"({one} EXCEPT {other}) UNION ALL ({other} EXCEPT {one})") == []

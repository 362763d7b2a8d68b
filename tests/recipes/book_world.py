"""The book platform's servers, its folder, and readers with two tastes."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import psycopg
from hdfs_native import Client, WriteOptions
from stack.servers.hdfs import NAMENODE
from tests.servers import SHARED, Backend, reach

from nextup.bootstrap import Platform, open_platform
from nextup.entrypoints.api.app import create_app
from nextup.entrypoints.api.server import ApiServer
from nextup.entrypoints.cli.context import context_of
from nextup.recipes.folders import write_folder
from nextup.recipes.pipelines import pipelines_of
from nextup.services.pipeline import pipeline_named, run_pipeline
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from nextup.domain.operations import Run

REPOSITORY = Path(__file__).parents[2]
ROOT = "/book-recommendation"
ZONE = "Europe/Berlin"
READERS, BOOKS, TASTES = 60, 30, 2
FIRST, SECOND = date(2026, 3, 28), date(2026, 3, 29)  # the second has 23 hours
GENERATE = "generate_book_recommendations"


def isbn(number: int) -> str:
    return f"0{number:08}X"


def books_file(folder: Path) -> Path:
    """Books of two categories, the last one without; a line of it is poison."""
    lines = ["isbn,title,category,rating"]
    for number in range(BOOKS):
        category = ("Novel", "Essay")[number % TASTES] if number < BOOKS - 1 else ""
        lines.append(f'{isbn(number)},"Book, ""{number}""",{category},{3 + number % 10 / 10}')
    lines.append("0000000999,Poison,Novel,very good")
    file = folder / "some-books.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def acts(day: date, reader_from: int = 0) -> list[tuple[int, int, str, str]]:
    """What readers do on a day with books of their own taste: reader, book, action, moment."""
    found = []
    for reader in range(reader_from, READERS):
        for step in range(6):
            number = (reader % TASTES) + TASTES * (
                (reader // TASTES + step * (1 + day.day % 3)) % 15
            )
            action = "LIKE" if step % 3 else "VIEW"
            found.append((1 + reader, number, action, f"{day} {8 + step:02}:{reader % 60:02}+00"))
    return found


@dataclass
class BookWorld:
    """Everything at its address."""

    folder: Path
    database: str
    hdfs: str
    namenode: str
    redis: str

    @contextmanager
    def platform(self) -> Iterator[Platform]:
        with open_platform(load_settings(self.folder)) as opened:
            yield opened

    @contextmanager
    def api(self) -> Iterator[httpx.Client]:
        """A server that has just started."""
        with (
            self.platform() as platform,
            ApiServer(create_app(platform), host="127.0.0.1", port=0) as server,
            httpx.Client(base_url=server.url, timeout=120) as client,
        ):
            yield client

    def run(self, day: date, pipeline: str = GENERATE, **which: Any) -> Run:
        with self.platform() as platform:
            chosen = pipeline_named(pipeline, pipelines_of(platform.settings))
            context = context_of(platform, day)
            return run_pipeline(context, platform.control, pipeline=chosen, **which)

    def command(self, *words: str) -> subprocess.Popen[str]:
        """A command of its own in the folder."""
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            cursor = connection.execute(statement, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def put_acts(self, rows: list[tuple[int, int, str, str]]) -> None:
        """As another program writes them, past Nextup."""
        with psycopg.connect(self.database) as connection, connection.cursor() as cursor:
            people = sorted({row[0] for row in rows})
            cursor.executemany(
                'INSERT INTO "User" (id) VALUES (%s) ON CONFLICT DO NOTHING',
                [(one,) for one in people],
            )
            cursor.executemany(
                'INSERT INTO "Interaction" (user_id, book_id, action, action_date) VALUES'
                ' (%s, (SELECT id FROM "Book" WHERE isbn = %s), %s, %s)',
                [(user, isbn(book), action, at) for user, book, action, at in rows],
            )

    def ls(self, folder: str) -> list[str]:
        """The names in a folder of HDFS, as its own client lists them."""
        client = Client(self.hdfs)
        try:
            found = [one.path.rpartition("/")[2] for one in client.list_status(f"{ROOT}/{folder}")]
        except FileNotFoundError:
            return []
        return sorted(found)

    def read(self, file: str) -> bytes:
        client = Client(self.hdfs)
        with client.read(f"{ROOT}/{file}") as reader:
            return bytes(reader.read())

    def put(self, file: str, content: bytes) -> None:
        client = Client(self.hdfs)
        client.mkdirs(f"{ROOT}/{file}".rpartition("/")[0], create_parent=True)
        with client.create(f"{ROOT}/{file}", WriteOptions(overwrite=True)) as writer:
            writer.write(content)

    def contents(self, folder: str) -> dict[str, bytes]:
        return {name: self.read(f"{folder}/{name}") for name in self.ls(folder)}


@contextmanager
def book_world(
    request: pytest.FixtureRequest, home: Path, spark: dict[str, Any]
) -> Iterator[BookWorld]:
    """Its own database, on servers of the stack; what it leaves on the others is removed."""
    server = reach(request, Backend("postgresql")).url.replace("+psycopg", "")
    hdfs = reach(request, Backend("hdfs")).url
    redis = reach(request, Backend("redis")).url.rpartition("/")[0]
    name = f"book-platform-db-{secrets.token_hex(4)}"
    folder = home / "book-platform"
    write_folder("book-platform", folder)
    place = urlsplit(server)
    env = {
        "POSTGRES_HOST": place.hostname,
        "POSTGRES_PORT": place.port,
        "POSTGRES_DB": name,
        "POSTGRES_USER": place.username,
        "POSTGRES_PASSWORD": place.password or "none",
        "HDFS_URL": hdfs,
        "NAMENODE_URL": web_of(request),
        "REDIS_URL": redis,
        "SPARK_MASTER": spark["engine_url"],
    }
    smaller = {
        "TIMEZONE": ZONE,
        "SPARK": spark["spark"],
        "MODELS": {"als": {"factors": 8, "iterations": 4}},
        "RECOMMEND": {"published_depth": 9, "diversity": 0},
        "HISTORY": {"parts": 2},
    }
    for key, value in smaller.items():
        env[f"NEXTUP_{key}"] = value if isinstance(value, str) else json.dumps(value)
    lines = (f"{key}='{value}'\n" for key, value in env.items())
    (folder / ".env").write_text("".join(lines), encoding="utf-8")
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    world = BookWorld(
        folder,
        place._replace(path=f"/{name}").geturl(),
        hdfs,
        str(env["NAMENODE_URL"]),
        redis,
    )
    try:
        yield world
    finally:
        Client(hdfs).delete(ROOT, recursive=True)
        _forget_keys(redis)
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]


def web_of(request: pytest.FixtureRequest) -> str:
    """The NameNode's own pages."""
    return request.config.stash[SHARED].get("hdfs").environment[NAMENODE]


def _forget_keys(redis: str) -> None:
    from redis import Redis

    with Redis.from_url(f"{redis}/0") as client:
        for key in client.scan_iter(match="user:*", _type="list"):
            client.delete(key)
        client.delete("nextup:lists:published")
    with Redis.from_url(f"{redis}/1") as client:
        client.flushdb()

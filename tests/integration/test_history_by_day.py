"""One day out of a real PostgreSQL, by Spark, into folders; and again."""

from __future__ import annotations

import secrets
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest
from tests.servers import Backend, reach
from tests.spark_world import STARTING_SECONDS

from nextup.bootstrap import open_platform
from nextup.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    InvalidInput,
    NextupError,
    NotFound,
)
from nextup.services.history_by_day import (
    archive_day,
    clear_day,
    extract_day,
    merge_day,
    merged_days,
)
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform

pytestmark = pytest.mark.timeout(STARTING_SECONDS)

DAY = date(2026, 3, 29)  # in Berlin it has 23 hours: from 23:00 to 22:00 UTC
PEOPLE, BOOKS = 7, 5

TABLES = """
CREATE TABLE "Book" (id int PRIMARY KEY, isbn text UNIQUE NOT NULL, title text);
CREATE TABLE "Interaction" (
  id serial PRIMARY KEY, user_id int NOT NULL, book_id int NOT NULL,
  action text NOT NULL, action_date timestamptz NOT NULL);
"""


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database of this test, with books and three days of interactions."""
    server = reach(request, Backend("postgresql")).url.replace("+psycopg", "")
    name = f"books_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    url = urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(url) as connection:
        connection.execute(TABLES)
        with connection.cursor() as cursor:
            cursor.executemany(
                'INSERT INTO "Book" VALUES (%s, %s, %s)',
                [(n, f'978,"{n}', f"Title {n}") for n in range(BOOKS)],
            )
            cursor.executemany(_PUT, interactions())
    yield url
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


_PUT = 'INSERT INTO "Interaction" (user_id, book_id, action, action_date) VALUES (%s, %s, %s, %s)'


def interactions() -> list[tuple[int, int, str, str]]:
    """Some within the day to the second, and as many just outside it."""
    inside = [
        (n % PEOPLE, n % BOOKS, "LIKE" if n % 3 else "VIEW", f"2026-03-29 {n % 20:02}:{n % 60:02}Z")
        for n in range(200)
    ]
    edges = [
        (1, 1, "VIEW", "2026-03-28 22:59:59.999999Z"),
        (1, 1, "VIEW", "2026-03-28 23:00:00Z"),
        (1, 1, "LIKE", "2026-03-29 21:59:59.999999Z"),
        (1, 1, "LIKE", "2026-03-29 22:00:00Z"),
        (1, 1, "SHARE", "2026-03-29 12:00:00Z"),
    ]
    return inside + edges


def expected() -> dict[tuple[int, str], list[int]]:
    """The counts as a plain loop makes them."""
    counts: dict[tuple[int, str], list[int]] = {}
    inside = interactions()
    for user, book, action, _ in [*inside[:200], inside[201], inside[202]]:
        counts.setdefault((user, f'978,"{book}'), [0, 0])[action == "VIEW"] += 1
    return counts


@pytest.fixture
def platform(database: str, tmp_path: Path, spark: dict[str, Any]) -> Iterator[Platform]:
    history = {"url": database, "parts": 3}
    settings = load_settings(tmp_path, timezone="Europe/Berlin", history=history, **spark)
    with open_platform(settings) as opened:
        yield opened


def read(platform: Platform, folder: str) -> dict[tuple[int, str], list[int]]:
    """What the files of a folder hold."""
    found: dict[tuple[int, str], list[int]] = {}
    for name in platform.files.list(folder):
        with platform.files.open(f"{folder}/{name}") as stream:
            rows = pl.read_csv(stream.read(), schema_overrides={"isbn": pl.String})
        assert rows.columns == ["user_id", "isbn", "LIKE", "VIEW"]
        for user, isbn, likes, views in rows.iter_rows():
            assert (user, isbn) not in found
            found[user, isbn] = [likes, views]
    return found


def contents(platform: Platform, folder: str) -> dict[str, bytes]:
    """The bytes of a folder's files."""
    found = {}
    for name in platform.files.list(folder):
        with platform.files.open(f"{folder}/{name}") as stream:
            found[name] = stream.read()
    return found


def test_a_day_is_extracted_archived_and_merged_once(platform: Platform, database: str) -> None:
    """All actions between two local midnights, counted by person and book; the same bytes in the
    archive and in the history; again, nothing changes; after a correction the day is replaced."""
    engine, files, settings = platform.engine, platform.files, platform.settings
    done = extract_day(engine, files, settings, DAY)
    assert done.folder == "processed/interactions/2026/03/29"
    assert read(platform, done.folder) == expected()
    assert (done.files, done.rows, done.unknown_items) == (3, len(expected()), 0)
    assert archive_day(files, settings, DAY).rows == done.rows
    merged = merge_day(files, settings, DAY)
    assert merged.folder == "raw/interactions/DataSet/2026-03-29"
    first = contents(platform, merged.folder)
    assert first == contents(platform, done.folder)

    extract_day(engine, files, settings, DAY)
    archive_day(files, settings, DAY)
    merge_day(files, settings, DAY)
    assert contents(platform, merged.folder) == first
    assert merged_days(files, settings) == ["2026-03-29"]

    with psycopg.connect(database) as connection:
        connection.execute(_PUT, (99, 2, "LIKE", "2026-03-29 10:00Z"))
        connection.execute(_PUT, (99, 404, "LIKE", "2026-03-29 10:00Z"))  # no such book
    again = extract_day(engine, files, settings, DAY)
    assert (again.rows, again.unknown_items) == (done.rows + 1, 1)
    archive_day(files, settings, DAY)
    merge_day(files, settings, DAY)
    assert read(platform, merged.folder) == {**expected(), (99, '978,"2'): [1, 0]}

    assert len(clear_day(files, settings, DAY)) == 2
    assert clear_day(files, settings, DAY) == []
    with pytest.raises(NotFound):
        merge_day(files, settings, DAY)
    assert merged_days(files, settings) == ["2026-03-29"]  # the history keeps it


def test_a_day_without_actions_and_another_format(platform: Platform) -> None:
    """An empty day has files without rows; Parquet holds what CSV does."""
    history = platform.settings.history
    empty = extract_day(platform.engine, platform.files, platform.settings, date(2026, 1, 1))
    assert (empty.rows, empty.files) == (0, 3)
    assert read(platform, empty.folder) == {}
    parquet = platform.settings.model_copy(
        update={"history": history.model_copy(update={"format": "parquet", "item_table": ""})}
    )
    done = extract_day(platform.engine, platform.files, parquet, DAY)
    with platform.files.open(f"{done.folder}/part-00000.parquet") as stream:
        rows = pl.read_parquet(stream.read())
    assert rows.columns == ["user_id", "isbn", "LIKE", "VIEW"]
    assert set(rows["isbn"]) <= {f"{n}" for n in range(BOOKS)}  # as the actions call them
    assert done.rows == len(expected())


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"url": ""}, ConfigurationError, "history.url"),
        ({"url": "mysql://host/db"}, ConfigurationError, "no PostgreSQL"),
        ({"table": "Nothing"}, InvalidInput, "Nothing"),
        ({"action_column": "deed"}, InvalidInput, "deed"),
        ({"url": "postgresql://u:secret@127.0.0.1:1/x"}, BackendUnavailable, "127.0.0.1"),
    ],
)
def test_what_cannot_be_read_is_said(
    platform: Platform, change: dict[str, str], error: type[NextupError], said: str
) -> None:
    """In our words, without the password; and the folder of the day stays as it was."""
    history = platform.settings.history.model_copy(update=change)
    settings = platform.settings.model_copy(update={"history": history})
    with pytest.raises(error) as caught:
        extract_day(platform.engine, platform.files, settings, DAY)
    assert said in caught.value.message
    assert "secret" not in f"{caught.value.message} {caught.value.cure}"
    assert platform.files.list("processed/interactions/2026/03") == []

"""How a SQL database is opened, written, closed, and what its errors become."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, Text, func, insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from nextup.adapters.event_log.sql import SqlEventLog
from nextup.adapters.sql import Database, Id, open_database
from nextup.adapters.sql_errors import shown, translate
from nextup.domain.errors import (
    BackendUnavailable,
    ConfigurationError,
    CorruptData,
    InvalidInput,
    NextupError,
    StorageFull,
)
from nextup.domain.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NOBODY = 65534  # the user id of no one: may read what all may read, and write nothing
FILE = "sqlite:///data/file.db"
MEMORY = "sqlite:///:memory:"
SOURCES = Path(__file__).parents[2] / "src"

METADATA = MetaData()
WORDS = Table("words", METADATA, Column("word", Id, primary_key=True), Column("meaning", Text))


@pytest.fixture(params=[FILE, MEMORY], ids=["file", "memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    opened = open_database(request.param, tmp_path)
    create(opened)
    yield opened
    opened.close()


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Permissions bind: root, which they do not, becomes nobody for the test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def create(database: Database) -> None:
    with database.begin() as connection:
        METADATA.create_all(connection)


def add(connection: Connection, word: str) -> None:
    connection.execute(insert(WORDS).values(word=word))


def add_all(connection: Connection, words: Iterable[str], pages: int = 1_000_000) -> None:
    connection.execute(text(f"PRAGMA max_page_count = {pages}"))  # of this connection
    for word in words:
        add(connection, word)


def words(database: Database) -> list[str]:
    with database.connect() as connection:
        return list(connection.execute(select(WORDS.c.word).order_by(WORDS.c.word)).scalars())


def test_a_relative_file_lies_in_the_home_folder(tmp_path: Path) -> None:
    """And the folders on the way to it are made."""
    database = open_database("sqlite:///a/b/c.db", tmp_path)
    create(database)
    database.close()
    assert (tmp_path / "a/b/c.db").is_file()


def test_an_absolute_file_lies_where_it_says(tmp_path: Path) -> None:
    """The home folder has no say."""
    database = open_database(f"sqlite:///{tmp_path}/here.db", tmp_path / "home")
    create(database)
    database.close()
    assert (tmp_path / "here.db").is_file()
    assert not (tmp_path / "home").exists()


def test_in_memory_databases_are_apart(tmp_path: Path) -> None:
    """Each is its own, shared by its connections, and gone when closed."""
    one, two = open_database(MEMORY, tmp_path), open_database(MEMORY, tmp_path)
    for database in (one, two):
        create(database)
    with one.begin() as connection:
        add(connection, "a")
    assert (words(one), words(two)) == (["a"], [])
    one.close()
    two.close()
    assert list(tmp_path.iterdir()) == []


def test_tenants_have_tables_of_their_own(tmp_path: Path) -> None:
    """A prefix is part of every table's name."""
    logs = [SqlEventLog(open_database(FILE, tmp_path, prefix)) for prefix in ("", "acme_")]
    logs[0].commit("lake", {"0": 1})
    assert logs[1].committed("lake") == {}
    for log in logs:
        log.close()


@pytest.mark.parametrize("prefix", ["A", "a b", 'x"', "ü", "a;"])
def test_a_prefix_is_plain(tmp_path: Path, prefix: str) -> None:
    """What could be more than the beginning of a name is refused."""
    with pytest.raises(ConfigurationError):
        open_database(FILE, tmp_path, prefix)


def test_a_finished_block_is_written_and_a_failed_one_is_not(database: Database) -> None:
    """A transaction is whole."""
    with database.begin() as connection:
        add(connection, "kept")
    with pytest.raises(InvalidInput), database.begin() as connection:
        add_all(connection, ["lost", "kept"])
    assert words(database) == ["kept"]


def test_durability_is_what_was_asked_for(tmp_path: Path) -> None:
    """Durable: synced at each commit (2, FULL); otherwise at checkpoints (1, NORMAL)."""
    for durable, level in ((True, 2), (False, 1)):
        database = open_database(FILE, tmp_path, durable=durable)
        with database.connect() as connection:
            assert connection.execute(text("PRAGMA synchronous")).scalar() == level
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        database.close()


def test_a_reader_keeps_its_view(tmp_path: Path) -> None:
    """What is written while a reading block is open is not seen in it, and does not wait."""
    database = open_database(FILE, tmp_path)
    create(database)
    count = select(func.count()).select_from(WORDS)
    with database.connect() as reader:
        assert reader.execute(count).scalar() == 0
        with database.begin() as writer:
            add(writer, "a")
        assert reader.execute(count).scalar() == 0
    assert words(database) == ["a"]
    database.close()


def test_writers_queue(database: Database) -> None:
    """Reading and then writing in one transaction never fails because another was faster."""
    failures: list[Exception] = []

    def count_up() -> None:
        try:
            for _ in range(15):
                with database.begin() as connection:
                    number = connection.execute(select(func.count()).select_from(WORDS)).scalar()
                    add(connection, f"{number:04}")
        except Exception as error:  # a thread's own would be lost
            failures.append(error)

    threads = [threading.Thread(target=count_up) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert words(database) == [f"{number:04}" for number in range(90)]


def test_processes_that_open_a_new_database_together(tmp_path: Path) -> None:
    """All get the tables, and none an error."""
    program = f"""
import sys
from pathlib import Path
from nextup.adapters.control.sql import SqlControl
from nextup.adapters.sql import open_database
print("ready", flush=True)
sys.stdin.readline()
control = SqlControl(open_database({FILE!r}, Path({str(tmp_path)!r})))
print(control.current_model())
control.close()
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(SOURCES)},
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        with process:
            output, _ = process.communicate()
        assert (process.returncode, output) == (0, "None\n")


def test_closing_twice_does_nothing(database: Database) -> None:
    """A closed database is not opened again by using it."""
    database.close()
    database.close()
    with pytest.raises(BackendUnavailable, match="closed"):
        words(database)


def test_a_closed_file_stands_alone(tmp_path: Path) -> None:
    """Nothing is left beside it that belongs to it: it can be copied."""
    database = open_database(FILE, tmp_path)
    create(database)
    database.close()
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["file.db"]


def test_a_checkpoint_empties_the_write_ahead_log(tmp_path: Path) -> None:
    """What was written is in the file, also while connections are open."""
    database = open_database(FILE, tmp_path)
    create(database)
    with database.begin() as connection:
        add(connection, "a")
    assert (tmp_path / "data/file.db-wal").stat().st_size > 0
    database.checkpoint()
    assert (tmp_path / "data/file.db-wal").stat().st_size == 0
    database.close()


def test_erased_bytes_are_gone_from_the_file(tmp_path: Path) -> None:
    """After an erasure the person's texts are found in none of the database's files."""
    log = SqlEventLog(open_database(FILE, tmp_path))
    at = datetime(2024, 1, 1, tzinfo=UTC)
    log.append([Event(f"e{n}", "view", "secretive-person", f"i{n}", at) for n in range(500)])
    log.append([Event(f"f{n}", "view", "another-person", f"i{n}", at) for n in range(500)])
    assert log.erase("secretive-person") == 500
    content = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())
    assert b"another-person" in content
    assert b"secretive-person" not in content
    log.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """It is called damaged, and left as it is."""
    file = tmp_path / "data/file.db"
    file.parent.mkdir()
    file.write_bytes(b"Dear diary, " * 1000)
    database = open_database(FILE, tmp_path)
    with pytest.raises(CorruptData, match=r"file\.db"):
        create(database)
    database.close()
    assert file.read_bytes() == b"Dear diary, " * 1000


def test_a_file_with_a_damaged_page(tmp_path: Path) -> None:
    """Damage is noticed when it is met, and what is there is not overwritten."""
    database = open_database(FILE, tmp_path)
    create(database)
    with database.begin() as connection:
        for number in range(500):
            add(connection, f"{number:0100}")
    database.close()
    file = tmp_path / "data/file.db"
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    file.write_bytes(content)
    database = open_database(FILE, tmp_path)
    with pytest.raises(CorruptData):
        words(database)
    database.close()
    assert file.read_bytes() == bytes(content)


def test_a_folder_that_cannot_be_made(open_folder: Path, request: pytest.FixtureRequest) -> None:
    """Says which, and what to do."""
    request.getfixturevalue("unprivileged")
    if os.geteuid() != NOBODY:
        open_folder.chmod(0o555)
    with pytest.raises(BackendUnavailable, match="cannot be made") as raised:
        open_database("sqlite:///deep/down/file.db", open_folder)
    assert "permission" in raised.value.cure


def test_a_path_through_a_file(tmp_path: Path) -> None:
    """A file is not a folder."""
    (tmp_path / "file").touch()
    with pytest.raises(BackendUnavailable, match="cannot be made"):
        open_database("sqlite:///file/below.db", tmp_path)


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    """A folder is not a file."""
    database = open_database("sqlite:///.", tmp_path)
    with pytest.raises(BackendUnavailable, match="cannot be opened"):
        create(database)
    database.close()


def test_a_read_only_file_can_be_read(open_folder: Path, request: pytest.FixtureRequest) -> None:
    """Reading goes on; writing is refused with what to do, and nothing is broken by it."""
    database = open_database("sqlite:///file.db", open_folder)
    create(database)
    with database.begin() as connection:
        add(connection, "a")
        connection.execute(text("SELECT 1"))
    database.close()
    sqlite3_mode(open_folder / "file.db", "DELETE")  # a write-ahead log needs a writable folder
    (open_folder / "file.db").chmod(0o444)
    if os.geteuid() != 0:
        open_folder.chmod(0o555)
        request.addfinalizer(lambda: open_folder.chmod(0o755))
    request.getfixturevalue("unprivileged")
    database = open_database("sqlite:///file.db", open_folder)
    create(database)
    assert words(database) == ["a"]
    with pytest.raises(BackendUnavailable, match="read-only") as raised, database.begin() as writer:
        add(writer, "b")
    assert "permission" in raised.value.cure
    assert words(database) == ["a"]
    database.close()


def sqlite3_mode(file: Path, mode: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.close()


def test_a_full_database(tmp_path: Path) -> None:
    """No space is an error of its own; what was there is still there, and writing can go on."""
    database = open_database(FILE, tmp_path)
    create(database)
    with database.begin() as connection:
        add(connection, "a")
    with pytest.raises(StorageFull, match=r"file\.db") as raised, database.begin() as connection:
        add_all(connection, (f"{number:0100}" for number in range(1000)), pages=10)
    assert raised.value.cure
    assert words(database) == ["a"]
    database.close()


def test_a_value_that_does_not_fit_is_the_callers_mistake(database: Database) -> None:
    """Also where the driver notices it, and where the table's rules do."""
    with database.begin() as connection:
        add(connection, "taken")
    for bad in ("\ud800", 1 << 70, {"a": 1}, "taken"):
        with pytest.raises(InvalidInput), database.begin() as connection:
            connection.exec_driver_sql("INSERT INTO words (word) VALUES (?)", (bad,))
    assert words(database) == ["taken"]


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ada:hunter2@host/x",
        "ada:hunter2@host",
        "//ada:hunter2@host/x",
        "postgresql://ada:hunter2@host:port/x",
        "",
    ],
)
def test_an_url_that_cannot_be_used_is_not_repeated(tmp_path: Path, url: str) -> None:
    """The error says how to write one, and shows no secret."""
    with pytest.raises(ConfigurationError) as raised:
        open_database(url, tmp_path)
    assert "hunter2" not in str(raised.value)
    assert "postgresql://" in raised.value.cure


class ServerError(Exception):
    """As PostgreSQL's drivers raise them."""

    def __init__(self, sqlstate: str | None, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("53100", StorageFull),
        ("XX001", CorruptData),
        ("25006", BackendUnavailable),
        ("22003", InvalidInput),
        ("57P01", BackendUnavailable),
        (None, BackendUnavailable),
    ],
)
def test_errors_of_a_server(state: str | None, kind: type[NextupError]) -> None:
    """Each becomes one of ours, by its code, without the credentials it may repeat."""
    url = make_url("postgresql+psycopg://ada:hunter2@db:5433/books?options=hunter3")
    cause = ServerError(state, 'FATAL: password "hunter2" of user "ada"\nDETAIL: hunter2')
    error = translate(OperationalError("SELECT 1", None, cause), url)
    assert type(error) is kind
    assert shown(url) == "postgresql://db:5433/books"
    for secret in ("hunter2", "hunter3", "ada"):
        assert secret not in str(error)


def test_errors_of_others_are_left_alone() -> None:
    """Only what a driver raises is translated."""
    assert translate(ZeroDivisionError(), make_url(FILE)) is None

"""Files come in, are used or set aside, and move."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.event_log.sql import SqlEventLog
from nextup.adapters.files.local import LocalFiles
from nextup.adapters.sql import open_database
from nextup.services.importers.loading import Destination
from nextup.services.input_folder import Folders, take_files
from nextup.settings import Contracts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS = Folders()
FILMS = b'movieId,title,genres\n1,"Alien (1979)",Horror\n2,"Heat (1995)",Crime\n'
FIRST = b'"userId","movieId","rating","timestamp"\n7,1,3,"1997-12-04 15:55:49"\n7,2,5.0,881250949\n'
SECOND = b"userId,movieId,rating,timestamp\n8,1,4.0,881250950\n8,99,4.0,881250950\nbroken\n"


@pytest.fixture
def into(tmp_path: Path) -> Iterator[Destination]:
    log = SqlEventLog(open_database("sqlite:///events.db", tmp_path))
    catalog = SqlCatalog(open_database("sqlite:///catalog.db", tmp_path))
    files = LocalFiles(tmp_path / "files")
    yield Destination(log, catalog, files, Contracts(id_type="int"), lambda: datetime.now(UTC))
    log.close()
    catalog.close()


def put(into: Destination, folder: str = "input", **contents: bytes) -> None:
    for name, content in contents.items():
        with into.files.create(f"{folder}/{name}.csv") as stream:
            stream.write(content)


def names(into: Destination, folder: str) -> list[str]:
    return [name for name in into.files.list(folder) if not name.startswith("_")]


def people(into: Destination) -> list[str]:
    return [row.user_id for row in into.log.read({}, 100).rows]


def test_used_files_move_to_the_run(into: Destination) -> None:
    """Both spellings, text timestamps and numbers; what nothing reads is left. A second run brings
    what is new, and knows the films; the same file again adds nothing."""
    put(into, rating=FIRST, movie=FILMS, genome_scores=b"x\n")
    taken = take_files(into, FOLDERS, "run-1")
    assert taken.counts() == {
        "files": 2,
        "unreadable": 0,
        "rows": 2,
        "accepted": 2,
        "quarantined": 0,
        "films": 2,
    }
    assert taken.left == ["genome_scores.csv"]
    assert names(into, "processed/run-1") == ["movie.csv", "rating.csv"]
    put(into, ratings=SECOND, rating=FIRST)
    taken = take_files(into, FOLDERS, "run-2")
    assert (taken.counts()["accepted"], taken.counts()["quarantined"]) == (1, 2)
    assert names(into, "processed/run-2") == ["rating.csv", "ratings.csv"]
    assert names(into, "input") == ["genome_scores.csv"]
    assert people(into) == ["7", "7", "8"]
    assert take_files(into, FOLDERS, "run-3").counts()["files"] == 0
    assert names(into, "processed") == ["run-1/", "run-2/"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\0\x89PNG", "no text file"),
        (b"", "empty"),
        (b"user;film;stars\n1;2;3\n", "no column 'userId'"),
        (b"userId,userId,rating\n", "header"),
    ],
)
def test_what_cannot_be_read_is_set_aside(into: Destination, content: bytes, reason: str) -> None:
    """With its reason beside it; the others are used; an earlier one of the name stays."""
    put(into, rating=content, ratings=FIRST, movies=FILMS)
    taken = take_files(into, FOLDERS, "run-1")
    assert list(taken.unreadable) == ["rating.csv"]
    assert people(into) == ["7", "7"]
    assert names(into, "errors") == ["rating.csv", "rating.csv.reason.json"]
    with into.files.open("errors/rating.csv.reason.json") as stream:
        told = json.load(stream)
    assert reason in told["reason"]
    assert (told["file"], told["run"]) == ("rating.csv", "run-1")
    put(into, rating=content)
    take_files(into, FOLDERS, "run-2")
    assert "rating-2.csv.reason.json" in names(into, "errors")
    with into.files.open("errors/rating.csv") as stream:
        assert stream.read() == content


def test_killed_before_it_moved(into: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read and did not move is read again by the next run, and counted once."""
    put(into, rating=FIRST, movie=FILMS)

    def die(name: str, target: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(into.files, "move", die)
        with pytest.raises(KeyboardInterrupt):
            take_files(into, FOLDERS, "run-1")
    assert names(into, "input") == ["movie.csv", "rating.csv"]
    taken = take_files(into, FOLDERS, "run-2")
    assert taken.counts()["accepted"] == 0
    assert people(into) == ["7", "7"]
    assert names(into, "processed/run-2") == ["movie.csv", "rating.csv"]


def test_what_lies_among_the_used_files(into: Destination) -> None:
    """Of an earlier installation, without papers: it is read where it lies, once; and again where
    the log has lost it."""
    put(into, "processed/2019-05-01", rating=FIRST, movie=FILMS)
    assert take_files(into, FOLDERS, "run-1").counts()["accepted"] == 2
    assert take_files(into, FOLDERS, "run-2").counts()["rows"] == 0
    assert take_files(into, FOLDERS, "run-3", again=True).counts()["rows"] == 2
    assert names(into, "processed/2019-05-01") == ["movie.csv", "rating.csv"]
    assert people(into) == ["7", "7"]


def test_ratings_alone(into: Destination) -> None:
    """Where no film is known yet, those that were rated are made without titles; their file may
    come later."""
    put(into, rating=FIRST)
    assert take_files(into, FOLDERS, "run-1").counts()["accepted"] == 2
    assert {item.item_id for item in into.catalog.all_items()} == {"1", "2"}
    put(into, movie=FILMS)
    assert take_files(into, FOLDERS, "run-2").counts()["films"] == 2
    film = into.catalog.item("1")
    assert film is not None
    assert film.title == "Alien"

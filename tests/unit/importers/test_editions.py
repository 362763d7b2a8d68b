"""Every format in which MovieLens and goodbooks came, in small."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime

import polars as pl
import pytest

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.event_log.sql import SqlEventLog
from nextup.adapters.files.local import LocalFiles
from nextup.adapters.sql import open_database
from nextup.domain.errors import CorruptData, InvalidInput, NotFound
from nextup.domain.events import START, EventType, from_microseconds
from nextup.services.importers.films import split_title
from nextup.services.importers.goodbooks import made_up_times
from nextup.services.ingest import (
    Destination,
    TableOptions,
    ingest_goodbooks,
    ingest_movielens,
    ingest_table,
)
from nextup.settings import Contracts

NOW = datetime(2026, 3, 2, tzinfo=UTC)

FLAGS = "|".join(["0"] * 5 + ["1"] + ["0"] * 2 + ["1"] + ["0"] * 10)  # Comedy and Drama
ITEM = "1|Café Flesh (1995)|01-Jan-1995||http://x|" + FLAGS + "\n2|unknown||||1" + "|0" * 18 + "\n"
EDITIONS = {
    "100k": {
        "u.data": b"7\t1\t3\t881250949\n7\t2\t5\t891717742\n",
        "u.item": ITEM.encode("latin-1"),
    },
    "1m": {
        "ratings.dat": b"7::1::3::881250949\n7::2::5::891717742\n",
        "movies.dat": "1::Café Flesh (1995)::Comedy|Drama\n2::unknown::\n".encode("latin-1"),
    },
    "10m": {
        "ratings.dat": b"7::1::3::881250949\n7::2::5::891717742\n",
        "movies.dat": "1::Café Flesh (1995)::Comedy|Drama\n"
        "2::unknown::(no genres listed)\n".encode(),
        "tags.dat": b"7::1::Fun::881250949\n",
    },
    "20m-mirror": {
        "rating.csv": b'"userId","movieId","rating","timestamp"\n7,1,3,"1997-12-04 15:55:49"\n'
        b'7,2,5,"1998-04-04 19:22:22"\n',
        "movie.csv": '"movieId","title","genres"\n1,"Café Flesh (1995)","Comedy|Drama"\n'
        '2,"unknown","(no genres listed)"\n'.encode(),
    },
    "latest": {
        "ratings.csv": b"userId,movieId,rating,timestamp\r\n7,1,3.0,881250949\r\n"
        b"7,2,5.0,891717742\r\n",
        "movies.csv": "movieId,title,genres\r\n1,Café Flesh (1995),Comedy|Drama\r\n"
        "2,unknown,(no genres listed)\r\n".encode(),
        "links.csv": b"movieId,imdbId,tmdbId\r\n1,0114709,862\r\n2,0113497,\r\n",
        "tags.csv": b'userId,movieId,tag,timestamp\r\n7,1,"b, c",1\r\n8,1,B,1\r\n9,1,b,1\r\n',
    },
}


@pytest.fixture
def into(tmp_path):
    log = SqlEventLog(open_database("sqlite:///events.db", tmp_path))
    catalog = SqlCatalog(open_database("sqlite:///catalog.db", tmp_path))
    yield Destination(log, catalog, LocalFiles(tmp_path / "files"), Contracts(), lambda: NOW)
    log.close()
    catalog.close()


def folder_of(tmp_path, name, contents):
    folder = tmp_path / name
    folder.mkdir()
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    return folder


def events(into):
    return [row.event() for row in into.log.read(START, 1000).rows]


@pytest.mark.parametrize("edition", EDITIONS)
def test_movielens(into, tmp_path, edition):
    """Each edition gives the same two films and the same two ratings."""
    folder = folder_of(tmp_path, edition, EDITIONS[edition])
    report = ingest_movielens(str(folder), into, downloads=tmp_path)
    assert (report.rows, report.accepted, report.items) == (2, 2, 2)
    film, untitled = into.catalog.all_items()
    assert (film.kind, film.title, film.year) == ("film", "Café Flesh", 1995)
    assert film.genres == ("Comedy", "Drama")
    assert (untitled.title, untitled.year, untitled.genres) == ("unknown", None, ())
    found = [(e.type, e.user_id, e.item_id, e.value, e.occurred_at) for e in events(into)]
    assert found == [
        ("rating", "7", "1", 3.0, datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)),
        ("rating", "7", "2", 5.0, datetime(1998, 4, 4, 19, 22, 22, tzinfo=UTC)),
    ]


def test_tags_and_links(into, tmp_path):
    """The most given tags become keywords, whatever their case; links become attributes."""
    folder = folder_of(tmp_path, "ml", EDITIONS["latest"])
    ingest_movielens(str(folder), into, downloads=tmp_path)
    first, second = into.catalog.all_items()
    assert first.keywords == ("b", "b, c")
    assert first.attributes == {"imdb_id": "tt0114709", "tmdb_id": 862}
    assert second.attributes == {"imdb_id": "tt0113497"}


def test_zip_and_folder_are_the_same(into, tmp_path):
    """The same files in a zip archive of any name add nothing to those in a folder."""
    folder = folder_of(tmp_path, "ml", EDITIONS["latest"])
    ingest_movielens(str(folder), into, downloads=tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"inner/{file.name}")
    report = ingest_movielens(str(tmp_path / "other.zip"), into, downloads=tmp_path)
    assert (report.accepted, report.duplicates) == (0, 2)


def test_manifest(into, tmp_path):
    """The manifest lists each file with its size, rows and hash, and raw files on request."""
    folder = folder_of(tmp_path, "ML 1", EDITIONS["latest"])
    ingest_movielens(str(folder), into, downloads=tmp_path, keep_files=True)
    with into.files.open("bronze/movielens/ml-1/_manifest.json") as stream:
        manifest = json.load(stream)
    assert manifest["complete"] is True
    assert {file["name"]: file["rows"] for file in manifest["files"]} == {
        "ratings.csv": 2,
        "movies.csv": 2,
        "links.csv": 2,
        "tags.csv": 3,
    }
    with into.files.open("bronze/movielens/ml-1/ratings.csv") as stream:
        assert stream.read() == EDITIONS["latest"]["ratings.csv"]
    assert into.files.exists("bronze/movielens/ml-1/_validation.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Toy Story (1995)", ("Toy Story", 1995)),
        ("Babylon 5", ("Babylon 5", None)),
        ("Seven (a.k.a. Se7en) (1995) ", ("Seven (a.k.a. Se7en)", 1995)),
        ("Death Note (2006\u20132007)", ("Death Note", 2006)),
        ("The OA (2016- )", ("The OA", 2016)),
        ("(500) Days of Summer (2009)", ("(500) Days of Summer", 2009)),
        ("(2010)", ("(2010)", None)),
    ],
)
def test_titles(text, expected):
    """The year is taken off the end of a title, and only there."""
    assert split_title(text) == expected


BOOKS = {
    "first": "id,book_id,isbn,authors,original_publication_year,title\n"
    '1,2767052,439023483,"A. One, B. Two",2008.0,"The, Book"\n2,3,,Homer,-750.0,Iliad\n',
    "later": "book_id,goodreads_book_id,isbn,authors,original_publication_year,title\n"
    '1,2767052,439023483,"A. One, B. Two",2008.0,"The, Book"\n2,3,,Homer,-750.0,Iliad\n',
}


@pytest.mark.parametrize("edition", BOOKS)
def test_goodbooks(into, tmp_path, edition):
    """Both editions give the same books; repeated pairs stay, the later row being later."""
    contents = {
        "books.csv": BOOKS[edition].encode(),
        "ratings.csv": b"book_id,user_id,rating\n1,9,5\n2,9,4\n1,9,2\n1,x,6\n3,9,1\n",
        "to_read.csv": b"user_id,book_id\n9,1\n",
    }
    report = ingest_goodbooks(folder_of(tmp_path, "gb", contents), into)
    assert (report.rows, report.accepted) == (6, 4)
    assert report.quarantined == {"rating_out_of_range": 1, "unknown_item": 1}
    first, second = into.catalog.all_items()
    assert (first.title, first.makers, first.year) == ("The, Book", ("A. One", "B. Two"), 2008)
    assert (first.attributes["goodreads_id"], first.attributes["isbn"]) == ("2767052", "0439023483")
    assert second.year == -750
    found = events(into)
    again = [event for event in found if event.item_id == "1" and event.type == "rating"]
    assert [event.value for event in sorted(again, key=lambda e: e.occurred_at)] == [5, 2]
    assert {event.occurred_at.year for event in found} == {2016}
    assert found[-1].type == "view"


def test_made_up_times_never_change():
    """The made-up times are the same in every release: they are part of the events."""
    users, books = pl.Series(["1", "2", "53424"]), pl.Series(["1", "1", "10000"])
    numbers = pl.Series([1, 2, 981756])
    times = made_up_times(users, books, numbers, EventType.RATING).to_list()
    assert [from_microseconds(int(time)).isoformat() for time in times] == [
        "2016-01-09T16:42:12.000001+00:00",
        "2016-06-30T09:40:16.000002+00:00",
        "2016-09-03T17:19:31.981756+00:00",
    ]


def test_sources_that_cannot_be_read(into, tmp_path):
    """What is no data set is refused in one line with its cure."""
    (tmp_path / "broken.zip").write_bytes(b"PK no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorruptData, match="no zip archive"):
        ingest_movielens(str(tmp_path / "broken.zip"), into, downloads=tmp_path)
    with pytest.raises(InvalidInput, match=r"has no ratings\.csv"):
        ingest_movielens(str(tmp_path / "empty"), into, downloads=tmp_path)
    with pytest.raises(InvalidInput, match="latest-small"):
        ingest_movielens("33m", into, downloads=tmp_path)
    with pytest.raises(NotFound):
        ingest_goodbooks(tmp_path / "nowhere", into)
    assert into.log.head() == START


def test_tables_in_other_formats(into, tmp_path):
    """JSON lines and Parquet give the same events as each other, with an item file before them."""
    items = tmp_path / "items.csv"
    items.write_text("item_id,title,year,genres,color\ni1,One,1999,a|b,red\n,None,,,\n")
    rows = [
        {"who": 7, "what": "i1", "stars": 4.5, "at": 1704535200},
        {"who": 8, "what": "i2", "stars": 3.0, "at": 1704535201},
    ]
    jsonl, parquet = tmp_path / "t.jsonl", tmp_path / "t.parquet"
    jsonl.write_text("".join(json.dumps(row) + "\n" for row in rows) + "[1]\n")
    pl.DataFrame(rows).write_parquet(parquet)
    mapping = {"user": "who", "item": "what", "value": "stars", "time": "at"}
    report = ingest_table(jsonl, into, TableOptions(mapping, kind="song", items=items))
    assert (report.rows, report.accepted, report.items) == (3, 1, 1)
    assert report.quarantined == {"schema": 1, "unknown_item": 1}
    assert report.items_quarantined == {"bad_item": 1}
    item = into.catalog.item("i1")
    assert (item.kind, item.genres, item.attributes) == ("song", ("a", "b"), {"color": "red"})
    options = TableOptions(mapping, kind="song", unknown_items="create", dataset="other")
    assert ingest_table(parquet, into, options).accepted == 2
    first, second, _ = events(into)
    assert first._replace(event_id="") == second._replace(event_id="")
    assert into.catalog.item("i2").kind == "song"


def test_type_of_a_table(into, tmp_path):
    """A type is a column, or one for all rows."""
    file = tmp_path / "t.csv"
    file.write_text("u,i,kind\n1,a,like\n1,b,hate\n")
    mapping = {"user": "u", "item": "i", "type": "kind"}
    report = ingest_table(file, into, TableOptions(mapping, unknown_items="create"))
    assert (report.accepted, dict(report.quarantined)) == (1, {"unknown_type": 1})
    options = TableOptions({**mapping, "type": "dismiss"}, unknown_items="create", dataset="all")
    assert ingest_table(file, into, options).accepted == 2
    assert [event.type for event in events(into)] == ["like", "dismiss", "dismiss"]


def test_mappings_that_cannot_work(into, tmp_path):
    """A mapping is refused before anything is written, naming the columns there are."""
    file = tmp_path / "t.csv"
    file.write_text("u,i\n1,a\n")
    with pytest.raises(InvalidInput, match="user"):
        TableOptions({"item": "i"})
    with pytest.raises(InvalidInput, match="'stars' is nothing"):
        TableOptions({"user": "u", "item": "i", "stars": "s"})
    with pytest.raises(InvalidInput, match="It has u, i"):
        ingest_table(file, into, TableOptions({"user": "u", "item": "thing"}))
    assert not into.files.exists("bronze/t/_manifest.json")

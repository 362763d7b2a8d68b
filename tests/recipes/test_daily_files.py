"""The daily files of `platform-api`: every row is a film, an act, or refused with its rule."""

from __future__ import annotations

import io
from contextlib import closing
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nextup.recipes.platform_api.daily_files import Act, Film, Reading, Refused
from nextup.recipes.platform_api.data_folder import DataFolder
from nextup.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

MOMENT = datetime(2026, 4, 1, tzinfo=UTC)
READING = Reading("simulation", MOMENT)


def rows(name: str, content: bytes) -> list[Film | Act | Refused]:
    return list(READING.rows(name, io.BytesIO(content)))


def test_films() -> None:
    """In our words and in MovieLens's, with a byte order mark, quotes and line breaks."""
    (ours,) = rows("m.csv", b"movie_id,title,genres,year\n7,Alien,Horror|Sci-Fi,1979\n")
    assert isinstance(ours, Film)
    assert (ours.item.title, ours.item.year, ours.item.genres) == (
        "Alien",
        1979,
        ("Horror", "Sci-Fi"),
    )
    content = b'\xef\xbb\xbfmovieId,title,genres\r\n1,"Heat, The (1995)",(no genres listed)\r\n'
    (theirs,) = rows("movies.csv", content)
    assert isinstance(theirs, Film)
    assert (theirs.item.title, theirs.item.year, theirs.item.genres) == ("Heat, The", 1995, ())


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b",Alien,Horror,1979", "bad_film"),
        (b"7,,Horror,1979", "bad_film"),
        (b"7,Alien,Horror,soon", "bad_film"),
        (b"7,Alien,Horror", "wrong_columns"),
        (b"7,Ali\xffen,Horror,1979", "bad_encoding"),
    ],
)
def test_films_that_are_none(line: bytes, rule: str) -> None:
    """Each is refused by its rule, and the next row is read."""
    found = rows("m.csv", b"movie_id,title,genres,year\n" + line + b"\n8,Heat,Crime,1995\n")
    refused, good = found
    assert isinstance(refused, Refused)
    assert refused.broken.rule == rule
    assert refused.line == 2
    assert isinstance(good, Film)


def test_ratings() -> None:
    """Seconds and ISO times, a client of their own or the usual one; without a time they are of
    the day. The same rating has the same id in every file, another one another."""
    ours = b"client_id,user_id,movie_id,rating,rated_at\nkino,7,1,4.5,2026-04-01T10:00:00Z\n"
    theirs = b"userId,movieId,rating,timestamp\n7,1,4.5,1775037600\n7,1,4.5,\n"
    (kino,), (first, second) = rows("a.csv", ours), rows("b.csv", theirs)
    assert isinstance(kino, Act)
    assert isinstance(first, Act)
    assert isinstance(second, Act)
    assert (kino.client_id, first.client_id) == ("kino", "simulation")
    assert first.record["occurred_at"] == "2026-04-01T10:00:00+00:00"
    assert second.record["occurred_at"] == MOMENT.isoformat()
    assert first.record["value"] == 4.5
    (again, _) = rows("c.csv", theirs)
    assert isinstance(again, Act)
    assert again.record["event_id"] == first.record["event_id"]
    assert len({one.record["event_id"] for one in (kino, first, second)}) == 3


@example(b"\r-", "x.csv")  # no header that CSV could have
@given(st.binary(max_size=300), st.sampled_from(["x.csv", "x.jsonl", "x.bin"]))
def test_any_bytes(content: bytes, name: str) -> None:
    """Nothing is too strange to be read and, where it must be, refused."""
    for head in (b"", b"user_id,movie_id,rating\n", b"movie_id,title\n"):
        for row in rows(name, head + content):
            assert isinstance(row, Film | Act | Refused)


def test_files_are_fetched_once(tmp_path: Path) -> None:
    """By content, under whatever name; a changed one is another; a later day's waits."""
    day, later = date(2026, 4, 1), date(2026, 4, 2)
    inbox = tmp_path / "data" / "simulation_data"
    inbox.mkdir(parents=True)
    (inbox / "ratings.csv").write_text("one")
    (inbox / f"ratings-{later}.csv").write_text("tomorrow")
    with closing(DataFolder.of(load_settings(tmp_path), "file://data")) as data:
        assert data.fetch(day) == ["ratings.csv"]
        assert data.fetch(day) == []
        (inbox / "ratings.csv").write_text("two")
        (inbox / "copy.csv").write_text("one")
        (changed,) = data.fetch(day)
        assert changed.startswith("ratings-")
        assert data.fetch(later) == [f"ratings-{later}.csv"]
        raw = tmp_path / "data" / "raw"
        assert (raw / str(day) / "ratings.csv").read_text() == "one"
        assert (raw / str(day) / changed).read_text() == "two"
        assert [name for name, _ in data.raw(later)] == [f"ratings-{later}.csv"]

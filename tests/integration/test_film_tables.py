"""MovieLens' files as bronze keeps them and as silver reads them, however dirty."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from nextup.bootstrap import Platform, open_platform
from nextup.domain.errors import InvalidInput
from nextup.domain.tables import Table
from nextup.services.contracts import EventContract
from nextup.services.film_tables import make_film_tables
from nextup.services.importers.loading import Destination
from nextup.services.raw_files import bring_in, check_raw, ingest_raw, raw_source
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATASET = "ml-tiny"
CONTENT = {
    "ratings.csv": (
        "userId,movieId,rating,timestamp\n"
        "1,10,3.0,1000000\n"
        "1,10,4.5,2000000\n"  # changed their mind
        "1,20,5.0,3000000\n"
        "2,10,9.0,1000000\n"  # too many stars
        "2,99,4.0,1000000\n"  # no such film
        "2,20,,1000000\n"
        "2,20,4.0,never\n"
        "2,20\n"
    ),
    "movies.csv": (
        'movieId,title,genres\n10,"Alien (1979)",Horror|Sci-Fi\n20,Untitled,(no genres listed)\n'
    ),
    "tags.csv": (
        "userId,movieId,tag,timestamp\n"
        "1,10,scary,1000000\n"
        "1,10, scary ,2000000\n"  # the same word
        "1,10,,3000000\n"
        "1,77,nowhere,3000000\n"
    ),
    "links.csv": "movieId,imdbId,tmdbId\n10,0078748,348\n20,,\n",
}


def now() -> datetime:
    return datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "publisher"
    folder.mkdir()
    for name, text in CONTENT.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with open_platform(load_settings(tmp_path / "home")) as opened:
        yield opened


def bring(platform: Platform, source: Path, **options: Any) -> int:
    done = bring_in(platform.files, DATASET, str(source), downloads=source, clock=now, **options)
    return done.written


def make(platform: Platform) -> dict[str, int]:
    files, manifest = raw_source(platform.files, DATASET)
    return make_film_tables(
        files,
        manifest,
        files=platform.files,
        lake=platform.lake,
        event_log=platform.event_log,
        contract=EventContract(platform.settings.contracts, platform.catalog, now),
    )


def rows(platform: Platform, table: Table) -> list[tuple[Any, ...]]:
    return platform.lake.scan(table).collect().rows()


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_tables_hold_what_keeps_the_rules(platform: Platform, source: Path) -> None:
    """The last of equal keys counts; what breaks a rule is left out and counted; bad tags are in
    quarantine with file, line and rule. Made again from the same files, nothing happens."""
    bring(platform, source)
    counts = make(platform)
    assert rows(platform, Table.RATINGS) == [
        ("1", "10", 4.5, moment(2_000_000)),
        ("1", "20", 5.0, moment(3_000_000)),
    ]
    assert rows(platform, Table.MOVIES) == [
        ("10", "Alien", 1979, ["Horror", "Sci-Fi"], "tt0078748", 348),
        ("20", "Untitled", None, [], None, None),
    ]
    assert rows(platform, Table.TAGS) == [("1", "10", "scary", moment(2_000_000))]
    assert (counts["ratings"], counts["ratings_left_out"]) == (2, 5)
    assert (counts["tags"], counts["tags_left_out"]) == (1, 2)
    rejected = platform.event_log.read_rejected({}, 10).rows
    assert [(one.source.rpartition("/")[2], one.rule) for one in rejected] == [
        ("tags.csv:4", "tag.not_null"),
        ("tags.csv:5", "item_id.references"),
    ]
    assert json.loads(rejected[1].record)["tag"] == "nowhere"
    assert make(platform) == {"made": 0}
    assert platform.lake.version(Table.RATINGS) == 1  # 0 is the empty one


def test_other_files_make_other_tables(platform: Platform, source: Path) -> None:
    """Fetched anew with another content, the tables are replaced as a whole."""
    bring(platform, source)
    make(platform)
    (source / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,20,1.0,5000000\n")
    assert bring(platform, source) == 0  # what is there is there
    assert bring(platform, source, force=True) == len(CONTENT)
    assert make(platform)["made"] == 1
    assert rows(platform, Table.RATINGS) == [("7", "20", 1.0, moment(5_000_000))]


def test_an_interrupted_attempt_goes_on(platform: Platform, source: Path) -> None:
    """Killed between two files: the first stays, the manifest says that it is not all, nothing
    reads it, and the next attempt writes only what is missing."""
    seen: list[int] = []

    def die(done: int, total: int) -> None:
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(platform, source, progress=die)
    faults = {fault.file for fault in check_raw(platform.files, DATASET)}
    assert faults == {"tags.csv", "links.csv", "_manifest.json"}
    with pytest.raises(InvalidInput):
        raw_source(platform.files, DATASET)
    assert bring(platform, source) == 2
    assert check_raw(platform.files, DATASET) == []


def test_the_log_takes_the_same_files_once(platform: Platform, source: Path) -> None:
    """Films and ratings go in, bad rows to quarantine; a second time nothing is even read."""
    bring(platform, source)
    settings = platform.settings.contracts
    into = Destination(platform.event_log, platform.catalog, platform.files, settings, now)
    report = ingest_raw(into, DATASET)
    assert report is not None
    assert (report.accepted, report.quarantined.total(), report.items) == (3, 5, 2)
    assert ingest_raw(into, DATASET) is None
    assert check_raw(platform.files, DATASET) == []  # the import's papers lie elsewhere

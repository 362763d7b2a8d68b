"""Real data sets, whole, with every trap they hold."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.event_log.sql import SqlEventLog
from nextup.adapters.files.local import LocalFiles
from nextup.adapters.sql import open_database
from nextup.services.ingest import Destination, ingest_goodbooks, ingest_movielens
from nextup.settings import Contracts

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the real data sets are not here: {DATA} is absent"
)


@pytest.fixture
def into(tmp_path):
    log = SqlEventLog(open_database("sqlite:///events.db", tmp_path))
    catalog = SqlCatalog(open_database("sqlite:///catalog.db", tmp_path))
    files = LocalFiles(tmp_path / "files")
    yield Destination(log, catalog, files, Contracts(), lambda: datetime.now(UTC))
    log.close()
    catalog.close()


def rows_of(log):
    position = {}
    while (batch := log.read(position, 100_000)).rows:
        yield from batch.rows
        position = batch.position


def test_movielens_latest_small(into, tmp_path):
    """100,836 ratings of 9,742 films, none lost; a rerun adds none."""
    path = str(DATA / "ml-latest-small.zip")
    report = ingest_movielens(path, into, downloads=tmp_path)
    assert (report.rows, report.accepted, report.quarantined.total()) == (100_836, 100_836, 0)
    assert (report.item_rows, report.items) == (9_742, 9_742)
    films = list(into.catalog.all_items())
    assert sum(not film.genres for film in films) == 34
    assert sum("tmdb_id" not in film.attributes for film in films) == 8
    assert sum(film.year is None for film in films) == 12
    rated = {row.item_id for row in rows_of(into.log)}
    assert len({film.item_id for film in films} - rated) == 18
    again = ingest_movielens(path, into, downloads=tmp_path)
    assert (again.accepted, again.duplicates) == (0, 100_836)


def test_goodbooks_first_edition(into):
    """981,756 ratings and 912,705 to-read marks of 10,000 books; repeated pairs stay."""
    report = ingest_goodbooks(DATA / "goodbooks-10k.zip", into)
    assert report.rows == report.accepted == 981_756 + 912_705
    assert (report.items, report.quarantined.total()) == (10_000, 0)
    pairs, people = set(), set()
    for row in rows_of(into.log):
        if row.type == "rating":
            pairs.add((row.user_id, row.item_id))
            people.add(row.user_id)
    assert (981_756 - len(pairs), len(people)) == (2_278, 53_424)
    assert into.catalog.item("1").title.startswith("The Hunger Games")

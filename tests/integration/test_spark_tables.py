"""The pipeline's tables on Spark: the same rows as on the local engine, whatever the source."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.tables_world import same_tables, tables
from tests.servers import Backend, reach
from tests.spark_world import STARTING_SECONDS

from nextup.bootstrap import open_platform
from nextup.domain.events import START, Event, to_microseconds
from nextup.domain.items import Item
from nextup.domain.tables import Table
from nextup.services.collect import SOURCE
from nextup.services.ingest import Destination, TableOptions, ingest_movielens, ingest_table
from nextup.services.refine import refine
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextup.bootstrap import Platform

DATA = Path(__file__).parents[3] / "shared" / "data"
DIRTY = Path(__file__).parents[1] / "data" / "dirty.csv"
MAPPING = {"user": "user", "item": "item", "value": "stars", "time": "when", "event_id": "id"}
NOW = datetime(2026, 4, 1, tzinfo=UTC)

pytestmark = pytest.mark.timeout(STARTING_SECONDS)


def on_both(
    folder: Path, chosen: dict[str, Any], work: Callable[[Platform], None] = tables
) -> dict[Table, int]:
    """Do the work on either engine, on lakes of their own."""
    with (
        open_platform(load_settings(folder)) as local,
        open_platform(load_settings(folder, lake_url="file://spark-lake", **chosen)) as other,
    ):
        work(local)
        work(other)
        return same_tables(local.lake, other.lake)


def test_the_sample(spark: dict[str, Any], sample_folder: Path, tmp_path: Path) -> None:
    """Bronze, silver and gold of the sample are equal, to the last digit of every fading count."""
    folder = tmp_path / "sample"
    shutil.copytree(sample_folder, folder)
    with open_platform(load_settings(folder)) as platform:
        platform.event_log.append(odd_events())
    (folder / "nextup.toml").write_text("[weights]\nhalf_life_days = 30.0\n", encoding="utf-8")
    found = on_both(folder, spark)
    assert min(found[t] for t in (Table.EVENTS, Table.USER_ITEM, Table.TRENDING)) > 1000


def odd_events() -> list[Event]:
    """What people do seldom: ratings, second thoughts, things taken back, acts at one moment."""
    at = datetime(2026, 3, 20, 10, 0, 0, 123_456, tzinfo=UTC)
    acts = [
        ("rating", 4.5), ("rating", 0.5), ("dismiss", None), ("like", None), ("retract", None),
        ("view", None), ("click", None), ("impression", None), ("rating", 5.0), ("dismiss", None),
    ]  # fmt: skip
    return [
        Event(f"odd-{who}-{n}", kind, f"odd-{who}", "book:dune-1965", at, value=value)
        for who in range(len(acts))
        for n, (kind, value) in enumerate(acts[: who + 1])
    ]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data sets are not here: {DATA}")
def test_movielens(spark: dict[str, Any], tmp_path: Path) -> None:
    """So are those of 100,836 real ratings of 9,742 films."""
    with open_platform(load_settings(tmp_path)) as platform:
        into = destination(platform, lambda: NOW)
        ingest_movielens(str(DATA / "ml-latest-small.zip"), into, downloads=tmp_path)
    found = on_both(tmp_path, spark, partial(tables, day=date(2018, 9, 24)))
    assert (found[Table.INTERACTIONS], found[Table.ITEMS]) == (100_836, 9_742)
    assert found[Table.USER_ITEM] == 100_836


def test_dirty(spark: dict[str, Any], tmp_path: Path) -> None:
    """What was refused is in quarantine on both, and what got past the door is told apart alike."""
    with open_platform(load_settings(tmp_path)) as platform:
        platform.catalog.put_items([Item(name, "book") for name in ("b1", "b2", "b3")])
        into = destination(platform, lambda: datetime(2026, 3, 2, tzinfo=UTC))
        ingest_table(DIRTY, into, TableOptions(MAPPING, kind="book"))
    found = on_both(tmp_path, spark, past_the_door)
    assert found[Table.INTERACTIONS] == 6 + 3
    assert found[Table.QUARANTINE] == 16 + 3


def past_the_door(platform: Platform) -> None:
    """The pipeline; then records of another partition, as an older version may have let them in:
    some break silver's rules, some come twice, in the same window of the log or in another."""
    tables(platform)
    at = to_microseconds(datetime(2026, 3, 1, tzinfo=UTC))
    acts = [
        ("good", "view", "b2", None), ("good", "view", "b2", None), ("bad", "purchase", "b1", None),
        ("low", "rating", "b1", -2e9), ("nan", "rating", "b1", float("nan")),
        ("good", "click", "b3", None), ("gone", "like", "absent", None), ("fine", "like", "b1", 1),
    ]  # fmt: skip
    records = [
        ("1", n, at, event_id, kind, "ada", item, at + n, value, None, None, None, 20_513)
        for n, (event_id, kind, item, value) in enumerate(acts)
    ]
    engine = platform.engine
    end = {"1": len(records)}
    engine.append(
        Table.EVENTS, engine.rows(Table.EVENTS, records), source=SOURCE, position=end, after=START
    )
    counts = refine(engine, platform.catalog, batch_rows=5)
    assert {name: counts[name] for name in ("read", "written", "duplicates", "quarantined")} == {
        "read": 8, "written": 3, "duplicates": 2, "quarantined": 3
    }  # fmt: skip


@pytest.mark.parametrize("server", ["hdfs", "s3"])
def test_a_lake_elsewhere(
    request: pytest.FixtureRequest,
    spark: dict[str, Any],
    sample_folder: Path,
    tmp_path: Path,
    server: str,
) -> None:
    """Executors read and write a lake that is on no disk of theirs, and each engine goes on where
    the other stopped."""
    place = f"{reach(request, Backend(server)).url}/{tmp_path.name}"
    folder = tmp_path / "sample"
    shutil.copytree(sample_folder, folder)
    with (
        open_platform(load_settings(folder)) as local,
        open_platform(load_settings(folder, lake_url=place)) as here,
        open_platform(load_settings(folder, lake_url=place, **spark)) as there,
    ):
        for number, platform in enumerate((here, there, here)):
            more = [Event(f"{number}-{n}", "like", "ada", "book:dune-1965", NOW) for n in range(3)]
            local.event_log.append(more)
            for one in (local, platform):
                tables(one, day=NOW.date())
            found = same_tables(local.lake, platform.lake)
        assert (here.engine.name, there.engine.name) == ("local", "spark")
    assert found[Table.EVENTS] == found[Table.INTERACTIONS] > 1000


def destination(platform: Platform, clock: Callable[[], datetime]) -> Destination:
    contracts = platform.settings.contracts
    return Destination(platform.event_log, platform.catalog, platform.files, contracts, clock)

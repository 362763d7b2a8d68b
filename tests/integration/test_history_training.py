"""A history of counts, damaged files and all, becomes what models learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.spark_world import STARTING_SECONDS

from nextup.bootstrap import open_platform
from nextup.domain.errors import ConfigurationError, Conflict
from nextup.domain.tables import Table
from nextup.services.history_training import load_history
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform

pytestmark = pytest.mark.timeout(STARTING_SECONDS)

HEADER = "user_id,isbn,LIKE,VIEW\n"
FIRST = HEADER + '7,"978,""1",2,1\n8,0141439580,0,3\n9,0141439580,0,0\n'
SECOND = HEADER + "7,0141439580,1,0\n"
POISON = "not a table\n\x00\xff\n,0141439580,1,1\n7,1,-1,0\n7,1,many,0\n7,1,999999999,0\n8,1,1,0\n"


@pytest.fixture
def platform(tmp_path: Path, spark: dict[str, Any]) -> Iterator[Platform]:
    with open_platform(load_settings(tmp_path, timezone="Europe/Berlin", **spark)) as opened:
        yield opened


def put(platform: Platform, day: str, text: str) -> None:
    with platform.files.replace_folder(f"raw/interactions/DataSet/{day}") as folder:
        (folder / "part-00000.csv").write_text(text, encoding="latin-1")


def load(platform: Platform) -> dict[str, int]:
    return load_history(platform.engine, platform.files, platform.settings)


def silver(platform: Platform) -> list[tuple[Any, ...]]:
    frame = platform.lake.scan(Table.INTERACTIONS).collect()
    columns = ["user_id", "item_id", "type", pl.col("occurred_at").dt.to_string("%Y-%m-%dT%H:%M")]
    assert frame["event_id"].is_unique().all()
    return sorted(frame.select(columns).rows())


def test_each_unit_is_an_event_of_its_day(platform: Platform) -> None:
    """At noon where people live; unchanged, nothing is written; changed, all is as it is now; lines
    that do not fit are counted and left out, and the good ones beside them stay."""
    with pytest.raises(Conflict):
        load(platform)
    put(platform, "2026-03-28", FIRST)
    put(platform, "2026-03-29", SECOND)  # a day of 23 hours
    assert load(platform) == {"days": 2, "broken_lines": 0, "interactions": 7}
    expected = [
        ("7", "0141439580", "like", "2026-03-29T10:00"),
        ("7", '978,"1', "like", "2026-03-28T11:00"),
        ("7", '978,"1', "like", "2026-03-28T11:00"),
        ("7", '978,"1', "view", "2026-03-28T11:00"),
        *[("8", "0141439580", "view", "2026-03-28T11:00")] * 3,
    ]
    assert silver(platform) == expected
    version = platform.lake.version(Table.INTERACTIONS)
    put(platform, "2026-03-29", SECOND)
    put(platform, "notes", "a folder that is no day\n1,2,3,4\n")
    assert load(platform)["interactions"] == 0
    assert platform.lake.version(Table.INTERACTIONS) == version
    put(platform, "2026-03-30", POISON)
    found = load(platform)
    assert found == {"days": 3, "broken_lines": 5, "interactions": 8}
    assert silver(platform) == sorted([*expected, ("8", "1", "like", "2026-03-30T10:00")])


def test_an_action_must_be_a_kind_of_event(platform: Platform) -> None:
    """Which one, the settings say; without a word an action is called as its kind is."""
    history = platform.settings.history.model_copy(update={"actions": ["LIKE", "SEEN"]})
    settings = platform.settings.model_copy(update={"history": history})
    put(platform, "2026-03-28", FIRST.replace("VIEW", "SEEN"))
    with pytest.raises(ConfigurationError, match="SEEN"):
        load_history(platform.engine, platform.files, settings)
    shared = settings.shared_tables.model_copy(update={"events": {"view": "SEEN"}})
    settings = settings.model_copy(update={"shared_tables": shared})
    assert load_history(platform.engine, platform.files, settings)["interactions"] == 6


def test_another_engine_says_what_it_takes(tmp_path: Path) -> None:
    """The local engine reads no files where they lie."""
    with (
        open_platform(load_settings(tmp_path)) as platform,
        pytest.raises(ConfigurationError, match="engine"),
    ):
        load(platform)

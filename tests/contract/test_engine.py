"""What every engine promises."""

from __future__ import annotations

from itertools import pairwise
from math import isnan
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.backends import ENGINES
from tests.servers import reach
from tests.spark_world import STARTING_SECONDS

from nextup.adapters.engine.local import LocalEngine
from nextup.adapters.lake.delta import DeltaLake
from nextup.bootstrap import open_adapter
from nextup.domain.errors import Conflict, CorruptData, InvalidInput
from nextup.domain.events import START
from nextup.domain.tables import ITEM_ID, SCORE, USER_ID, Table
from nextup.ports.engine import Cell, ReadsCsv
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.engine import Engine

AT = 1_700_000_000_123_456  # microseconds

pytestmark = pytest.mark.timeout(STARTING_SECONDS)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[DeltaLake]:
    lake = DeltaLake(str(tmp_path / "lake"))
    yield lake
    lake.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, lake: DeltaLake, tmp_path: Path) -> Iterator[Engine]:
    backend = request.param
    chosen = {"engine_url": reach(request, backend).url}
    if backend.name == "spark":
        chosen |= request.getfixturevalue("spark")
    engine = open_adapter("engine", load_settings(tmp_path, **chosen), lake=lake)
    yield engine
    engine.close()


def act(offset: int, user: str = "ada", value: float | None = None) -> tuple[Any, ...]:
    return (f"e{offset}", "rating", user, "i", AT, value, None, None, "0", offset)


def place(rank: int, item: str) -> tuple[Any, ...]:
    return ("7d", rank, item, 1.0, 2)


def test_rows_become_a_typed_frame(engine: Engine) -> None:
    """Plain rows get the table's types: integers become times and days, nulls stay."""
    row = ("0", 3, AT, "e", "view", "ada", "i", AT, None, None, None, None, 19_675)
    frame = engine.rows(Table.EVENTS, [row])
    types = frame.collect_schema()
    assert types["occurred_at"] == nw.Datetime("us", "UTC")
    assert (types["received_on"], types["value"]) == (nw.Date, nw.Float64)
    assert engine.arrays(frame)["occurred_at"].tolist() == [AT]
    assert engine.arrays(frame)["received_on"].tolist() == [19_675]
    assert np.isnan(engine.arrays(frame)["value"][0])
    none = engine.arrays(engine.rows(Table.EVENTS, []))
    assert {name: len(column) for name, column in none.items()} == dict.fromkeys(types, 0)


def test_arrays(engine: Engine) -> None:
    """Times come as int64 microseconds, text as objects, an absent number as NaN."""
    found = engine.arrays(engine.rows(Table.INTERACTIONS, [act(0), act(1, value=4.5)]))
    assert found["occurred_at"].tolist() == [AT, AT]
    assert found["occurred_at"].dtype == np.int64
    assert found[USER_ID].tolist() == ["ada", "ada"]
    assert found["session_id"].tolist() == [None, None]
    assert np.isnan(found["value"][0])
    assert found["value"][1] == 4.5


def test_lists_in_arrays(engine: Engine) -> None:
    """A column of lists comes as one sequence per row, empty ones too."""
    items = [("a", "film", "A", None, ["Drama", "War"], [], [], True)]
    found = engine.arrays(engine.rows(Table.ITEMS, items))
    assert [list(genres) for genres in found["genres"]] == [["Drama", "War"]]
    assert [list(makers) for makers in found["makers"]] == [[]]
    assert found["available"].tolist() == [True]


def test_coded_is_arrays_in_less(engine: Engine) -> None:
    """Codes stand for ascending distinct values and spell out the same rows."""
    people = ["ü", "z", "", "Z", "a", "z", "🎬", "\ufffd", "a" * 40, "z", "z", " "]
    spells_out(engine, [(person, "ab"[n % 2]) for n, person in enumerate(people)])
    spells_out(engine, [])


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), st.text("ab", max_size=2)), max_size=30))
def test_any_text_is_coded(tmp_path_factory: pytest.TempPathFactory, pairs: Any) -> None:
    """The same of any text, where that takes no time."""
    spells_out(LocalEngine(DeltaLake(str(tmp_path_factory.mktemp("lake")))), pairs)


def spells_out(engine: Engine, pairs: list[tuple[str, str]]) -> None:
    rows = [(user, None, user, item, AT, 1.0, None, None, "0", 0) for user, item in pairs]
    frame = engine.rows(Table.INTERACTIONS, rows).select(USER_ID, ITEM_ID, "offset")
    arrays, values = engine.coded(frame, USER_ID, ITEM_ID)
    for name, column in ((USER_ID, 0), (ITEM_ID, 1)):
        assert values[name].tolist() == sorted({pair[column] for pair in pairs})
        assert arrays[name].dtype == np.int32
        assert values[name][arrays[name]].tolist() == [pair[column] for pair in pairs]
    assert len(arrays["offset"]) == len(pairs)


def test_append_counts_what_it_wrote(engine: Engine) -> None:
    """Several frames are one transaction; a repeated one counts 0; an overlap is a Conflict."""
    parts = [engine.rows(Table.INTERACTIONS, [act(n)]) for n in range(3)]
    place = {"0": 3}
    written = engine.append(Table.INTERACTIONS, parts, source="log", position=place, after=START)
    again = engine.append(Table.INTERACTIONS, parts, source="log", position=place, after=START)
    assert (written, again) == (3, 0)
    assert engine.position(Table.INTERACTIONS, "log") == place
    with pytest.raises(Conflict):
        engine.append(Table.INTERACTIONS, parts, source="log", position={"0": 4}, after={"0": 1})


def test_replace_returns_rows(engine: Engine, lake: DeltaLake) -> None:
    """All parts together take the place of what was there; narrower numbers are widened."""
    engine.replace(Table.TRENDING, engine.rows(Table.TRENDING, [place(1, "old")]))
    frames = [engine.rows(Table.TRENDING, [place(n, f"i{n}")]) for n in (2, 1)]
    narrow = [frame.with_columns(nw.col(SCORE).cast(nw.Float32)) for frame in frames]
    assert engine.replace(Table.TRENDING, narrow) == 2
    assert sorted(lake.scan(Table.TRENDING).collect()[ITEM_ID]) == ["i1", "i2"]
    with pytest.raises(InvalidInput):
        engine.replace(Table.TRENDING, frames[0].drop(SCORE))


@settings(deadline=None, max_examples=15)
@given(st.lists(st.sampled_from(["", "a", "b", "bb", "ü", "z"]), max_size=80))
def test_slices_hold_each_row_once(
    tmp_path_factory: pytest.TempPathFactory, people: list[str]
) -> None:
    """Slices cover the table, share no value, ascend, and are as small as values allow."""
    lake = DeltaLake(str(tmp_path_factory.mktemp("lake")))
    engine = LocalEngine(lake, slice_rows=10)
    rows = [act(offset, user) for offset, user in enumerate(people)]
    frame = engine.rows(Table.INTERACTIONS, rows)
    engine.append(Table.INTERACTIONS, frame, source="log", position={"0": len(people)})
    parts = [engine.arrays(part)[USER_ID] for part in engine.slices(Table.INTERACTIONS, USER_ID)]
    assert sorted(user for part in parts for user in part) == sorted(people)
    for before, after in pairwise(parts):
        assert max(before) < min(after)
    for part in parts:
        assert len(set(part)) <= 1 or len(part) <= 10 + max(people.count(u) for u in set(part))


def test_held_is_computed_once(engine: Engine, lake: DeltaLake) -> None:
    """A held frame keeps its rows although the table's files go away."""
    engine.replace(Table.INTERACTIONS, engine.rows(Table.INTERACTIONS, [act(0)]))
    held = engine.held(engine.scan(Table.INTERACTIONS))
    lake.delete(Table.INTERACTIONS, "true")
    assert engine.arrays(held)["event_id"].tolist() == ["e0"]


def test_frame_of_plain_columns(engine: Engine) -> None:
    """Plain columns join with a table's rows."""
    names = engine.frame({"number": np.arange(2), ITEM_ID: ["i", "j"]})
    joined = engine.rows(Table.INTERACTIONS, [act(0)]).join(names, on=ITEM_ID, how="inner")
    assert engine.arrays(joined.select("number"))["number"].tolist() == [0]


def test_damage_is_named(engine: Engine, tmp_path: Path) -> None:
    """A file that cannot be decoded is named, whatever was computed from it."""
    rows = [act(n) for n in range(50)]
    engine.replace(Table.INTERACTIONS, engine.rows(Table.INTERACTIONS, rows))
    (file, *_) = (tmp_path / "lake/silver/interactions").rglob("part-*")
    content = file.read_bytes()
    file.write_bytes(content[:4] + bytes(len(content) - 12) + content[-8:])
    with pytest.raises(CorruptData, match=rf"silver\.interactions.*{file.name}"):
        engine.arrays(engine.scan(Table.INTERACTIONS).filter(nw.col(USER_ID) == "ada"))


def test_csv_of_other_programs(engine: Engine, tmp_path: Path) -> None:
    """Cells are what they say that they are; one that is not is null, and its row is told as text,
    in the order of the file."""
    assert isinstance(engine, ReadsCsv)
    file = tmp_path / "some [1] ratings.csv"
    rows = ["7,260,4.5,1700000000", "x,1,2,3", "8,1", "9,2,five,-1", '10,"a, b",1e0, 86400 ,more']
    file.write_text("\n".join(["user,film,stars,at", *rows, ""]))
    cells = {"user": Cell.INTEGER, "film": Cell.TEXT, "stars": Cell.NUMBER, "at": Cell.SECONDS}
    found = engine.arrays(
        engine.read_csv([f"file://{file}"], cells, line="line", row="row").sort("line")
    )
    assert [None if isnan(one) else int(one) for one in found["user"]] == [7, None, 8, 9, 10]
    assert found["film"].tolist() == ["260", "1", "1", "2", "a, b"]
    assert [None if isnan(one) else one for one in found["stars"]] == [4.5, 2.0, None, None, 1.0]
    moments = [1_700_000_000, 3, None, -1, 86_400]
    known = [at for at in moments if at is not None]
    assert [at for at in found["at"].tolist() if at > -(2**60)] == [at * 10**6 for at in known]
    assert found["row"].tolist()[1] == "x,1,2,3"
    assert found["row"].tolist()[2] == "8,1"

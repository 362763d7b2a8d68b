"""Tables of strings become matrices of numbers, and nothing is lost or confused on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.transforms.frames import frame

from nextup.adapters.engine.local import LocalEngine
from nextup.adapters.lake.delta import DeltaLake
from nextup.domain.errors import Conflict
from nextup.domain.tables import Table
from nextup.services.dataset import Dataset, load_dataset, load_item_facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.engine import Engine

AT = datetime(2026, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC)
SECOND = int(AT.timestamp())


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    lake = DeltaLake(str(tmp_path_factory.mktemp("lake")))
    engine = LocalEngine(lake)
    yield engine
    engine.close()
    lake.close()


def pair(user: str, item: str, confidence: float = 1.0, minutes: int = 0) -> dict[str, Any]:
    return {
        "user_id": user,
        "item_id": item,
        "confidence": confidence,
        "last_at": AT + timedelta(minutes=minutes),
    }


def load(engine: Engine, pairs: list[dict[str, Any]], items: list[str]) -> Dataset:
    table = frame(Table.USER_ITEM, *pairs, touches=1, dismissed=False, first_at=AT)
    return load_dataset(engine, table, items)


def pairs_of(dataset: Dataset) -> dict[tuple[str, str], tuple[float, int]]:
    """What the matrix says, back in words."""
    found = dataset.interactions
    return {
        (dataset.user_ids[user], dataset.item_ids[item]): (float(weight), int(time))
        for user, item, weight, time in zip(
            found.users(), found.items, found.weights, found.times, strict=True
        )
    }


def test_pairs_become_a_matrix(engine: Engine) -> None:
    """People and items are numbered; confidence and the second of the last touch are kept."""
    pairs = [pair("zoe", "b", 2.5), pair("ada", "c"), pair("zoe", "a", minutes=1)]
    dataset = load(engine, pairs, ["a", "b", "c"])
    assert list(dataset.user_ids) == ["ada", "zoe"]
    assert pairs_of(dataset) == {
        ("zoe", "b"): (2.5, SECOND),
        ("ada", "c"): (1.0, SECOND),
        ("zoe", "a"): (1.0, SECOND + 60),
    }


def test_items_keep_the_order_that_was_asked_for(engine: Engine) -> None:
    """Rows follow the given list, whatever the alphabet says, and those untouched have a row."""
    dataset = load(engine, [pair("ada", "a"), pair("ada", "z")], ["z", "untouched", "a"])
    assert dataset.interactions.n_items == 3
    assert dataset.interactions.items.tolist() == [0, 2]


def test_unlisted_items_are_left_out(engine: Engine) -> None:
    """A touch of an item that is not in the list does not shift any other row."""
    dataset = load(engine, [pair("ada", "gone"), pair("ada", "b"), pair("bob", "gone")], ["a", "b"])
    assert pairs_of(dataset) == {("ada", "b"): (1.0, SECOND)}
    assert list(dataset.user_ids) == ["ada", "bob"]


def test_what_is_not_wanted_is_kept_apart(engine: Engine) -> None:
    """A touch without confidence is no interaction, but known, so that it is not recommended."""
    pairs = [pair("bob", "a", 0.0), pair("ada", "c", 0.0), pair("bob", "b"), pair("ada", "x", 0.0)]
    dataset = load(engine, pairs, ["a", "b", "c"])
    assert pairs_of(dataset) == {("bob", "b"): (1.0, SECOND)}
    assert dataset.indifferent.tolist() == [0 * 3 + 2, 1 * 3 + 0]


@pytest.mark.parametrize("items", [[], ["a"]])
def test_nothing_is_an_empty_matrix(engine: Engine, items: list[str]) -> None:
    """Without pairs, or without items, there are no interactions and no error."""
    dataset = load(engine, [], items)
    assert len(dataset.interactions) == len(dataset.indifferent) == 0
    assert dataset.interactions.n_items == len(items)


ids = st.sampled_from(["a", "b", "c", "B", "ä", "10", "9"])


@hypothesis.settings(max_examples=30, deadline=None)
@given(
    pairs=st.dictionaries(st.tuples(ids, ids), st.sampled_from([0.0, 0.5, 3.0]), max_size=20),
    items=st.lists(ids, unique=True, min_size=1),
)
def test_every_pair_is_in_one_place(
    engine: Engine, pairs: dict[tuple[str, str], float], items: list[str]
) -> None:
    """Each listed pair is either wanted or indifferent, under its own names, and nothing else."""
    rows = [pair(user, item, confidence) for (user, item), confidence in pairs.items()]
    dataset = load(engine, rows, items)
    listed = {key: confidence for key, confidence in pairs.items() if key[1] in items}
    wanted = {key: (confidence, SECOND) for key, confidence in listed.items() if confidence}
    assert pairs_of(dataset) == wanted
    indifferent = {
        (dataset.user_ids[key // len(items)], items[key % len(items)])
        for key in dataset.indifferent.tolist()
    }
    assert indifferent == {key for key, confidence in listed.items() if not confidence}
    assert (np.diff(dataset.indifferent) > 0).all()


def put(engine: Engine, *items: dict[str, Any]) -> None:
    defaults = {"kind": "film", "title": "", "genres": [], "makers": [], "keywords": []}
    engine.replace(Table.ITEMS, frame(Table.ITEMS, *items, **defaults, available=True))


def test_facts_are_by_item(engine: Engine) -> None:
    """Every fact of an item is in the row of its id, in the order of the ids."""
    put(
        engine,
        {"item_id": "b", "title": "B", "genres": ["x", "y"], "keywords": ["k"]},
        {"item_id": "a", "title": "A", "kind": "book", "makers": ["m"]},
    )
    facts = load_item_facts(engine)
    assert list(facts.item_ids) == ["a", "b"]
    assert list(facts.titles) == ["A", "B"]
    assert list(facts.kinds) == ["book", "film"]
    assert [list(genres) for genres in facts.genres] == [[], ["x", "y"]]
    assert [list(makers) for makers in facts.makers] == [["m"], []]
    assert [list(keywords) for keywords in facts.keywords] == [[], ["k"]]


def test_without_items_there_is_nothing_to_recommend(tmp_path: Path) -> None:
    """An empty catalogue is refused with the command that fills it."""
    lake = DeltaLake(str(tmp_path / "lake"))
    engine = LocalEngine(lake)
    with pytest.raises(Conflict, match="nextup ingest"):
        load_item_facts(engine)
    engine.close()
    lake.close()

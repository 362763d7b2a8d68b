"""Lists for everybody on Spark: place by place those of one process, published from executors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.backends import Place, places
from tests.servers import server
from tests.spark_world import STARTING_SECONDS

from nextup.adapters.engine import spark_blocks
from nextup.bootstrap import open_platform
from nextup.domain import tables as t
from nextup.domain.errors import BackendUnavailable, Conflict
from nextup.domain.recommendations import PublishedList
from nextup.domain.tables import Table
from nextup.services.artifacts import load_artifact
from nextup.services.lists_in_blocks import ListWriter, measure
from nextup.services.publish import make_lists, publish
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import polars as pl

    from nextup.bootstrap import Platform
    from nextup.domain.items import Item
    from nextup.services.lists_in_blocks import Describe

pytestmark = pytest.mark.timeout(STARTING_SECONDS)


@pytest.fixture
def on_spark(built: Platform, spark: dict[str, Any]) -> Iterator[Platform]:
    """The built platform with its engine on Spark."""
    with open_platform(load_settings(built.settings.home, **spark)) as platform:
        yield platform


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


def rows_of(platform: Platform, table: Table) -> pl.DataFrame:
    return platform.lake.scan(table).sort(t.USER_ID, *_order(table)).collect()


def _order(table: Table) -> tuple[str, ...]:
    return (t.RANK,) if table is Table.RECOMMENDATIONS else ()


def test_spark_makes_the_same_lists(on_spark: Platform, built: Platform) -> None:
    """Every place of every list, with score and source, and every vector, as one process does."""
    model_id = built.control.current_model()
    assert model_id is not None
    artifact = load_artifact(built.files, model_id)
    before = [rows_of(built, one) for one in (Table.RECOMMENDATIONS, Table.USER_VECTORS)]
    made = make_lists(on_spark.engine, artifact, on_spark.settings)
    after = [rows_of(built, one) for one in (Table.RECOMMENDATIONS, Table.USER_VECTORS)]
    assert made.entries == len(before[0])
    assert made.lists == before[0][t.USER_ID].n_unique()
    assert after[0].equals(before[0])
    assert after[1].equals(before[1])


@pytest.mark.parametrize("place", [server("redis")], indirect=True)
def test_a_generation_comes_from_the_executors(
    place: Place, on_spark: Platform, built: Platform
) -> None:
    """Readers get the whole of it, at once; what is in service is not written again, and a part
    that cannot be written leaves the old generation to them."""
    url = {"recommendation_store_url": place.url, "tenant": place.tenant}
    with open_platform(load_settings(built.settings.home, **url)) as elsewhere:
        opener = elsewhere.store_opener
        assert opener is not None
        store = elsewhere.recommendation_store
        lists = {one.user_id: one for one in _lists_in_service(built)}
        with pytest.raises(BackendUnavailable, match="the network is down"):
            publish(on_spark.engine, store, built.control, reopen=_refuse)
        assert store.current() is None
        published = publish(on_spark.engine, store, built.control, reopen=opener)
        assert store.current() == published.generation
        assert store.count(published.generation) == published.lists == len(lists)
        assert all(store.read(user_id) == one for user_id, one in lists.items())
        assert publish(on_spark.engine, store, built.control, reopen=_refuse) == published


def _lists_in_service(built: Platform) -> Iterator[PublishedList]:
    for user_id in rows_of(built, Table.RECOMMENDATIONS)[t.USER_ID].unique():
        found = built.recommendation_store.read(user_id)
        assert found is not None
        yield found


def _refuse(_: Describe) -> Any:
    """What opens a store that cannot be reached."""
    raise BackendUnavailable("The store does not answer: the network is down.")


def test_a_store_of_this_machine_is_written_by_this_process(
    on_spark: Platform, built: Platform
) -> None:
    """SQLite and memory cannot be reached from other machines: nobody there is asked."""
    assert on_spark.store_opener is None
    published = publish(on_spark.engine, on_spark.recommendation_store, on_spark.control)
    assert published.generation == built.recommendation_store.current()


class Recorder:
    """A store that remembers what it was given, and asks how items are called."""

    def __init__(self, describe: Describe) -> None:
        self.describe = describe
        self.closed = False
        self.written: dict[str, PublishedList] = {}
        self.titles: Mapping[str, Item] = {}

    def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
        for one in lists:
            self.written[one.user_id] = one
            self.titles = {**self.titles, **self.describe([i.item_id for i in one.items])}
        return len(self.written)

    def close(self) -> None:
        self.closed = True


def block(users: list[str], items: list[str], ranks: list[int]) -> dict[str, np.ndarray[Any, Any]]:
    genres = np.empty(len(users), object)
    for row, item in enumerate(items):  # arrays of arrays, as they come out of Arrow
        genres[row] = np.array(["drama"], object) if item != "gone" else None
    titles = [f"Film {item}" if item != "gone" else None for item in items]
    return {
        t.USER_ID: np.array(users, object),
        t.ITEM_ID: np.array(items, object),
        t.RANK: np.array(ranks),
        t.SCORE: 1.0 / np.array(ranks),
        t.SOURCE: np.full(len(users), "als", object),
        t.TITLE: np.array(titles, object),
        t.GENRES: genres,
    }


def test_a_store_is_told_how_items_are_called() -> None:
    """The rows carry title and genres; an item that left the catalogue has neither."""
    stores: list[Recorder] = []

    def reopen(describe: Describe) -> Any:
        stores.append(Recorder(describe))
        return stores[-1]

    writer = ListWriter("g", reopen)
    rows = block(["a", "a", "b"], ["2", "1", "gone"], [2, 1, 1])
    assert writer(iter([rows])) == {"lists": 2}
    (store,) = stores
    assert store.closed
    assert [one.item_id for one in store.written["a"].items] == ["1", "2"]  # best first
    assert store.titles["2"].title == "Film 2"
    assert store.titles["2"].genres == ("drama",)
    assert store.titles["gone"].title == ""


def test_a_store_is_closed_whatever_happens() -> None:
    """An error in the middle of writing leaves no connection open."""
    stores: list[Recorder] = []

    class Refusing(Recorder):
        def write(self, generation: str, lists: Iterable[PublishedList]) -> int:
            raise Conflict("in service")

    def reopen(describe: Describe) -> Any:
        stores.append(Refusing(describe))
        return stores[-1]

    with pytest.raises(Conflict):
        ListWriter("g", reopen)(iter([block(["a"], ["1"], [1])]))
    assert stores[0].closed


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.data())
def test_a_digest_does_not_depend_on_the_cut(sizes: list[int], data: st.DataObject) -> None:
    """However lists are spread over blocks and parts, they are counted and digested alike."""
    users = [f"u{n}" for n, size in enumerate(sizes) for _ in range(size)]
    ranks = [rank for size in sizes for rank in range(1, size + 1)]
    items = [str(data.draw(st.integers(0, 3))) for _ in users]
    whole = measure(iter([block(users, items, ranks)]))
    cut = int(np.sum(sizes[: data.draw(st.integers(0, len(sizes)))]))
    parts = [
        measure(iter([block(users[part], items[part], ranks[part])]))
        for part in (slice(None, cut), slice(cut, None))
        if users[part]
    ]
    assert whole["lists"] == sum(part["lists"] for part in parts) == len(sizes)
    assert whole["digest"] == sum(part["digest"] for part in parts) % 2**32


@settings(deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 7), st.integers(1, 9))
def test_a_person_is_in_one_block(sizes: list[int], batch: int, wanted: int) -> None:
    """Whatever batches the rows come in, blocks are cut between people, and nothing is lost."""
    users = [f"u{n:02}" for n, size in enumerate(sizes) for _ in range(size)]
    rows = pa.table({t.USER_ID: users, "n": list(range(len(users)))})
    batches = iter(rows.to_batches(max_chunksize=batch))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spark_blocks, "BLOCK_ROWS", wanted)
        blocks = list(spark_blocks.blocks_of(batches, t.USER_ID))
    assert np.concatenate([one["n"] for one in blocks]).tolist() == list(range(len(users)))
    people = [user for one in blocks for user in np.unique(one[t.USER_ID]).tolist()]
    assert len(people) == len(set(people))

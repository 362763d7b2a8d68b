"""From tables to matrices: the strings of the outside world become row numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextup.algorithms.interactions import Interactions
from nextup.domain import tables as t
from nextup.domain.errors import Conflict
from nextup.domain.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import narwhals as nw
    from numpy.typing import NDArray

    from nextup.ports.engine import Engine
    from nextup.ports.lake import AsOf

MICROSECONDS = 1_000_000  # in a second
PAIR_COLUMNS = (t.USER_ID, t.ITEM_ID, t.CONFIDENCE, t.LAST_AT)  # what a matrix is made of


@dataclass(frozen=True, slots=True, eq=False)
class ItemFacts:
    """The catalogue as the models see it; row i of each is item i."""

    item_ids: Sequence[str]
    kinds: Sequence[str]
    titles: Sequence[str]
    genres: Sequence[Sequence[str]]
    makers: Sequence[Sequence[str]]
    keywords: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Who wants what, as far as is known."""

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    interactions: Interactions  # only pairs with some confidence
    indifferent: NDArray[np.int64]  # seen but not wanted: user row * n_items + item row, ascending


def load_item_facts(engine: Engine, as_of: AsOf = None) -> ItemFacts:
    """All items, by id. Raises Conflict where the catalogue is empty."""
    frame = engine.scan(Table.ITEMS, as_of).sort(t.ITEM_ID)
    columns = (t.ITEM_ID, t.KIND, t.TITLE, t.GENRES, t.MAKERS, t.KEYWORDS)
    arrays = engine.arrays(frame.select(*columns))
    if not len(arrays[t.ITEM_ID]):
        raise Conflict("There are no items to recommend.", cure="`nextup ingest` brings some.")
    ids, kinds, titles, genres, makers, keywords = (arrays[name].tolist() for name in columns)
    return ItemFacts(ids, kinds, titles, genres, makers, keywords)


def load_dataset(engine: Engine, user_item: nw.LazyFrame[Any], item_ids: Sequence[str]) -> Dataset:
    """Number people and items and build the matrix; touches of unlisted items are left out."""
    arrays, values = engine.coded(user_item.select(*PAIR_COLUMNS), t.USER_ID, t.ITEM_ID)
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    rows = np.array([row_of.get(item_id, -1) for item_id in values[t.ITEM_ID]], np.int64)
    items = rows[arrays[t.ITEM_ID]] if len(rows) else np.empty(0, np.int64)
    users = arrays[t.USER_ID].astype(np.int64)
    return _dataset(arrays, users, items, values[t.USER_ID].tolist(), item_ids)


def block_dataset(
    block: Mapping[str, NDArray[Any]], item_ids: Sequence[str], row_of: Mapping[str, int]
) -> Dataset:
    """The same of some people's pairs in memory, sorted by person; `row_of` numbers the items."""
    first = np.r_[True, block[t.USER_ID][1:] != block[t.USER_ID][:-1]]
    items = np.array([row_of.get(item_id, -1) for item_id in block[t.ITEM_ID].tolist()], np.int64)
    people = block[t.USER_ID][first].tolist()
    return _dataset(block, np.cumsum(first) - 1, items, people, item_ids)


def _dataset(
    pairs: Mapping[str, NDArray[Any]],
    users: NDArray[np.int64],
    items: NDArray[np.int64],  # -1: not listed
    people: Sequence[str],
    item_ids: Sequence[str],
) -> Dataset:
    listed = items >= 0
    wanted = listed & (pairs[t.CONFIDENCE] > 0)
    interactions = Interactions.from_pairs(
        users[wanted],
        items[wanted],
        pairs[t.CONFIDENCE][wanted],
        pairs[t.LAST_AT][wanted] // MICROSECONDS,
        n_users=len(people),
        n_items=len(item_ids),
    )
    keys = users * len(item_ids) + items
    return Dataset(people, item_ids, interactions, np.sort(keys[listed & ~wanted]))

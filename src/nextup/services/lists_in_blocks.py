"""Lists for more people than fit in memory: made and published where the engine has the rows.

What is learned is sent to every process of the engine; people's histories come to it in blocks.
The lists are those that `make_lists` makes in one process, place by place.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from nextup.algorithms.components import KnowsPeople
from nextup.domain import tables as t
from nextup.domain.errors import Conflict
from nextup.domain.items import Item
from nextup.domain.tables import Table
from nextup.ports.recommendation_store import RecommendationStore
from nextup.services.dataset import MICROSECONDS, PAIR_COLUMNS, block_dataset
from nextup.services.lists import decides, list_starts, lists_for, lists_of_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from nextup.domain.recommendations import PublishedList
    from nextup.ports.engine import Blocks, Engine, SupportsBlocks
    from nextup.services.artifacts import Artifact
    from nextup.services.dataset import Dataset
    from nextup.settings import Settings

    class BlockEngine(Engine, SupportsBlocks, Protocol):
        """An engine with the ability."""


Describe = Callable[[Collection[str]], Mapping[str, Item]]
Reopen = Callable[[Describe], RecommendationStore]
"""Opens the recommendation store in another process; told how items are called."""

LISTS, PLACES, DIGEST = "lists", "places", "digest"  # what parts of a publication count
_DIGEST_BITS = 32


def make_in_blocks(engine: BlockEngine, artifact: Artifact, settings: Settings) -> tuple[int, int]:
    """Rank everybody into `gold.recommendations`; how many lists and places that were."""
    pairs = engine.scan(Table.USER_ITEM).select(*PAIR_COLUMNS)
    sent = replace(artifact, metrics={}, lineage={}, item_ids=list(artifact.item_ids))
    maker = ListMaker(
        sent,
        settings.recommend.published_depth,
        settings.recommend.candidates,
        _newest(engine, pairs, artifact),
    )
    ranked = engine.map_blocks(pairs, t.USER_ID, maker, Table.RECOMMENDATIONS)
    places = engine.replace(Table.RECOMMENDATIONS, ranked)
    if any(isinstance(fitted, KnowsPeople) for fitted in artifact.components.values()):
        vectors = engine.map_blocks(pairs, t.USER_ID, VectorMaker(sent), Table.USER_VECTORS)
        engine.replace(Table.USER_VECTORS, vectors)
    firsts = engine.scan(Table.RECOMMENDATIONS).filter(nw.col(t.RANK) == 1)
    (lists,) = engine.arrays(firsts.select(nw.len())).values()
    return int(lists[0]), places


@dataclass(frozen=True, slots=True)
class ListMaker:
    """Everybody's rows of `gold.recommendations`."""

    artifact: Artifact
    limit: int
    candidates: int  # of each source
    newest: int  # touch of all, unix seconds

    def __call__(self, blocks: Blocks) -> Iterator[dict[str, Any]]:
        """Some rows for each block."""
        item_ids = np.array(self.artifact.item_ids, object)
        for people in _people(self.artifact, blocks):
            fused, sources = lists_for(
                self.artifact.components,
                self.artifact.blend,
                self.artifact.ranker,
                people.interactions,
                self.limit,
                candidates=self.candidates,
                unwanted=people.indifferent,
                newest=self.newest,
            )
            users, places = np.nonzero(fused.ranking.items >= 0)
            yield {
                t.USER_ID: np.array(people.user_ids, object)[users],
                t.RANK: places + 1,
                t.ITEM_ID: item_ids[fused.ranking.items[users, places]],
                t.SCORE: fused.ranking.scores[users, places].astype(np.float64),
                t.SOURCE: np.array(sources, object)[fused.sources[users, places]],
                t.MODEL_ID: [self.artifact.model_id] * len(users),
            }


@dataclass(frozen=True, slots=True)
class VectorMaker:
    """Everybody's rows of `gold.user_vectors`."""

    artifact: Artifact

    def __call__(self, blocks: Blocks) -> Iterator[dict[str, Any]]:
        """Some rows for each block."""
        fitted = next(
            one for one in self.artifact.components.values() if isinstance(one, KnowsPeople)
        )
        for people in _people(self.artifact, blocks):
            yield {
                t.USER_ID: people.user_ids,
                t.MODEL_ID: [self.artifact.model_id] * len(people.user_ids),
                t.VECTOR: fitted.user_matrix(people.interactions).tolist(),
            }


def _people(artifact: Artifact, blocks: Blocks) -> Iterator[Dataset]:
    row_of = {item_id: row for row, item_id in enumerate(artifact.item_ids)}
    for block in blocks:
        yield block_dataset(block, artifact.item_ids, row_of)


def _newest(engine: BlockEngine, pairs: nw.LazyFrame[Any], artifact: Artifact) -> int:
    """The newest touch that the lists are asked about, where their order depends on it."""
    if not decides(artifact.ranker, artifact.blend):
        return 0
    listed = engine.frame({t.ITEM_ID: list(artifact.item_ids)})
    wanted = pairs.filter(nw.col(t.CONFIDENCE) > 0).join(listed, on=t.ITEM_ID, how="semi")
    (newest,) = engine.arrays(wanted.select(nw.col(t.LAST_AT).max())).values()
    return int(newest[0]) // MICROSECONDS


class ListsInBlocks:
    """The lists of `gold.recommendations`, written to the store from where they are."""

    def __init__(self, engine: BlockEngine, frame: nw.LazyFrame[Any], reopen: Reopen) -> None:
        columns = (t.USER_ID, t.RANK, t.ITEM_ID, t.SCORE, t.SOURCE)
        self._engine = engine
        self._rows = frame.select(*columns)
        self._reopen = reopen
        self._lists = 0

    def measured(self) -> tuple[int, int, str]:
        """How many lists and places there are, and a digest, whichever way they are cut."""
        found = self._engine.sum_blocks(self._rows, t.USER_ID, measure)
        self._lists = found.get(LISTS, 0)
        digest = found.get(DIGEST, 0) % 2**_DIGEST_BITS
        return self._lists, found.get(PLACES, 0), f"{digest:08x}"

    def write(self, store: RecommendationStore, generation: str) -> None:
        """All of them. Raises Conflict where there are not as many any more as were counted."""
        items = self._engine.scan(Table.ITEMS).select(t.ITEM_ID, t.TITLE, t.GENRES)
        named = self._rows.join(items, on=t.ITEM_ID, how="left")
        written = self._engine.sum_blocks(
            named, t.USER_ID, ListWriter(generation, self._reopen)
        ).get(LISTS, 0)
        if written != self._lists:
            raise Conflict(
                f"The lists changed while they were published: {self._lists} were counted, "
                f"{written} were written.",
                cure="Publish again; two pipelines may be at work on the same lake.",
            )


def measure(blocks: Blocks) -> dict[str, int]:
    """Count the lists of some people, and add up a digest of each."""
    counted: Counter[str] = Counter()
    for block in blocks:
        for each in lists_of_rows(_ranked(block)):
            digest = hashlib.blake2b(digest_size=_DIGEST_BITS // 8)
            digest.update("\0".join((each.user_id, *(one.item_id for one in each.items))).encode())
            digest.update(np.array([one.score for one in each.items]).tobytes())
            counted[DIGEST] += int.from_bytes(digest.digest())
            counted[LISTS] += 1
            counted[PLACES] += len(each.items)
    return {**counted, DIGEST: counted[DIGEST] % 2**_DIGEST_BITS}


@dataclass(frozen=True, slots=True)
class ListWriter:
    """Writes the lists of some people into a generation, over a connection of its own.

    Written twice, a list is there once. A generation that meanwhile went into service refuses.
    """

    generation: str
    reopen: Reopen

    def __call__(self, blocks: Blocks) -> dict[str, int]:
        """How many lists were written."""
        items: dict[str, Item] = {}
        store = self.reopen(lambda asked: {one: items[one] for one in asked if one in items})
        try:
            return {LISTS: store.write(self.generation, self._lists(blocks, items))}
        finally:
            store.close()

    def _lists(self, blocks: Blocks, items: dict[str, Item]) -> Iterator[PublishedList]:
        for block in blocks:
            rows = _ranked(block)
            ids, places = np.unique(rows[t.ITEM_ID], return_index=True)
            for item_id, place in zip(ids.tolist(), places.tolist(), strict=True):
                title, genres = rows[t.TITLE][place], rows[t.GENRES][place]
                known = () if genres is None else tuple(map(str, genres))
                items[item_id] = Item(item_id, title=title or "", genres=known)
            yield from lists_of_rows(rows)


def _ranked(block: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """The rows by person, who ascend already, and rank."""
    person = np.zeros(len(block[t.USER_ID]), np.int64)
    person[list_starts(block)] = 1
    order = np.lexsort((block[t.RANK], np.cumsum(person)))
    return {name: column[order] for name, column in block.items()}

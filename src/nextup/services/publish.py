"""Publish: lists for everybody in a new generation beside the old one, then one switch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nextup.algorithms.components import KnowsPeople
from nextup.domain import tables as t
from nextup.domain.errors import Conflict
from nextup.domain.operations import Generation
from nextup.domain.tables import Table
from nextup.ports.engine import SupportsBlocks
from nextup.services.dataset import load_dataset
from nextup.services.lists import list_starts, lists_for, lists_of_rows
from nextup.services.lists_in_blocks import ListsInBlocks, make_in_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import narwhals as nw

    from nextup.algorithms.lists.fusion import Fused
    from nextup.domain.recommendations import PublishedList
    from nextup.ports.control import Control
    from nextup.ports.engine import Engine
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.services.artifacts import Artifact
    from nextup.services.dataset import Dataset
    from nextup.services.lists_in_blocks import Reopen
    from nextup.services.train import Report
    from nextup.settings import Settings

KEPT_GENERATIONS = 3  # in the store: the one in service and two to roll back to


@dataclass(frozen=True, slots=True)
class Published:
    """What went into the store."""

    generation: str
    lists: int
    entries: int


def make_lists(
    engine: Engine,
    artifact: Artifact,
    settings: Settings,
) -> Published:
    """Rank everybody into `gold.recommendations`; run again, it writes the same."""
    if isinstance(engine, SupportsBlocks):
        return Published(artifact.model_id, *make_in_blocks(engine, artifact, settings))
    people = load_dataset(engine, engine.scan(Table.USER_ITEM), artifact.item_ids)
    fused, names = lists_for(
        artifact.components,
        artifact.blend,
        artifact.ranker,
        people.interactions,
        settings.recommend.published_depth,
        candidates=settings.recommend.candidates,
        unwanted=people.indifferent,
    )
    entries = _write_lists(engine, artifact, people, fused, names)
    _write_vectors(engine, artifact, people)
    lists = int((fused.ranking.items[:, :1] >= 0).sum())
    return Published(artifact.model_id, lists, entries)


def publish(
    engine: Engine,
    store: RecommendationStore,
    control: Control,
    *,
    reopen: Reopen | None = None,
    report: Report | None = None,
) -> Published:
    """Copy `gold.recommendations` into a new generation of the store and put it in service.

    A generation is named by its model and its content: the lists that are in service already
    are not written again, others always are. With `reopen` an engine that is able to writes them
    where they are. Raises Conflict where there are no lists: an empty generation never replaces a
    full one.
    """
    frame = engine.scan(Table.RECOMMENDATIONS)
    lists: Lists
    if reopen is not None and isinstance(engine, SupportsBlocks):
        lists = ListsInBlocks(engine, frame, reopen)
    else:
        lists = _ListsInMemory(engine, frame, report)
    first = engine.arrays(frame.select(t.MODEL_ID).head(1))[t.MODEL_ID]
    return put_in_service(lists, str(first[0]) if len(first) else "", store, control)


def put_in_service(
    lists: Lists, model_id: str, store: RecommendationStore, control: Control
) -> Published:
    """The same for lists from anywhere, which the model made."""
    people, entries, digest = lists.measured()
    if not people:
        raise Conflict("There are no lists to publish.", cure="`nextup pipeline run` makes them.")
    published = Published(f"{model_id}-{digest}", people, entries)
    generation = published.generation
    if store.current() == generation and store.count(generation) == people:
        return published
    if store.current() != generation:
        lists.write(store, generation)
    store.switch(generation)
    control.save_generation(Generation(generation, model_id, people, datetime.now(UTC)))
    _drop_old(store, control)
    return published


class Lists(Protocol):
    """The lists of `gold.recommendations`, on their way to the store."""

    def measured(self) -> tuple[int, int, str]:
        """How many lists and places there are, and a digest that is equal for equal ones."""
        ...

    def write(self, store: RecommendationStore, generation: str) -> None:
        """All of them, or an error."""
        ...


class _ListsInMemory:
    """All in this process."""

    def __init__(self, engine: Engine, frame: nw.LazyFrame[Any], report: Report | None) -> None:
        columns = (t.USER_ID, t.RANK, t.ITEM_ID, t.SCORE, t.SOURCE)
        self._rows = engine.arrays(frame.sort(t.USER_ID, t.RANK).select(*columns))
        self._report = report

    def measured(self) -> tuple[int, int, str]:
        rows = self._rows
        return len(list_starts(rows)), len(rows[t.USER_ID]), _digest(rows)

    def write(self, store: RecommendationStore, generation: str) -> None:
        total = len(list_starts(self._rows))
        store.write(generation, self._told(total))

    def _told(self, total: int) -> Iterator[PublishedList]:
        for number, each in enumerate(lists_of_rows(self._rows)):
            yield each
            if self._report is not None and number % 1000 == 0:
                self._report("lists", number, total)
        if self._report is not None:
            self._report("lists", total, total)


def _write_lists(
    engine: Engine, artifact: Artifact, people: Dataset, fused: Fused, sources: Sequence[str]
) -> int:
    users, places = np.nonzero(fused.ranking.items >= 0)
    items = engine.frame({"item": np.arange(len(artifact.item_ids)), t.ITEM_ID: artifact.item_ids})
    persons = engine.frame({"user": np.arange(len(people.user_ids)), t.USER_ID: people.user_ids})
    origins = engine.frame({"origin": np.arange(len(sources)), t.SOURCE: sources})
    places_frame = engine.frame(
        {
            "user": users,
            t.RANK: places + 1,
            "item": fused.ranking.items[users, places].astype(np.int64),
            t.SCORE: fused.ranking.scores[users, places].astype(np.float64),
            "origin": fused.sources[users, places].astype(np.int64),
            t.MODEL_ID: [artifact.model_id] * len(users),
        }
    )
    named = (
        places_frame.join(items, on="item", how="inner")
        .join(persons, on="user", how="inner")
        .join(origins, on="origin", how="inner")
    )
    return engine.replace(Table.RECOMMENDATIONS, named.select(*t.COLUMNS[Table.RECOMMENDATIONS]))


def _write_vectors(engine: Engine, artifact: Artifact, people: Dataset) -> None:
    """Everybody's characteristic vector, for those who read the lake; serving makes its own."""
    for fitted in artifact.components.values():
        if isinstance(fitted, KnowsPeople):
            vectors = engine.frame(
                {
                    t.USER_ID: people.user_ids,
                    t.MODEL_ID: [artifact.model_id] * len(people.user_ids),
                    t.VECTOR: fitted.user_matrix(people.interactions).tolist(),
                }
            )
            engine.replace(Table.USER_VECTORS, vectors)
            return


def _digest(rows: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Equal for equal lists: who gets what, in which order."""
    digest = hashlib.blake2b(digest_size=4)
    for name in (t.USER_ID, t.ITEM_ID):
        digest.update("\0".join(rows[name].tolist()).encode())
    digest.update(np.ascontiguousarray(rows[t.SCORE]).tobytes())
    return digest.hexdigest()


def _drop_old(store: RecommendationStore, control: Control) -> None:
    recent = [generation.generation for generation in control.generations()][:KEPT_GENERATIONS]
    for generation in store.generations():
        if generation not in recent and generation != store.current():
            store.drop(generation)

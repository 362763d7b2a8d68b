"""Publish: lists for everybody in a new generation beside the old one, then one switch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nextup.algorithms.components import KnowsPeople
from nextup.domain import tables as t
from nextup.domain.errors import Conflict
from nextup.domain.operations import Generation
from nextup.domain.recommendations import PublishedList, Scored
from nextup.domain.tables import Table
from nextup.services.dataset import load_dataset
from nextup.services.lists import lists_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nextup.algorithms.lists.fusion import Fused
    from nextup.ports.control import Control
    from nextup.ports.engine import Engine
    from nextup.ports.recommendation_store import RecommendationStore
    from nextup.services.artifacts import Artifact
    from nextup.services.dataset import Dataset
    from nextup.services.train import Report
    from nextup.settings import Settings

KEPT_GENERATIONS = 3  # in the store: the one in service and two to roll back to

# tuple's own constructor, past the named tuple's Python one: there are millions of places
_scored: Callable[[Iterable[Any]], Scored] = partial(tuple.__new__, Scored)


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
    report: Report | None = None,
) -> Published:
    """Copy `gold.recommendations` into a new generation of the store and put it in service.

    A generation is named by its model and its content: the lists that are in service already
    are not written again, others always are. Raises Conflict where there are no lists: an empty
    generation never replaces a full one.
    """
    frame = engine.scan(Table.RECOMMENDATIONS)
    columns = (t.USER_ID, t.RANK, t.ITEM_ID, t.SCORE, t.SOURCE)
    rows = engine.arrays(frame.sort(t.USER_ID, t.RANK).select(*columns))
    if not len(rows[t.USER_ID]):
        raise Conflict("There are no lists to publish.", cure="`nextup pipeline run` makes them.")
    model_id = str(engine.arrays(frame.select(t.MODEL_ID).head(1))[t.MODEL_ID][0])
    starts = np.flatnonzero(np.r_[True, rows[t.USER_ID][1:] != rows[t.USER_ID][:-1]])
    generation = f"{model_id}-{_digest(rows)}"
    published = Published(generation, len(starts), len(rows[t.USER_ID]))
    if store.current() == generation and store.count(generation) == len(starts):
        return published
    if store.current() != generation:
        store.write(generation, _lists(rows, starts, report))
    store.switch(generation)
    control.save_generation(Generation(generation, model_id, len(starts), datetime.now(UTC)))
    _drop_old(store, control)
    return published


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


def _lists(
    rows: Mapping[str, np.ndarray], starts: np.ndarray, report: Report | None
) -> Iterator[PublishedList]:
    ends = [*starts[1:].tolist(), len(rows[t.USER_ID])]
    for number, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
        place = slice(start, end)
        columns = (rows[name][place].tolist() for name in (t.ITEM_ID, t.SCORE, t.SOURCE))
        yield PublishedList(
            str(rows[t.USER_ID][start]), tuple(map(_scored, zip(*columns, strict=True)))
        )
        if report is not None and number % 1000 == 0:
            report("lists", number, len(ends))
    if report is not None:
        report("lists", len(ends), len(ends))


def _drop_old(store: RecommendationStore, control: Control) -> None:
    recent = [generation.generation for generation in control.generations()][:KEPT_GENERATIONS]
    for generation in store.generations():
        if generation not in recent and generation != store.current():
            store.drop(generation)

"""Everybody's list by the stars that the model of ratings predicts, where the engine works."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from nextup.algorithms.models.explicit_als import ExplicitALS, RatingModel
from nextup.domain import tables as t
from nextup.domain.tables import Table
from nextup.ports.engine import SupportsBlocks
from nextup.services.dataset import PAIR_COLUMNS, block_dataset, load_dataset
from nextup.services.publish import Published, make_lists

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.ports.engine import Blocks, Engine
    from nextup.services.artifacts import Artifact
    from nextup.services.dataset import Dataset
    from nextup.settings import Settings

NAME = ExplicitALS.name


def make_star_lists(engine: Engine, artifact: Artifact, settings: Settings) -> Published:
    """Rank everybody into `gold.recommendations`, `num_recommendations` films each, with stars as
    scores; those of an artifact without a model of ratings as everywhere else."""
    if not isinstance(artifact.components.get(NAME), RatingModel):
        return make_lists(engine, artifact, settings)
    sent = replace(artifact, metrics={}, lineage={}, item_ids=list(artifact.item_ids), ranker=None)
    maker = StarMaker(sent, settings.recommend.num_recommendations)
    pairs = engine.scan(Table.USER_ITEM)
    if isinstance(engine, SupportsBlocks):
        ranked = engine.map_blocks(
            pairs.select(*PAIR_COLUMNS), t.USER_ID, maker, Table.RECOMMENDATIONS
        )
    else:
        ranked = engine.frame(maker.rows(load_dataset(engine, pairs, artifact.item_ids)))
    entries = engine.replace(Table.RECOMMENDATIONS, ranked)
    firsts = engine.scan(Table.RECOMMENDATIONS).filter(nw.col(t.RANK) == 1)
    (lists,) = engine.arrays(firsts.select(nw.len())).values()
    return Published(artifact.model_id, int(lists[0]), entries)


@dataclass(frozen=True, slots=True)
class StarMaker:
    """Rows of `gold.recommendations`, which are made where the people's ratings are."""

    artifact: Artifact
    limit: int

    def __call__(self, blocks: Blocks) -> Iterator[dict[str, Any]]:
        """Some for each block."""
        row_of = {item_id: row for row, item_id in enumerate(self.artifact.item_ids)}
        for block in blocks:
            yield self.rows(block_dataset(block, self.artifact.item_ids, row_of))

    def rows(self, people: Dataset) -> dict[str, Any]:
        """The best films that a person has neither rated nor dismissed, with stars within the
        scale that people use; the order is the model's, also where the scale ends."""
        model = self.artifact.components[NAME]
        assert isinstance(model, RatingModel)
        n_items = len(self.artifact.item_ids)
        unwanted = np.bincount(people.indifferent // n_items, minlength=1)
        ranking = model.rank(people.interactions, self.limit + int(unwanted.max()))
        keys = np.arange(len(people.user_ids))[:, None] * n_items + ranking.items
        wanted = (ranking.items >= 0) & ~np.isin(keys, people.indifferent)
        wanted &= wanted.cumsum(axis=1) <= self.limit
        users, places = np.nonzero(wanted)
        stars = np.clip(ranking.scores[users, places], *model.scale[1:3])
        return {
            t.USER_ID: np.array(people.user_ids, object)[users],
            t.RANK: wanted.cumsum(axis=1)[users, places],
            t.ITEM_ID: np.array(self.artifact.item_ids, object)[ranking.items[users, places]],
            t.SCORE: stars.astype(np.float64),
            t.SOURCE: [NAME] * len(users),
            t.MODEL_ID: [self.artifact.model_id] * len(users),
        }

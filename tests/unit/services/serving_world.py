"""A small world to recommend in: real in-memory stores, a linear model whose answers one can
work out by hand, and stores that are down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import numpy as np

from nextup.adapters.online_state.memory import MemoryOnlineState
from nextup.adapters.recommendation_store.memory import MemoryRecommendationStore
from nextup.algorithms.components import Neighbours
from nextup.algorithms.models.popularity import PopularityModel
from nextup.domain.errors import BackendUnavailable
from nextup.domain.events import LogRow, to_microseconds
from nextup.domain.items import Item
from nextup.services.artifacts import Artifact
from nextup.services.recommend import Recommender
from nextup.services.serving_model import ServingModel, build_serving_model
from nextup.services.shelves import Shelves
from nextup.settings import BLEND, Settings

NOW = datetime.now(UTC)  # the stores look at the real clock to forget what has expired
GENRES = ("drama", "horror", "comedy", "classic")


class LinearModel:
    """score = history weights x likeness: each touch's part is there to be read."""

    name: ClassVar[str] = "linear"

    def __init__(self, likeness: np.ndarray) -> None:
        self.likeness = likeness.astype(np.float32)  # (n, n)

    @property
    def n_items(self) -> int:
        return len(self.likeness)

    def score(self, history):
        return history.weights @ self.likeness[history.items]

    def contributions(self, history, items):
        return history.weights[:, None] * self.likeness[np.ix_(history.items, items)]

    def similar(self, item, limit):
        scores = self.likeness[item].copy()
        scores[item] = -np.inf
        best = np.argsort(-scores, kind="stable")[: min(limit, len(scores) - 1)]
        return Neighbours(best.astype(np.int32), scores[best])

    def arrays(self):
        return {"likeness": self.likeness}

    @classmethod
    def from_arrays(cls, arrays):
        return cls(arrays["likeness"])


class DictCatalog:
    """The reads that recommending needs, over a dictionary."""

    def __init__(self, items: list[Item]) -> None:
        self.known = {item.item_id: item for item in items}

    def item(self, item_id):
        return self.known.get(item_id)

    def items(self, item_ids):
        return {item_id: self.known[item_id] for item_id in item_ids if item_id in self.known}

    def all_items(self):
        return iter(sorted(self.known.values(), key=lambda item: item.item_id))

    def count_items(self, kind=None):
        return len(self.known)


class Down:
    """A backend that does not answer, whatever it is asked."""

    def __getattr__(self, name):
        def refuse(*args, **kwargs):
            raise BackendUnavailable("The backend does not answer.")

        return refuse


def make_items(count: int) -> list[Item]:
    """Alternating films and books of a few genres."""
    return [
        Item(
            f"i{row:03}",
            kind="film" if row % 2 == 0 else "book",
            title=f"Title {row}",
            genres=(GENRES[row % 4], GENRES[(row // 4) % 4]),
        )
        for row in range(count)
    ]


def make_artifact(items: list[Item], seed: int = 7, model_id: str = "m1") -> Artifact:
    """Random likeness, symmetric, and a popularity that falls with the row."""
    rng = np.random.default_rng(seed)
    half = rng.random((len(items), len(items)))
    popularity = np.linspace(100, 1, len(items)).astype(np.float32)
    return Artifact(
        model_id,
        NOW - timedelta(days=1),
        [item.item_id for item in items],
        {
            "als": LinearModel((half + half.T) / 2),
            "item_item": LinearModel(np.where(half + half.T > 1.2, half + half.T, 0)),
            "popularity": PopularityModel(popularity),
        },
        {},
        {},
        BLEND,
    )


@dataclass
class World:
    """Everything a recommender stands on; parts can be taken down one by one."""

    size: int = 60
    settings: Settings = field(default_factory=lambda: Settings(recommend={"list_depth": 20}))
    state: object = field(
        default_factory=lambda: MemoryOnlineState(
            weights={"view": 1.0, "click": 2.0, "like": 5.0, "rating": 5.0}, window_days=14
        )
    )
    lists: object = field(default_factory=MemoryRecommendationStore)
    offset: int = 0
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.items = make_items(self.size)
        self.catalog = DictCatalog(self.items)
        self.model: ServingModel = build_serving_model(make_artifact(self.items), self.items)

    def recommender(self) -> Recommender:
        return Recommender(
            state=self.state,
            lists=self.lists,
            catalog=self.catalog,
            model=lambda: self.model,
            settings=self.settings,
            clock=lambda: self.now,
        )

    def shelves(self) -> Shelves:
        return Shelves(
            catalog=self.catalog,
            trending=self.recommender().trending,
            model=lambda: self.model,
            settings=self.settings,
        )

    def without_model(self) -> None:
        self.model = build_serving_model(None, self.items)

    def another_model(self, seed: int) -> None:
        artifact = make_artifact(self.items, seed, f"m{seed}")
        self.model = build_serving_model(artifact, self.catalog.all_items())

    def act(self, user_id: str, item_id: str, kind: str = "like", value=None, at=None) -> None:
        moment = to_microseconds(at or self.now)
        row = LogRow(
            "0",
            self.offset,
            moment,
            f"e{self.offset}",
            kind,
            user_id,
            item_id,
            moment,
            value,
            None,
            None,
            None,
        )
        self.offset += 1
        self.state.apply([row], {"0": self.offset})

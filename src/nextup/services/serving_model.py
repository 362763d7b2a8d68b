"""Everything in memory that ranking needs: immutable, shared by all threads, swapped as a whole.

Rows 0..n_known-1 are the items the model was trained on, in its order; items that the catalogue
got since then follow, so that they can trend and be filtered before the next training.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from nextup.ports.catalog import SupportsOutlines
from nextup.services.lists import decides

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.reranking.reranker import FittedReranker
    from nextup.domain.events import Position
    from nextup.domain.items import Item, Outline
    from nextup.ports.catalog import Catalog
    from nextup.services.artifacts import Artifact

    Rows = NDArray[np.int32]
    Described = Item | Outline

POPULARITY = "popularity"


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """The catalogue as arrays. Names of kinds and genres are compared without case."""

    ids: Sequence[str]
    index: Mapping[str, int]
    available: NDArray[np.bool_]  # (n,)
    kinds: Mapping[str, Rows]  # the rows of each kind
    genres: Mapping[str, Rows]  # the rows of each genre
    genre_vectors: csr_array  # (n, genres), each row of length 1, or 0 without a genre

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, item_ids: Iterable[str]) -> Rows:
        """The rows of those that are here, in the order given."""
        found = [self.index[item_id] for item_id in item_ids if item_id in self.index]
        return np.array(found, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class ServingModel:
    """A trained model beside the items it ranks. Without a model there are only the items."""

    items: ItemTable
    model_id: str | None = None
    created_at: datetime | None = None
    log_position: Position | None = None  # how much of the log the model has seen
    n_known: int = 0  # rows the model was trained on
    components: Mapping[str, Fitted] = field(
        default_factory=dict
    )  # by name: "als", "item_item", ...
    blend: Mapping[str, float] = field(default_factory=dict)  # the weight of each in a list
    popularity: NDArray[np.float32] | None = None  # (n_items,)
    ranker: FittedReranker | None = None  # decides over the blend's candidates; None: the blend

    def component(self, name: str) -> Fitted | None:
        """The component, where the model has it."""
        return self.components.get(name)

    def widen(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """A component's scores with a zero for each item that it does not know, (n_items,)."""
        if len(scores) == len(self.items):
            return np.ascontiguousarray(scores, np.float32)  # as kernels want it; rarely a copy
        wide = np.zeros(len(self.items), np.float32)
        wide[: len(scores)] = scores
        return wide


class Outlined:
    """A catalogue for those who only join models with it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def all_items(self) -> Iterator[Described]:
        """What there is to know for ranking, and nothing more where more costs more."""
        catalog = self._catalog
        if isinstance(catalog, SupportsOutlines):
            return catalog.all_outlines()
        return catalog.all_items()

    def count_items(self) -> int:
        """All of them."""
        return self._catalog.count_items()


def build_serving_model(
    artifact: Artifact | None, catalog_items: Iterable[Described]
) -> ServingModel:
    """Join a model with the catalogue as it is now; without a model, the catalogue alone."""
    if artifact is None:
        return ServingModel(build_item_table((), catalog_items))
    model = ServingModel(
        build_item_table(artifact.item_ids, catalog_items),
        artifact.model_id,
        artifact.created_at,
        artifact.lineage.get("log_position"),
        len(artifact.item_ids),
        artifact.components,
        artifact.blend,
        ranker=artifact.ranker if decides(artifact.ranker, artifact.blend) else None,
    )
    popularity = model.component(POPULARITY)
    if popularity is None:
        return model
    scores = np.asarray(popularity.arrays()["scores"], np.float32)
    return replace(model, popularity=model.widen(scores))


def build_item_table(known_ids: Sequence[str], catalog_items: Iterable[Described]) -> ItemTable:
    """Put the items into arrays: first the known ids, then the catalogue's others.

    A known item that the catalogue no longer holds keeps its row and is not available.
    """
    ids = list(known_ids)
    index = {item_id: row for row, item_id in enumerate(ids)}
    available = np.zeros(len(ids), np.bool_).tolist()
    kinds: dict[str, list[int]] = {}
    genres: dict[str, list[int]] = {}

    @cache  # many items are of the same
    def lists_of(kind: str, names: tuple[str, ...]) -> list[list[int]]:
        """The rows of the kind and of each of the genres, to be continued."""
        folded = {name.casefold() for name in names}
        of_genres = [genres.setdefault(genre, []) for genre in folded]
        return [kinds.setdefault(kind.casefold(), []), *of_genres]

    for item in catalog_items:
        row = index.setdefault(item.item_id, len(ids))
        if row == len(ids):
            ids.append(item.item_id)
            available.append(False)
        available[row] = item.available
        for rows in lists_of(item.kind, item.genres):
            rows.append(row)
    return ItemTable(
        ids,
        index,
        np.array(available, np.bool_),
        _postings(kinds),
        _postings(genres),
        _genre_vectors(genres, len(ids)),
    )


def _postings(rows_by_name: Mapping[str, Sequence[int]]) -> dict[str, Rows]:
    return {name: np.array(rows, np.int32) for name, rows in rows_by_name.items()}


def _genre_vectors(genres: Mapping[str, Sequence[int]], n_items: int) -> csr_array:
    rows = np.array([row for rows in genres.values() for row in rows], np.int32)
    sizes = np.array([len(rows) for rows in genres.values()], np.int64)
    columns = np.repeat(np.arange(len(genres)), sizes)
    genres_per_item = np.bincount(rows, minlength=n_items)  # all counts are >= 1 where used
    values = (1.0 / np.sqrt(genres_per_item[rows])).astype(np.float32)
    return csr_array((values, (rows, columns)), shape=(n_items, max(len(genres), 1)))

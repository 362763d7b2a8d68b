"""EASE for large catalogues: each item is explained by its nearest neighbours only.

Column j of EASE is the ridge regression of item j on all other items. Here it is the exact
ridge regression on the `neighbours` most similar ones, so time and memory grow linearly with
the catalogue and no large matrix is ever inverted.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import linalg, sparse

from nextup.algorithms.inputs import check_positive, check_share, require_touches
from nextup.algorithms.models.emphasis import Emphasis
from nextup.algorithms.models.linear_items import (
    LinearItemModel,
    by_row_blocks,
    strongest,
    without_diagonal,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Progress
    from nextup.algorithms.interactions import Interactions


@dataclass(frozen=True, slots=True)
class SparseEase:
    """Local ridge regressions. Deterministic without a seed; no use for a warm start."""

    name: ClassVar[str] = "sparse_ease"

    regularization: float = 100.0  # L2 weight
    neighbours: int = 100  # items that may explain another, the most similar by cosine
    weighted: bool = False  # use confidences; False: every touch alike
    place_decay: float = 1.0  # each place further back in a history counts this much of the next
    threads: int = 2  # items solved at a time; changes nothing but the time

    def __post_init__(self) -> None:
        check_positive(
            regularization=self.regularization,
            neighbours=self.neighbours,
            place_decay=self.place_decay,
            threads=self.threads,
        )
        check_share(place_decay=self.place_decay)

    def fit(
        self,
        interactions: Interactions,
        *,
        seed: int = 0,
        warm_start: Fitted | None = None,
        progress: Progress | None = None,
    ) -> SparseEaseModel:
        """Raises InvalidInput where there is no touch at all."""
        del seed, warm_start
        require_touches(interactions)
        touches = Emphasis(weighted=self.weighted).matrix(interactions)
        gram = _gram(touches)  # (n_items, n_items)
        supports = _most_similar(gram, self.neighbours)
        n_items = interactions.n_items
        block = 1024

        def columns(start: int) -> list[NDArray[np.float32]]:
            stop = min(start + block, n_items)
            return [self._column(gram, supports, item) for item in range(start, stop)]

        values: list[NDArray[np.float32]] = []
        with ThreadPoolExecutor(self.threads) as pool:
            for part in pool.map(columns, range(0, n_items, block)):
                values.extend(part)
                if progress is not None:
                    progress(len(values), n_items)
        by_target = sparse.csr_array(
            (np.concatenate(values), supports.indices, supports.indptr), shape=supports.shape
        )
        emphasis = Emphasis(weighted=self.weighted, place_decay=self.place_decay)
        return SparseEaseModel(without_diagonal(by_target.T.tocsr()), emphasis)

    def _column(
        self, gram: sparse.csr_array, supports: sparse.csr_array, item: int
    ) -> NDArray[np.float32]:
        """The weights with which the item's neighbours explain it, (at most `neighbours`,)."""
        row = slice(supports.indptr[item], supports.indptr[item + 1])
        near = supports.indices[row]
        if len(near) == 0:
            return np.empty(0, np.float32)
        together = gram[near[:, None], near[None, :]].toarray().astype(np.float64)  # (m, m)
        together[np.diag_indices(len(near))] += self.regularization
        wanted = gram[[item]][:, near].toarray()[0].astype(np.float64)  # (m,)
        factor = linalg.cho_factor(together, lower=True, overwrite_a=True, check_finite=False)
        return np.asarray(linalg.cho_solve(factor, wanted, check_finite=False), np.float32)


class SparseEaseModel(LinearItemModel):
    """What the history's items, weighing each other, say about every other item."""

    __slots__ = ()
    name: ClassVar[str] = "sparse_ease"


def _gram(touches: sparse.csr_array) -> sparse.csr_array:
    by_item = sparse.csr_array(touches.T)
    gram = by_row_blocks(
        lambda start, stop: sparse.csr_array(by_item[start:stop] @ touches), by_item.shape[0]
    )
    gram.sort_indices()
    return gram


def _most_similar(gram: sparse.csr_array, neighbours: int) -> sparse.csr_array:
    """Each item's most similar others by cosine, (n_items, n_items), columns ascending."""
    norm = np.sqrt(gram.diagonal())
    others = without_diagonal(gram.copy())
    rows = np.repeat(np.arange(len(norm)), np.diff(others.indptr))
    others.data /= norm[rows] * norm[others.indices]
    return strongest(others, neighbours)

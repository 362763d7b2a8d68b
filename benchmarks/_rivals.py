"""The rivals of the quality benchmark: models of other libraries, each with a space to search.

Every contestant gets the same number of trials: its defaults first, then draws from its space by
one seed. A space is as wide as the library's own documentation and tuning examples go.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from nextup.algorithms.models.search_spaces import OneOf, Real, Whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nextup.algorithms.interactions import Interactions
    from nextup.algorithms.models.search_spaces import Dimension

    Lists = np.ndarray  # (people, limit) items, best first
    Make = Callable[["Rival", Mapping[str, Any], Interactions, int], Lists]


@dataclass(frozen=True)
class Rival:
    """One model of another library."""

    name: str
    where: str  # module:class
    space: Mapping[str, Dimension]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def library(self) -> str:
        return self.where.partition(".")[0].partition(":")[0]

    @property
    def made(self) -> Any:
        module, _, name = self.where.partition(":")
        return getattr(import_module(module), name)


NEIGHBOURS = Whole(4, 1000, log=True)
IRSPACK = "irspack.recommenders:"
RIVALS = (
    Rival("irspack TopPop", f"{IRSPACK}TopPopRecommender", {}),
    Rival(
        "irspack IALS",
        f"{IRSPACK}IALSRecommender",
        {
            "n_components": Whole(8, 256, log=True),
            "alpha0": Real(3e-3, 1.0, log=True),
            "reg": Real(1e-4, 0.1, log=True),
            "train_epochs": Whole(4, 16),
        },
        {"random_seed": 1},
    ),
    Rival(
        "irspack P3alpha",
        f"{IRSPACK}P3alphaRecommender",
        {"alpha": Real(0.0, 2.0), "top_k": NEIGHBOURS, "normalize_weight": OneOf((False, True))},
    ),
    Rival(
        "irspack RP3beta",
        f"{IRSPACK}RP3betaRecommender",
        {
            "alpha": Real(0.0, 2.0),
            "beta": Real(0.0, 2.0),
            "top_k": NEIGHBOURS,
            "normalize_weight": OneOf((False, True)),
        },
    ),
    Rival(
        "irspack DenseSLIM (EASE)",
        f"{IRSPACK}DenseSLIMRecommender",
        {"reg": Real(1.0, 1e4, log=True)},
    ),
    Rival(
        "irspack CosineKNN",
        f"{IRSPACK}CosineKNNRecommender",
        {
            "shrinkage": Real(0.1, 1000.0, log=True),
            "top_k": NEIGHBOURS,
            "feature_weighting": OneOf(("NONE", "TF_IDF", "BM_25")),
        },
    ),
    Rival(
        "irspack AsymmetricCosineKNN",
        f"{IRSPACK}AsymmetricCosineKNNRecommender",
        {
            "shrinkage": Real(0.1, 1000.0, log=True),
            "alpha": Real(0.0, 1.0),
            "top_k": NEIGHBOURS,
            "feature_weighting": OneOf(("NONE", "TF_IDF", "BM_25")),
        },
    ),
    Rival(
        "implicit ALS",
        "implicit.als:AlternatingLeastSquares",
        {
            "factors": Whole(8, 256, log=True),
            "regularization": Real(1e-3, 10.0, log=True),
            "alpha": Real(0.3, 50.0, log=True),
            "iterations": Whole(4, 30),
        },
        {"random_state": 1},
    ),
    Rival(
        "implicit BM25",
        "implicit.nearest_neighbours:BM25Recommender",
        {"K": NEIGHBOURS, "K1": Real(0.1, 100.0, log=True), "B": Real(0.0, 1.0)},
    ),
    Rival("implicit cosine", "implicit.nearest_neighbours:CosineRecommender", {"K": NEIGHBOURS}),
    Rival(
        "implicit BPR",
        "implicit.bpr:BayesianPersonalizedRanking",
        {
            "factors": Whole(8, 128, log=True),
            "learning_rate": Real(3e-3, 0.3, log=True),
            "regularization": Real(1e-4, 0.3, log=True),
            "iterations": Whole(20, 200),
        },
        {"random_state": 1},
    ),
)


def trials(space: Mapping[str, Dimension], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """The defaults, then draws; a model without anything to set has one trial."""
    rng = np.random.default_rng(seed)
    yield {}
    for _ in range(count - 1 if space else 0):
        yield {name: draw(dimension, rng) for name, dimension in space.items()}


def draw(dimension: Dimension, rng: np.random.Generator) -> Any:
    """One value, evenly or, where it says so, evenly in its logarithm."""
    if isinstance(dimension, OneOf):
        return dimension.options[int(rng.integers(len(dimension.options)))]
    low, high = float(dimension.low), float(dimension.high)
    share = rng.random()
    value = low * (high / low) ** share if dimension.log else low + (high - low) * share
    return round(value) if isinstance(dimension, Whole) else value


def lists(rival: Rival, settings: Mapping[str, Any], train: Interactions, limit: int) -> np.ndarray:
    """Train, and rank the whole catalogue for everybody in `train` without what they know."""
    touches = sparse.csr_matrix(
        (np.ones(len(train), np.float32), train.items, train.indptr),
        shape=(train.n_users, train.n_items),
    )
    make = _implicit if rival.library == "implicit" else _irspack
    with contextlib.redirect_stdout(sys.stderr):  # where progress belongs
        return make(rival, settings, touches, limit)


def _implicit(
    rival: Rival, settings: Mapping[str, Any], touches: sparse.csr_matrix, limit: int
) -> np.ndarray:
    model = rival.made(**{**rival.fixed, **settings})
    model.fit(touches, show_progress=False)
    people = np.arange(touches.shape[0])
    items, scores = model.recommend(people, touches, N=limit, filter_already_liked_items=True)
    return np.where(np.isfinite(scores) & (scores > -1e30), items, -1)


def _irspack(
    rival: Rival, settings: Mapping[str, Any], touches: sparse.csr_matrix, limit: int
) -> np.ndarray:
    model = rival.made(touches, **{**rival.fixed, **settings})
    model.learn()
    scores = np.asarray(model.get_score_remove_seen(np.arange(touches.shape[0])), np.float64)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :limit]
    return np.where(np.isfinite(np.take_along_axis(scores, order, axis=1)), order, -1)

"""Ask a model about what it has not seen: whole-catalogue ranking, never sampled negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms.components import RanksEveryone
from nextup.algorithms.evaluation.metrics import (
    PER_PERSON,
    coverage,
    gini,
    intra_list_diversity,
    novelty,
    popularity_bias,
)
from nextup.algorithms.evaluation.splits import select_people
from nextup.algorithms.evaluation.statistics import (
    Difference,
    Interval,
    bootstrap_interval,
    by_segment,
    paired_difference,
    people_segments,
)
from nextup.algorithms.inputs import check_limit, check_people
from nextup.algorithms.lists.selection import rank_in_blocks
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Ranking
    from nextup.algorithms.interactions import Interactions


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One model's figures: each person's for tests, the catalogue's beside them."""

    model: str
    users: NDArray[np.int64]  # (asked,) rows of the split whose truth is not empty
    per_person: Mapping[str, NDArray[np.float64]]  # "ndcg@20" -> (asked,), never NaN
    catalogue: Mapping[str, float]  # coverage, gini, novelty, ... of the lists shown
    segments: Mapping[str, NDArray[np.bool_]]  # "new", "light", "heavy" -> (asked,)

    def mean(self, metric: str) -> float:
        """The average over people; raises InvalidInput naming the metrics there are."""
        return float(self.values(metric).mean())

    def values(self, metric: str) -> NDArray[np.float64]:
        """Each asked person's figure, (asked,)."""
        if metric not in self.per_person:
            raise InvalidInput(f"No metric {metric!r}; there are {', '.join(self.per_person)}.")
        return self.per_person[metric]

    def interval(
        self, metric: str, *, rng: np.random.Generator, confidence: float = 0.95
    ) -> Interval:
        """The mean and where it may lie."""
        return bootstrap_interval(self.values(metric), rng=rng, confidence=confidence)

    def by_segment(
        self, metric: str, *, rng: np.random.Generator, confidence: float = 0.95
    ) -> dict[str, Interval]:
        """The same for new, light and heavy people, where there are any."""
        segments = dict(self.segments)
        return by_segment(self.values(metric), segments, rng=rng, confidence=confidence)


def evaluate(
    fitted: Fitted,
    history: Interactions,
    truth: Interactions,
    *,
    cutoffs: Sequence[int] = (10, 20, 100),
    exclude_seen: bool = True,
    train: Interactions | None = None,
    vectors: NDArray[np.floating] | None = None,
) -> Evaluation:
    """Rank the whole catalogue for everybody with truth and measure the lists.

    `history` is what the model may know about each person (the split's train, or the folded-in
    part of held-out people) and `truth` what it should find, row for row. `train` is what
    popularity is counted on (default: `history`); `vectors` (n_items, f), if given, adds
    intra-list diversity. The lists behind the catalogue's figures are as long as the first
    cutoff. Raises InvalidInput where nobody has any truth.
    """
    asked = _asked(fitted, history, truth, cutoffs)
    known, wanted = select_people(history, asked), select_people(truth, asked)
    ranking = rank_everyone(fitted, known, max(cutoffs), exclude_seen=exclude_seen)
    return evaluate_ranking(
        ranking,
        known,
        wanted,
        model=fitted.name,
        users=asked,
        cutoffs=cutoffs,
        train=history if train is None else train,
        vectors=vectors,
    )


def evaluate_ranking(
    ranking: Ranking,
    history: Interactions,
    truth: Interactions,
    *,
    model: str,
    users: NDArray[np.int64],
    cutoffs: Sequence[int],
    train: Interactions,
    vectors: NDArray[np.floating] | None = None,
) -> Evaluation:
    """Measure lists that exist already, of people who all have truth."""
    per_person = {
        f"{name}@{k}": metric(ranking, truth, k)
        for name, metric in PER_PERSON.items()
        for k in cutoffs
    }
    shown = type(ranking)(ranking.items[:, : cutoffs[0]], ranking.scores[:, : cutoffs[0]])
    catalogue = {
        "coverage": coverage(shown, train.n_items),
        "gini": gini(shown, train.n_items),
        "novelty": _mean(novelty(shown, train)),
        "popularity_bias": _mean(popularity_bias(shown, train, history)),
    }
    if vectors is not None:
        catalogue["intra_list_diversity"] = _mean(intra_list_diversity(shown, vectors))
    return Evaluation(model, users, per_person, catalogue, people_segments(history))


def compare(
    first: Evaluation,
    second: Evaluation,
    metric: str,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> Difference:
    """Is the first better than the second, for the same people? Raises InvalidInput otherwise."""
    if not np.array_equal(first.users, second.users):
        raise InvalidInput("The two evaluations asked different people and cannot be compared.")
    return paired_difference(
        first.values(metric), second.values(metric), rng=rng, confidence=confidence
    )


def rank_everyone(
    fitted: Fitted, interactions: Interactions, limit: int, *, exclude_seen: bool = True
) -> Ranking:
    """The model's own way to rank for many, or else one person's scores after another's."""
    if isinstance(fitted, RanksEveryone):
        return fitted.rank(interactions, limit, exclude_seen=exclude_seen)

    def score_many(people: Interactions) -> NDArray[np.float32]:
        return np.stack([fitted.score(people.history(user)) for user in range(people.n_users)])

    check_people(interactions, fitted.n_items)
    return rank_in_blocks(score_many, interactions, limit, exclude_seen=exclude_seen)


def _asked(
    fitted: Fitted, history: Interactions, truth: Interactions, cutoffs: Sequence[int]
) -> NDArray[np.int64]:
    if not cutoffs:
        raise InvalidInput("At least one cutoff is needed.")
    for k in cutoffs:
        check_limit(k)
    check_people(history, fitted.n_items)
    check_people(truth, fitted.n_items)
    if history.n_users != truth.n_users:
        raise InvalidInput(
            f"History has {history.n_users} people and truth {truth.n_users}: rows must match."
        )
    asked = np.flatnonzero(np.diff(truth.indptr) > 0)
    if len(asked) == 0:
        raise InvalidInput("Nobody has any truth to be asked about.")
    return asked


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0

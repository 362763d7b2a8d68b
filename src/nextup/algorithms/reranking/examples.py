"""What a ranker learns from: questions asked in the past, whose answers are known by now.

At each of several moments the sources are trained on what lies before it and propose
candidates; what the person newly did in the days after says which were right. Labels come from
after the moment, and nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation.evaluate import rank_everyone
from nextup.algorithms.evaluation.metrics import hits
from nextup.algorithms.evaluation.splits import select_people
from nextup.algorithms.inputs import check_people, check_positive
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.reranking.candidates import candidates_of
from nextup.algorithms.reranking.features import ItemStatistics, check_past
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.reranking.candidates import Candidates
    from nextup.algorithms.reranking.features import RankingFeatures

    FitSources = Callable[[Interactions], Mapping[str, Fitted]]
    """Trains every source on a past, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class TouchLog:
    """Every touch with its own time, oldest first: what can be cut at any moment.

    `Interactions` cannot be: a pair is there once, at its last touch, so one that is touched
    again later would vanish from the past.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: NDArray[np.float32]
    times: NDArray[np.int64]  # unix seconds, ascending
    n_users: int
    n_items: int

    @classmethod
    def of(
        cls,
        users: ArrayLike,
        items: ArrayLike,
        weights: ArrayLike,
        times: ArrayLike,
        *,
        n_users: int,
        n_items: int,
    ) -> Self:
        """In any order; checked as `Interactions.from_pairs` checks."""
        user, item = np.asarray(users, np.int64), np.asarray(items, np.int64)
        weight, time = np.asarray(weights, np.float32), np.asarray(times, np.int64)
        Interactions.from_pairs(user, item, weight, time, n_users=n_users, n_items=n_items)
        order = np.lexsort((weight, item, user, time))
        return cls(user[order], item[order], weight[order], time[order], n_users, n_items)

    def between(self, start: int | None, stop: int) -> Interactions:
        """The touches of start <= time < stop; without a start, all before the stop."""
        first = 0 if start is None else int(np.searchsorted(self.times, start))
        part = slice(first, int(np.searchsorted(self.times, stop)))
        return Interactions.from_pairs(
            self.users[part],
            self.items[part],
            self.weights[part],
            self.times[part],
            n_users=self.n_users,
            n_items=self.n_items,
        )


class Examples(NamedTuple):
    """Questions (one person at one moment) with their candidates, one after the other."""

    features: NDArray[np.float32]  # (candidates of all questions, features)
    labels: NDArray[np.bool_]  # (candidates of all questions,) whether it was right
    sizes: NDArray[np.int64]  # (questions,) candidates of each
    wanted: NDArray[np.int64]  # (questions,) right answers, those that nobody proposed included
    users: NDArray[np.int64]  # (questions,)
    moments: NDArray[np.int64]  # (questions,) unix seconds

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each question's candidates begin, (questions + 1,)."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    @property
    def tell_apart(self) -> NDArray[np.bool_]:
        """Questions that teach something: with a right candidate and a wrong one, (questions,)."""
        so_far = np.concatenate([[0], np.cumsum(self.labels)])
        right = np.diff(so_far[self.starts])
        return (right > 0) & (right < self.sizes)

    def only(self, questions: NDArray[np.bool_]) -> Examples:
        """Some of the questions."""
        rows = np.repeat(questions, self.sizes)
        parts = (self.sizes, self.wanted, self.users, self.moments)
        return Examples(
            self.features[rows], self.labels[rows], *(part[questions] for part in parts)
        )

    @classmethod
    def together(cls, parts: Sequence[Examples]) -> Self:
        """One after the other. Raises InvalidInput for none."""
        if not parts:
            raise InvalidInput("There are no examples.")
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Look(NamedTuple):
    """What a ranker is shown at one moment, row by row of the people asked about."""

    candidates: Candidates
    features: NDArray[np.float32]  # (people, width, features)


def look(
    features: RankingFeatures,
    models: Mapping[str, Fitted],
    people: Interactions,
    statistics: ItemStatistics,
    moments: ArrayLike,
    *,
    unwanted: NDArray[np.int64] | None = None,
) -> Look:
    """Let every source propose unseen items to the people, and look at the best of them.

    `models` are the features' sources by name. Training, judging and publishing look this way.
    """
    rankings = [rank_everyone(models[name], people, features.depth) for name in features.sources]
    candidates = candidates_of(rankings, people.n_items, unwanted=unwanted)
    candidates = candidates.best(features.weights, features.pool)
    return Look(candidates, features.of(candidates, people, statistics, moments))


def examples_at(
    features: RankingFeatures,
    models: Mapping[str, Fitted],
    past: Interactions,
    outcome: Interactions,
    moment: int,
    *,
    rng: np.random.Generator,
    people: int = 2000,
    unwanted: NDArray[np.int64] | None = None,
) -> Examples:
    """Ask, at one moment, at most `people` of those who have a past and did something new after.

    `models` must be trained on nothing but `past`; `outcome` is what came after, row for row,
    and what of it is in the past already is no outcome. `unwanted` pairs (user * n_items + item,
    ascending) are no candidates. Raises InvalidInput where past and outcome overlap in time.
    """
    check_positive(people=people)
    check_people(outcome, past.n_items)
    check_past(past, moment)
    if len(outcome) and outcome.times.min() < moment:
        raise InvalidInput(f"The outcome holds a touch before the moment {moment}.")
    new = without(outcome, past)
    asked = np.flatnonzero((np.diff(new.indptr) > 0) & (np.diff(past.indptr) > 0))
    if len(asked) > people:
        asked = np.sort(rng.choice(asked, people, replace=False))
    known, truth = select_people(past, asked), select_people(new, asked)
    statistics = ItemStatistics.before(past, moment)
    renumbered = None if unwanted is None else _of_rows(unwanted, asked, past.n_items)
    seen = look(features, models, known, statistics, moment, unwanted=renumbered)
    items, real = seen.candidates.items, seen.candidates.real
    return Examples(
        seen.features[real],
        hits(Ranking(items, np.zeros(items.shape, np.float32)), truth)[real],
        real.sum(axis=1),
        np.diff(truth.indptr),
        asked,
        np.full(len(asked), moment, np.int64),
    )


def examples_over(
    log: TouchLog,
    moments: Sequence[int],
    horizon_seconds: int,
    features: RankingFeatures,
    fit_sources: FitSources,
    *,
    rng: np.random.Generator,
    people: int = 2000,
) -> Examples:
    """The examples of several moments; at each the sources are trained anew on what lies before.

    Raises InvalidInput where a moment has nothing before it.
    """
    parts = []
    for moment in moments:
        past = log.between(None, moment)
        outcome = log.between(moment, moment + horizon_seconds)
        models = fit_sources(past)
        parts.append(examples_at(features, models, past, outcome, moment, rng=rng, people=people))
    return Examples.together(parts)


def question_moments(
    times: NDArray[np.int64], *, until: int, horizon_seconds: int, count: int
) -> list[int]:
    """Up to `count` moments, ascending, one horizon apart, whose outcomes end at `until`.

    None with less than half of the touches before it: too little to train the sources on as
    they are in service. Fewer, or none, where the history is short.
    """
    check_positive(horizon_seconds=horizon_seconds, count=count)
    before = np.sort(times[times < until])
    moments = [until - horizon_seconds * step for step in range(count, 0, -1)]
    return [at for at in moments if 2 * int(np.searchsorted(before, at)) >= len(before) > 0]


def without(interactions: Interactions, other: Interactions) -> Interactions:
    """What is not in the other as well, whatever its weight and time."""
    keys = interactions.users().astype(np.int64) * interactions.n_items + interactions.items
    others = other.users().astype(np.int64) * other.n_items + other.items
    kept = ~np.isin(keys, others)
    so_far = np.concatenate([[0], np.cumsum(kept)])
    return Interactions(
        so_far[interactions.indptr].astype(np.int64),
        interactions.items[kept],
        interactions.weights[kept],
        interactions.times[kept],
        interactions.n_items,
    )


def _of_rows(pairs: NDArray[np.int64], users: NDArray[np.int64], n_items: int) -> NDArray[np.int64]:
    """The pairs of these users (ascending), numbered by their place among them."""
    first, last = np.searchsorted(pairs, [users * n_items, (users + 1) * n_items])
    size = last - first
    before = np.cumsum(size) - size
    found = np.arange(size.sum()) + np.repeat(first - before, size)
    rows = np.repeat(np.arange(len(users)), size)
    return np.asarray(rows * n_items + pairs[found] % n_items, np.int64)

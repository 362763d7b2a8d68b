"""Find a blend's weights on a validation part: what each model adds, measured, not guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation.metrics import hits
from nextup.algorithms.evaluation.splits import select_people
from nextup.algorithms.inputs import check_limit, check_people, check_positive
from nextup.algorithms.lists.selection import BLOCK_BYTES, people_between
from nextup.algorithms.lists.topk import best_of_rows
from nextup.algorithms.models.blending import dense_scores, rescaled
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import Interactions
    from nextup.algorithms.models.blending import Scale

STEPS = (0.0, 0.5, 0.75, 0.9, 1.1, 1.33, 2.0)  # times the present weight
TINY = np.finfo(np.float32).tiny
FRESH = (0.05, 0.1, 0.2, 0.4)  # tried for a model without weight; all weights add up to 1


@dataclass(frozen=True, slots=True)
class FoundWeights:
    """The best weights, and how good they and each model alone are on the validation part."""

    weights: tuple[float, ...]  # one per model, adding up to 1
    ndcg: float  # of the blend, at the cutoff asked for
    alone: tuple[float, ...]  # of each model by itself


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """The items worth considering for each person, and what each model says about them."""

    values: NDArray[np.float32]  # (models, people, candidates) on the common scale
    missing: NDArray[np.bool_]  # (people, candidates) where a row has fewer candidates
    hits: NDArray[np.bool_]  # (people, candidates) whether an item is in the truth
    ideal: NDArray[np.float64]  # (people,) the best discounted gain
    discount: NDArray[np.float64]  # (k,)

    def ndcg(self, weights: NDArray[np.float64]) -> float:
        """The mean over people."""
        total = np.tensordot(weights.astype(np.float32), self.values, axes=1)
        total[self.missing] = -np.inf
        best = best_of_rows(total, len(self.discount)).items  # (people, k)
        found = np.take_along_axis(self.hits, np.maximum(best, 0), axis=1) & (best >= 0)
        return float((found @ self.discount / self.ideal).mean())


def fit_weights(
    fitted: Sequence[Fitted],
    history: Interactions,
    truth: Interactions,
    *,
    rng: np.random.Generator,
    cutoff: int = 20,
    scale: Scale = "deviation",
    people: int = 3000,
    depth: int = 100,
    rounds: int = 10,
) -> FoundWeights:
    """Coordinate ascent on NDCG, from the best single model and from equal weights.

    At most `people` persons with truth, drawn from `rng`, are asked; each model proposes its
    `depth` best unseen items. `truth` must be hidden from the models' training. Raises
    InvalidInput where nobody has any truth.
    """
    check_limit(cutoff)
    check_positive(people=people, depth=depth)
    asked = np.flatnonzero(np.diff(truth.indptr) > 0)
    if not fitted or len(asked) == 0:
        raise InvalidInput("A blend is fitted on at least one model and one person with truth.")
    if len(asked) > people:
        asked = np.sort(rng.choice(asked, people, replace=False))
    known, wanted = select_people(history, asked), select_people(truth, asked)
    candidates = _candidates(fitted, known, wanted, max(depth, cutoff), cutoff, scale)
    single = np.eye(len(fitted))
    alone = [candidates.ndcg(weights) for weights in single]
    starts = [single[int(np.argmax(alone))], np.full(len(fitted), 1 / len(fitted))]
    found = [_ascend(candidates, start, rounds) for start in starts]
    weights, ndcg = max(found, key=lambda pair: pair[1])
    return FoundWeights(tuple(np.round(weights, 4).tolist()), ndcg, tuple(alone))


def blends_of_rankings(
    rankings: Sequence[Ranking],
    truth: Interactions,
    *,
    cutoff: int = 20,
    depth: int = 100,
    rounds: int = 6,
    worth: float = 0.005,
) -> list[FoundWeights]:
    """The best of the lists alone, then with the one that adds most, and so on to the best blend.

    Lists that exist already are enough: no model is asked again. Scores count as their share of
    the person's best one, and an item that a model does not list gets nothing from it, as in
    `fusion.fuse`. Only each list's first `depth` are considered. A further list must add `worth`
    of the NDCG so far. Everybody must have some truth.
    """
    check_limit(cutoff)
    if not rankings or len(truth) == 0:
        raise InvalidInput("A blend is fitted on at least one list and one person with truth.")
    candidates = _listed(rankings, truth, cutoff, depth)
    single = np.eye(len(rankings))
    alone = tuple(candidates.ndcg(weights) for weights in single)
    weights, ndcg = single[int(np.argmax(alone))], max(alone)
    steps = [FoundWeights(tuple(weights.tolist()), ndcg, alone)]
    while (added := _with_one_more(candidates, weights)) is not None:
        weights, found = _ascend(candidates, added, rounds, only=np.flatnonzero(added))
        if found < ndcg * (1 + worth) or found <= ndcg:
            break
        ndcg = found
        steps.append(FoundWeights(tuple(np.round(weights, 4).tolist()), ndcg, alone))
    return steps


def _with_one_more(
    candidates: _Candidates, weights: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The weights with a little of the model that adds most; None where all have a part."""
    tried = []
    for model in np.flatnonzero(weights == 0):
        for value in FRESH:
            trial = weights * (1 - value)
            trial[model] = value
            tried.append((candidates.ndcg(trial), -int(model), value, trial))
    return max(tried, key=lambda one: one[:3])[3] if tried else None


def _listed(
    rankings: Sequence[Ranking], truth: Interactions, cutoff: int, depth: int
) -> _Candidates:
    n_items, people = truth.n_items, truth.n_users
    rows = np.arange(people, dtype=np.int64)[:, None]
    items = np.sort(np.concatenate([ranking.items[:, :depth] for ranking in rankings], axis=1), 1)
    items[:, 1:][items[:, 1:] == items[:, :-1]] = -1  # listed by more than one model
    wanted = rows * n_items + items
    values = np.zeros((len(rankings), *items.shape), np.float32)
    for value, ranking in zip(values, rankings, strict=True):
        listed = (ranking.items >= 0) & (ranking.scores > 0)
        keys = (rows * n_items + ranking.items)[listed]
        shares = (ranking.scores / np.maximum(ranking.scores[:, :1], TINY))[listed]
        order = np.argsort(keys)
        keys, shares = keys[order], shares[order]
        if len(keys):
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            value[:] = np.where((keys[place] == wanted) & (items >= 0), shares[place], 0)
    discount = 1.0 / np.log2(np.arange(2, cutoff + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(np.diff(truth.indptr), cutoff)]
    proposals = Ranking(items, np.zeros(items.shape, np.float32))
    return _Candidates(values, items < 0, hits(proposals, truth), ideal, discount)


def _ascend(
    candidates: _Candidates,
    start: NDArray[np.float64],
    rounds: int,
    only: Sequence[int] | NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.float64], float]:
    best, weights = candidates.ndcg(start), start
    for _ in range(rounds):
        before = best
        for model in range(len(weights)) if only is None else only:
            for value in _trials(weights[model]):
                trial = weights.copy()
                trial[model] = value
                if trial.sum() == 0:
                    continue
                trial /= trial.sum()
                ndcg = candidates.ndcg(trial)
                if ndcg > best:
                    best, weights = ndcg, trial
        if best - before < 1e-5:  # far below what the people's number can tell apart
            break
    return weights, best


def _trials(weight: float) -> tuple[float, ...]:
    return tuple(weight * step for step in STEPS) if weight > 0 else FRESH


def _candidates(
    fitted: Sequence[Fitted],
    history: Interactions,
    truth: Interactions,
    depth: int,
    cutoff: int,
    scale: Scale,
) -> _Candidates:
    for model in fitted:
        check_people(history, model.n_items)
    n_users, width = history.n_users, depth * len(fitted)
    items = np.full((n_users, width), -1, np.int32)
    values = np.zeros((len(fitted), n_users, width), np.float32)
    block = max(1, BLOCK_BYTES // max(4 * history.n_items, 1))
    for start in range(0, n_users, block):
        stop = min(start + block, n_users)
        part = people_between(history, start, stop)
        items[start:stop], values[:, start:stop] = _block(fitted, part, depth, scale)
    k = np.arange(2, cutoff + 2)
    discount = 1.0 / np.log2(k)
    size = np.minimum(np.diff(truth.indptr), cutoff)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[size]
    proposals = Ranking(items, np.zeros(items.shape, np.float32))
    return _Candidates(values, items < 0, hits(proposals, truth), ideal, discount)


def _block(
    fitted: Sequence[Fitted], people: Interactions, depth: int, scale: Scale
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Some people's candidates, (people, width), and their values, (models, people, width)."""
    scores, proposed = [], []
    for model in fitted:
        score = rescaled(dense_scores(model, people), scale)  # (people, n_items)
        scores.append(score)
        proposed.append(best_of_rows(score, depth, seen=people).items)
    items = np.sort(np.concatenate(proposed, axis=1), axis=1)
    items[:, 1:][items[:, 1:] == items[:, :-1]] = -1  # proposed by more than one model
    shown = np.maximum(items, 0)
    values = np.stack([np.take_along_axis(score, shown, axis=1) for score in scores])
    values[:, items < 0] = 0
    return items, values

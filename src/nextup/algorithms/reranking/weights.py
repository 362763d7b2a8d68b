"""A blend's weights from answered questions: few numbers, so few questions are enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms.models.blend_weights import FRESH, STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.reranking.examples import Examples

QUESTIONS = 1000  # are enough for a handful of weights
ROUNDS = 5  # through all weights


def weights_from(
    examples: Examples,
    columns: Sequence[int],
    start: Sequence[float],
    *,
    cutoff: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Weights of the sources whose shares are in `columns`, adding up to 1, (sources,).

    Coordinate ascent on NDCG from the weights at `start`, from equal ones and from each source
    alone, over at most QUESTIONS questions drawn from `rng`.
    """
    if len(examples.sizes) > QUESTIONS:
        chosen = np.zeros(len(examples.sizes), np.bool_)
        chosen[rng.choice(len(chosen), QUESTIONS, replace=False)] = True
        examples = examples.only(chosen)
    shares = examples.features[:, list(columns)].T.astype(np.float64)  # (sources, candidates)

    def ndcg(weights: NDArray[np.float64]) -> float:
        return float(question_ndcg(added(shares, weights), examples, cutoff).mean())

    given = np.array(list(start), np.float64)
    starts = [given / given.sum(), np.full(len(given), 1 / len(given)), *np.eye(len(given))]
    best: NDArray[np.float64] = max(starts, key=ndcg)
    reached = ndcg(best)
    for _ in range(ROUNDS):
        before = reached
        for source in range(len(best)):
            for value in _trials(float(best[source])):
                trial = best.copy()
                trial[source] = value
                if trial.sum() > 0 and (found := ndcg(trial / trial.sum())) > reached:
                    best, reached = trial / trial.sum(), found
        if reached - before < 1e-4:  # below what so many questions can tell apart
            break
    return best


def added(shares: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weighted sum over the first axis, term by term, so that no batch size changes a bit."""
    total = np.zeros(shares.shape[1:], np.float64)
    for share, weight in zip(shares, weights.tolist(), strict=True):
        total += share.astype(np.float64) * weight
    return total


def question_ndcg(
    scores: NDArray[np.floating], examples: Examples, cutoff: int
) -> NDArray[np.float64]:
    """Each question's NDCG, (questions,); right answers that nobody proposed count as missed."""
    width = int(examples.sizes.max(initial=0))
    behind = np.arange(width) >= examples.sizes[:, None]  # (questions, width) no candidate
    laid, right = np.full(behind.shape, np.inf), np.zeros(behind.shape, np.bool_)
    laid[~behind], right[~behind] = -scores, examples.labels
    order = np.argsort(laid, axis=1, kind="stable")[:, :cutoff]  # ties stay in the blend's order
    discount = 1.0 / np.log2(np.arange(2, cutoff + 2))
    gain = np.take_along_axis(right, order, axis=1) @ discount[: order.shape[1]]
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(examples.wanted, cutoff)]
    return np.asarray(gain / np.maximum(ideal, 1e-12), np.float64)


def _trials(weight: float) -> tuple[float, ...]:
    return tuple(weight * step for step in STEPS) if weight > 0 else FRESH

"""What an evaluation found, as plain data: for machines, for the report, for the gate's record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextup.algorithms.evaluation.evaluate import Evaluation, compare
from nextup.algorithms.evaluation.metrics import ndcg, recall
from nextup.algorithms.evaluation.statistics import (
    Difference,
    bootstrap_interval,
    item_segments,
    paired_difference,
)
from nextup.algorithms.interactions import Interactions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.evaluation.statistics import Interval
    from nextup.services.dataset import ItemFacts
    from nextup.services.evaluate import Tried
    from nextup.services.held_out import HeldOut
    from nextup.settings import Settings

    Figures = dict[str, float | Sequence[float]]

EXAMPLES = 3  # people whose lists a report shows
SHOWN = 8  # places of such a list


def describe(
    held_out: HeldOut, first: Tried, second: Tried, settings: Settings, items: ItemFacts
) -> dict[str, Any]:
    """Everything measured about two recipes on the same people; plain data, ready for JSON."""
    rng = np.random.default_rng(settings.seed)
    confidence = settings.gate.confidence
    metric = f"ndcg@{settings.gate.k}"
    return {
        "test": held_out.how,
        "by": held_out.by,
        "cut_at": held_out.cut_at.isoformat() if held_out.cut_at else None,
        "people": len(held_out),
        "learned_from": {
            "people": held_out.train.n_users,
            "items": held_out.train.n_items,
            "touches": len(held_out.train),
        },
        "confidence": confidence,
        "metric": metric,
        "models": [
            _described(one, held_out, metric, settings.gate.k, rng, confidence)
            for one in (first, second)
        ],
        "difference": {
            name: _judged(
                compare(first.evaluation, second.evaluation, name, rng=rng, confidence=confidence)
            )
            for name in first.evaluation.per_person
        },
        "difference_by_segment": _by_segment(first, second, held_out, settings, rng),
        "examples": _examples(held_out, (first, second), items),
    }


def figures(evaluation: Evaluation, rng: np.random.Generator, confidence: float) -> Figures:
    """Each metric's mean with its interval, and the catalogue's figures."""
    found: Figures = {}
    for metric in evaluation.per_person:
        found[metric] = _rounded(evaluation.interval(metric, rng=rng, confidence=confidence))
    return found | {name: round(value, 5) for name, value in evaluation.catalogue.items()}


def difference_figures(difference: Difference) -> dict[str, float]:
    """The mean of the first less the second, its interval, and how likely chance alone is."""
    return {
        "mean": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "p_value": difference.p_value,
    }


def say_difference(first: str, second: str, metric: str, difference: Difference) -> str:
    """Whether the difference is real, with the numbers."""
    numbers = (
        f"{difference.mean:+.4f} {metric}, {difference.low:+.4f} to {difference.high:+.4f}, "
        f"p = {difference.p_value:.4f}, {difference.n:,} people"
    )
    if difference.is_real:
        better = "better" if difference.is_better else "worse"
        return f"The difference is real: {first} is {better} than {second} ({numbers})."
    return f"No difference can be shown between {first} and {second} ({numbers})."


def _described(
    tried: Tried,
    held_out: HeldOut,
    metric: str,
    k: int,
    rng: np.random.Generator,
    confidence: float,
) -> dict[str, Any]:
    evaluation = tried.evaluation
    people = evaluation.by_segment(metric, rng=rng, confidence=confidence)
    by_items = {
        name: _rounded(bootstrap_interval(values, rng=rng, confidence=confidence))
        for name, values in _item_values(tried, held_out, k).items()
    }
    return {
        "name": tried.name,
        "recipe": {"models": tried.recipe.components, "blend": tried.recipe.blend},
        "reranker": tried.order.figures,
        "fit_seconds": round(tried.fit_seconds, 3),
        "bytes": tried.size,
        "metrics": figures(evaluation, rng, confidence),
        "by_people": {
            name: {"people": one.n, metric: _rounded(one)} for name, one in people.items()
        },
        "by_items": by_items,
    }


def _by_segment(
    first: Tried,
    second: Tried,
    held_out: HeldOut,
    settings: Settings,
    rng: np.random.Generator,
) -> dict[str, dict[str, Any]]:
    """Where the first is better or worse: new, light and heavy people, new and old items."""
    k, confidence = settings.gate.k, settings.gate.confidence
    one, other = (tried.evaluation.values(f"ndcg@{k}") for tried in (first, second))
    pairs = {
        f"{name} people": (one[members], other[members])
        for name, members in first.evaluation.segments.items()
        if members.any()
    }
    of_items = _item_values(first, held_out, k), _item_values(second, held_out, k)
    pairs |= {
        f"{name} items": (of_items[0][f"{name} ndcg@{k}"], of_items[1][f"{name} ndcg@{k}"])
        for name in ("new", "old")
        if f"{name} ndcg@{k}" in of_items[0]
    }
    return {
        name: _judged(paired_difference(a, b, rng=rng, confidence=confidence))
        for name, (a, b) in pairs.items()
    }


def _item_values(tried: Tried, held_out: HeldOut, k: int) -> dict[str, NDArray[np.float64]]:
    """How well new and old items are found: each person's figure, NaN without such a truth."""
    found = {}
    for name, members in item_segments(held_out.train).items():
        truth = _only(held_out.truth, members)
        if len(truth):
            found[f"{name} ndcg@{k}"] = ndcg(tried.ranking, truth, k)
            found[f"{name} recall@{k}"] = recall(tried.ranking, truth, k)
    return found


def _only(truth: Interactions, items: NDArray[np.bool_]) -> Interactions:
    kept = items[truth.items]
    so_far = np.concatenate([[0], np.cumsum(kept)])
    return Interactions(
        so_far[truth.indptr].astype(np.int64),
        truth.items[kept],
        truth.weights[kept],
        truth.times[kept],
        truth.n_items,
    )


def _examples(held_out: HeldOut, tried: Sequence[Tried], items: ItemFacts) -> list[dict[str, Any]]:
    """A few people who have a past: what they did, what came, and what each recipe listed."""

    def titles(rows: NDArray[np.integer]) -> list[str]:
        return [items.titles[row] or items.item_ids[row] for row in rows if row >= 0][:SHOWN]

    have_past = np.flatnonzero(np.diff(held_out.known.indptr) > 0)
    picked = have_past[np.linspace(0, len(have_past) - 1, min(EXAMPLES, len(have_past)), dtype=int)]
    return [
        {
            "user_id": held_out.user_ids[person],
            "before": titles(held_out.known.history(person).items[::-1]),
            "then": titles(held_out.truth.history(person).items),
            "lists": [titles(one.ranking.items[person]) for one in tried],
        }
        for person in picked.tolist()
    ]


def _judged(difference: Difference) -> dict[str, Any]:
    return {
        **difference_figures(difference),
        "people": difference.n,
        "real": difference.is_real,
    }


def _rounded(interval: Interval) -> list[float]:
    return [round(value, 5) for value in (interval.mean, interval.low, interval.high)]

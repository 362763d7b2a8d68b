"""Evaluate: how good recipes are on a past that they have not seen, and whether they differ.

A recipe is trained on what may be learned from, ranks the whole catalogue for everybody who is
asked, as it would be served, and is measured person by person. Two recipes are compared on the
same people.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextup.algorithms.evaluation import Evaluation, compare, evaluate_ranking
from nextup.algorithms.fusion import fuse
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.metrics import ndcg, recall
from nextup.algorithms.statistics import (
    Difference,
    bootstrap_interval,
    item_segments,
    paired_difference,
)
from nextup.domain.errors import Conflict
from nextup.services.held_out import by_people, by_time, everybody
from nextup.services.train import Recipe, fit_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Ranking
    from nextup.algorithms.statistics import Interval
    from nextup.ports.engine import Engine
    from nextup.ports.lake import AsOf
    from nextup.services.dataset import ItemFacts
    from nextup.services.held_out import HeldOut
    from nextup.services.train import Report
    from nextup.settings import Settings

    Figures = dict[str, float | Sequence[float]]

CUTOFFS = (10, 20, 100)
TERMS = 512  # the most frequent ones; by them the items of a list are alike or not
EXAMPLES = 3  # people whose lists a report shows
SHOWN = 8  # places of such a list


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A recipe that was asked, with what it answered and what it took."""

    name: str
    recipe: Recipe
    evaluation: Evaluation
    ranking: Ranking
    fit_seconds: float
    size: int  # bytes of its arrays


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two recipes on the same people."""

    held_out: HeldOut
    first: Tried
    second: Tried
    metric: str  # the one that decides
    difference: Difference
    document: Mapping[str, Any]  # everything measured, for machines and the report

    @property
    def says(self) -> str:
        """Whether the difference is real, in a sentence."""
        return str(self.document["says"])


def evaluate_recipes(
    engine: Engine,
    settings: Settings,
    items: ItemFacts,
    until: datetime,
    first: tuple[str, Recipe],
    second: tuple[str, Recipe],
    *,
    by: str = "time",
    as_of: AsOf = None,
    report: Report | None = None,
) -> Comparison:
    """Try both on the gate's test, with newcomers, or on people held out whole.

    Raises Conflict where too few people can be asked about anything.
    """
    held_out = hold_out(engine, settings, items, until, by=by, as_of=as_of)
    cutoffs = tuple(sorted({settings.gate.k, *CUTOFFS}))
    vectors = item_vectors(items)
    tried = [
        _try(name, recipe, held_out, settings, items, cutoffs, vectors, report)
        for name, recipe in (first, second)
    ]
    return _compared(held_out, tried[0], tried[1], settings, items)


def hold_out(
    engine: Engine,
    settings: Settings,
    items: ItemFacts,
    until: datetime,
    *,
    by: str,
    as_of: AsOf = None,
) -> HeldOut:
    """The gate's test with newcomers (`time`), or people held out whole (`people`)."""
    if by == "people":
        people = everybody(engine, settings, items, until, as_of)
        return by_people(people.interactions, people.user_ids, seed=settings.seed)
    found = by_time(engine, settings, items, until, as_of=as_of, newcomers=True)
    if found is None:
        raise Conflict(
            f"Fewer than {settings.gate.min_people} people did anything new: nothing can be "
            "measured.",
            cure="Ingest more events, or set gate.min_people lower.",
        )
    return found


def learn(
    recipe: Recipe,
    held_out: HeldOut,
    settings: Settings,
    items: ItemFacts,
    report: Report | None = None,
) -> dict[str, Fitted]:
    """Train all of the recipe's models on what may be learned from."""
    return fit_all(
        recipe,
        held_out.train,
        items,
        seed=settings.seed,
        threads=settings.threads,
        report=report,
    )


def rank(
    models: Mapping[str, Fitted],
    blend: Mapping[str, float],
    held_out: HeldOut,
    settings: Settings,
    limit: int,
) -> Ranking:
    """The lists of everybody who is asked, as they would be served before any rule."""
    depth = settings.recommend.candidates
    return fuse(models, blend, held_out.known, limit, candidates=depth).ranking


def measure(
    models: Mapping[str, Fitted],
    blend: Mapping[str, float],
    held_out: HeldOut,
    settings: Settings,
    name: str,
    cutoffs: Sequence[int],
) -> Evaluation:
    """Rank the whole catalogue for everybody who is asked, and measure the lists."""
    ranking = rank(models, blend, held_out, settings, max(cutoffs))
    return measure_lists(ranking, held_out, name, cutoffs)


def measure_lists(
    ranking: Ranking,
    held_out: HeldOut,
    name: str,
    cutoffs: Sequence[int],
    vectors: NDArray[np.floating] | None = None,
) -> Evaluation:
    """Measure lists that exist already."""
    return evaluate_ranking(
        ranking,
        held_out.known,
        held_out.truth,
        model=name,
        users=np.arange(len(held_out)),
        cutoffs=cutoffs,
        train=held_out.train,
        vectors=vectors,
    )


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


def size_of(models: Mapping[str, Fitted]) -> int:
    """How many bytes the models' arrays take."""
    return sum(values.nbytes for fitted in models.values() for values in fitted.arrays().values())


def item_vectors(items: ItemFacts) -> NDArray[np.float32]:
    """Which frequent genres, makers and keywords each item has, (n_items, terms)."""
    fields = zip(items.genres, items.makers, items.keywords, strict=True)
    terms = [{term for field in item for term in field} for item in fields]
    frequent = Counter(term for item in terms for term in item).most_common(TERMS)
    column = {term: place for place, (term, _) in enumerate(frequent)}
    vectors = np.zeros((len(terms), max(len(column), 1)), np.float32)
    for row, item in enumerate(terms):
        vectors[row, [column[term] for term in item if term in column]] = 1
    return vectors


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


def _try(
    name: str,
    recipe: Recipe,
    held_out: HeldOut,
    settings: Settings,
    items: ItemFacts,
    cutoffs: Sequence[int],
    vectors: NDArray[np.floating],
    report: Report | None,
) -> Tried:
    started = time.perf_counter()
    models = learn(recipe, held_out, settings, items, report)
    seconds = time.perf_counter() - started
    ranking = rank(models, recipe.blend, held_out, settings, max(cutoffs))
    evaluation = measure_lists(ranking, held_out, name, cutoffs, vectors)
    return Tried(name, recipe, evaluation, ranking, seconds, size_of(models))


def _compared(
    held_out: HeldOut, first: Tried, second: Tried, settings: Settings, items: ItemFacts
) -> Comparison:
    rng = np.random.default_rng(settings.seed)
    confidence = settings.gate.confidence
    metric = f"ndcg@{settings.gate.k}"
    decides = compare(first.evaluation, second.evaluation, metric, rng=rng, confidence=confidence)
    document = {
        "says": say_difference(first.name, second.name, metric, decides),
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
    return Comparison(held_out, first, second, metric, decides, document)


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

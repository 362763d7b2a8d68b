"""Evaluate: how good recipes are on a past that they have not seen, and whether they differ.

A recipe is trained on what may be learned from, ranks the whole catalogue for everybody who is
asked, as it would be served, and is measured person by person. Two recipes are compared on the
same people.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nextup.algorithms.evaluation.evaluate import Evaluation, compare, evaluate_ranking
from nextup.domain.errors import Conflict
from nextup.services.evaluation_document import describe, say_difference
from nextup.services.held_out import by_people, by_time, everybody
from nextup.services.learn_order import fit_ranker, fixed
from nextup.services.lists import lists_for
from nextup.services.train import Recipe, fit_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted, Ranking
    from nextup.algorithms.evaluation.statistics import Difference
    from nextup.algorithms.reranking.reranker import FittedReranker
    from nextup.ports.engine import Engine
    from nextup.ports.lake import AsOf
    from nextup.services.dataset import ItemFacts
    from nextup.services.held_out import HeldOut
    from nextup.services.learn_order import LearnedOrder
    from nextup.services.train import Report
    from nextup.settings import Settings

CUTOFFS = (10, 20, 100)
TERMS = 512  # the most frequent ones; by them the items of a list are alike or not


class Learned(NamedTuple):
    """A recipe, trained."""

    components: Mapping[str, Fitted]
    order: LearnedOrder


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A recipe that was asked, with what it answered and what it took."""

    name: str
    recipe: Recipe
    evaluation: Evaluation
    ranking: Ranking
    fit_seconds: float
    size: int  # bytes of its arrays
    order: LearnedOrder  # what decided over its candidates


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
        _try(engine, name, recipe, held_out, settings, items, cutoffs, vectors, report)
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
    """The gate's test with newcomers (`time`), or people held out whole (`people`); at most
    `gate.people` are asked.
    """
    if by == "people":
        people = everybody(engine, settings, items, until, as_of)
        held_out = by_people(people.interactions, people.user_ids, seed=settings.seed)
        return gate_people(held_out, settings)
    found = by_time(engine, settings, items, until, as_of=as_of, newcomers=True)
    if found is None:
        raise Conflict(
            f"Fewer than {settings.gate.min_people} people did anything new: nothing can be "
            "measured.",
            cure="Ingest more events, or set gate.min_people lower.",
        )
    return gate_people(found, settings)


def gate_people(held_out: HeldOut, settings: Settings) -> HeldOut:
    """Those of a test who are asked: at most `gate.people`, the same ones every time."""
    return held_out.some(settings.gate.people, np.random.default_rng(settings.seed))


def learn(
    engine: Engine,
    recipe: Recipe,
    held_out: HeldOut,
    settings: Settings,
    items: ItemFacts,
    report: Report | None = None,
) -> Learned:
    """Train all of the recipe on what may be learned from.

    An order is learned only where that can be cut by time; else the blend's is asked about.
    """
    models = fit_all(
        recipe,
        held_out.train,
        items,
        seed=settings.seed,
        threads=settings.threads,
        engine=engine,
        report=report,
    )
    if held_out.events is None:
        return Learned(models, fixed(f"an order is not asked about by {held_out.by}"))
    order = fit_ranker(
        engine, settings, recipe, held_out.events, held_out.train, items, report=report
    )
    return Learned(models, order)


def rank(
    models: Mapping[str, Fitted],
    blend: Mapping[str, float],
    held_out: HeldOut,
    settings: Settings,
    limit: int,
    ranker: FittedReranker | None = None,
) -> Ranking:
    """The lists of everybody who is asked, as they would be served before any rule."""
    depth = settings.recommend.candidates
    return lists_for(models, blend, ranker, held_out.known, limit, candidates=depth)[0].ranking


def measure(
    models: Mapping[str, Fitted],
    blend: Mapping[str, float],
    held_out: HeldOut,
    settings: Settings,
    name: str,
    cutoffs: Sequence[int],
    ranker: FittedReranker | None = None,
) -> Evaluation:
    """Rank the whole catalogue for everybody who is asked, and measure the lists."""
    ranking = rank(models, blend, held_out, settings, max(cutoffs), ranker)
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


def _try(
    engine: Engine,
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
    models, order = learn(engine, recipe, held_out, settings, items, report)
    seconds = time.perf_counter() - started
    ranking = rank(models, recipe.blend, held_out, settings, max(cutoffs), order.ranker)
    evaluation = measure_lists(ranking, held_out, name, cutoffs, vectors)
    return Tried(name, recipe, evaluation, ranking, seconds, size_of(models), order)


def _compared(
    held_out: HeldOut, first: Tried, second: Tried, settings: Settings, items: ItemFacts
) -> Comparison:
    rng = np.random.default_rng(settings.seed)
    metric = f"ndcg@{settings.gate.k}"
    decides = compare(
        first.evaluation,
        second.evaluation,
        metric,
        rng=rng,
        confidence=settings.gate.confidence,
    )
    document = {
        "says": say_difference(first.name, second.name, metric, decides),
        **describe(held_out, first, second, settings, items),
    }
    return Comparison(held_out, first, second, metric, decides, document)

"""Tune: the models and the blend for the data at hand, found within a budget.

Each model is searched by itself, in turns, so that all get the same time; a trial is trained on
a past inside the training part and asked about what came after it. The best trial's lists are
kept, and the blend is searched on those without training anything again. What the gate judges by
is never read until the end, when the winner is compared with the present recipe on it.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextup import __version__
from nextup.algorithms.evaluation.evaluate import compare
from nextup.algorithms.models.search_spaces import SPACES, searchable
from nextup.domain.errors import Conflict, InvalidInput
from nextup.services.evaluate import learn, measure
from nextup.services.evaluation_document import difference_figures, figures, say_difference
from nextup.services.factorize import trainer
from nextup.services.held_out import (
    HeldOut,
    by_last_touches,
    by_people,
    by_time,
    everybody,
)
from nextup.services.recipe_file import recipe_text
from nextup.services.study import Journal, Trial, forget, load_optuna
from nextup.services.train import POPULARITY, Recipe
from nextup.services.trials import Budget, Trials, whose_turn
from nextup.services.tune_blend import Point, blend_in_steps, frontier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nextup.ports.engine import Engine
    from nextup.ports.files import Files
    from nextup.ports.lake import AsOf
    from nextup.services.dataset import ItemFacts
    from nextup.services.train import Report
    from nextup.services.trials import Watch
    from nextup.settings import Settings

VALIDATION_PEOPLE = 300  # fewer tell too little apart; the window grows until it holds them
MOST_ASKED = 5_000  # more people take longer and tell hardly more apart


@dataclass(frozen=True, slots=True)
class Searched:
    """What the search made of one model."""

    model: str
    trials: int
    pruned: int
    failed: int
    reason: str  # why the last failed trial did
    best: Trial | None
    weight: float  # in the winning blend


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found, and how it compares with the present recipe on the gate's test."""

    study: str
    metric: str
    validation: str  # how the search asked
    people: int  # whom it asked
    searched: Sequence[Searched]
    points: Sequence[Point]  # the frontier of quality against cost, cheap ones first
    winner: Recipe
    quality: float  # of the winner, on the validation part
    toml: str
    test: Mapping[str, Any]  # the winner and the present recipe on the gate's test
    verdict: str
    is_worse: bool  # than the present recipe, beyond doubt
    seconds: float


def tune(
    engine: Engine,
    files: Files,
    settings: Settings,
    items: ItemFacts,
    until: datetime,
    budget: Budget,
    *,
    by: str = "time",
    only: Sequence[str] = (),
    fresh: bool = False,
    as_of: AsOf = None,
    report: Report | None = None,
    watch: Watch | None = None,
) -> Tuned:
    """Search within the budget, on top of what the same search found before.

    `only` names the models to search (default: all that suit the catalogue); `fresh` forgets
    what was found before. The same seed, data and number of trials find the same.

    Raises Conflict where too few people can be asked, InvalidInput for an unknown model, and
    ConfigurationError without Optuna.
    """
    load_optuna()
    started = time.perf_counter()
    present = replace(Recipe.from_settings(settings), reranker={})  # checked before the search;
    # blends are searched and compared, an order is learned over the winner when it is trained
    names = _names(only, len(items.item_ids))
    test = _gate_test(engine, settings, items, until, by, as_of)
    validation = validation_of(test, engine, settings, items, as_of)
    study = _study_name(validation, settings, items, engine)
    if fresh:
        forget(files, study)
    journal = Journal(files, study)
    trials = Trials(validation, settings, items, journal, watch, engine)
    _search(trials, names, budget, started, report)
    searched = [name for name in names if journal.best(name) is not None]
    if not searched:
        raise Conflict("No model could be trained.", cure="See the reasons with --json.")
    steps = blend_in_steps(
        {name: trials.lists_of_best(name) for name in searched},
        {name: _cost(journal, name) for name in searched},
        validation.truth,
        settings.gate.k,
    )
    winner = _recipe(steps[-1].blend, journal)
    alone = [_point_of(trial) for trial in journal.trials if trial.value is not None]
    verdict, figures_of_test, is_worse = _on_the_gates_test(
        engine, winner, present, test, settings, items, report
    )
    return Tuned(
        study,
        f"ndcg@{settings.gate.k}",
        validation.how,
        len(validation),
        [_summary(name, journal, winner) for name in names],
        frontier([*alone, *steps]),
        winner,
        steps[-1].quality,
        recipe_text(winner, settings),
        figures_of_test,
        verdict,
        is_worse,
        time.perf_counter() - started,
    )


def validation_of(
    test: HeldOut, engine: Engine, settings: Settings, items: ItemFacts, as_of: AsOf = None
) -> HeldOut:
    """A test inside what the gate's test lets a model learn from, made in the same way.

    Raises Conflict where that asks too few people.
    """
    rng = np.random.default_rng(settings.seed)
    found: HeldOut | None
    if test.cut_at is not None:
        found = by_time(engine, settings, items, test.cut_at, as_of=as_of, wanted=VALIDATION_PEOPLE)
    elif test.by == "people":
        found = by_people(test.train, test.learned_from, seed=settings.seed + 1)
    else:
        found = by_last_touches(test.train, test.learned_from)
    if found is None or len(found) < settings.gate.min_people:
        raise Conflict(
            f"Fewer than {settings.gate.min_people} people can be asked before the gate's test.",
            cure="Search with --split people, ingest more events, or lower gate.min_people.",
        )
    return found.some(MOST_ASKED, rng)


def _search(
    trials: Trials, names: Sequence[str], budget: Budget, started: float, report: Report | None
) -> None:
    """Give the next trial to the model that had least time, until the budget is spent."""
    if budget.seconds <= 0 and budget.trials <= 0:
        raise InvalidInput("A search needs a budget: seconds, trials, or both.")
    before = {name: len(trials.journal.of(name)) for name in names}
    while (name := whose_turn(trials.journal, names, before, budget, started)) is not None:
        trials.try_next(name)
        if report is not None:
            _tell(report, trials.journal, names, budget, started)


def _tell(
    report: Report, journal: Journal, names: Sequence[str], budget: Budget, started: float
) -> None:
    if budget.trials:
        done = sum(min(len(journal.of(name)), budget.trials) for name in names)
        report("trials", done, budget.trials * len(names))
    if budget.seconds:
        limit = int(budget.seconds)
        report("seconds", min(int(time.perf_counter() - started), limit), limit)


def _gate_test(
    engine: Engine, settings: Settings, items: ItemFacts, until: datetime, by: str, as_of: AsOf
) -> HeldOut:
    if by == "people":
        people = everybody(engine, settings, items, until, as_of)
        return by_people(people.interactions, people.user_ids, seed=settings.seed)
    test = by_time(engine, settings, items, until, as_of=as_of)
    if test is None:
        raise Conflict(
            f"Fewer than {settings.gate.min_people} people can be asked about anything new.",
            cure="Search with --split people, ingest more events, or lower gate.min_people.",
        )
    return test


def _on_the_gates_test(
    engine: Engine,
    winner: Recipe,
    present: Recipe,
    test: HeldOut,
    settings: Settings,
    items: ItemFacts,
    report: Report | None,
) -> tuple[str, dict[str, Any], bool]:
    """Both recipes on what the search has never read."""
    k, confidence = settings.gate.k, settings.gate.confidence
    found = []
    for name, recipe in (("the winner", winner), ("the present recipe", present)):
        models, _ = learn(engine, recipe, test, settings, items, report)
        found.append(measure(models, recipe.blend, test, settings, name, (k,)))
    rng = np.random.default_rng(settings.seed)
    difference = compare(found[0], found[1], f"ndcg@{k}", rng=rng, confidence=confidence)
    document = {
        "test": test.how,
        "people": len(test),
        "winner": figures(found[0], rng, confidence),
        "present": figures(found[1], rng, confidence),
        "difference": {**difference_figures(difference), "real": difference.is_real},
    }
    verdict = say_difference("the winner", "the present recipe", f"ndcg@{k}", difference)
    return verdict, document, difference.is_worse


def _names(only: Sequence[str], n_items: int) -> list[str]:
    unknown = sorted(set(only) - set(SPACES))
    if unknown:
        raise InvalidInput(
            f"There is nothing to search in {', '.join(unknown)}.",
            cure=f"Models with a search space are {', '.join(SPACES)}.",
        )
    chosen = [name for name in SPACES if name in only] if only else list(searchable(n_items))
    return chosen if POPULARITY in chosen else [POPULARITY, *chosen]  # the floor of every list


def _study_name(validation: HeldOut, settings: Settings, items: ItemFacts, engine: Engine) -> str:
    """Equal for the same question to the same data, whatever happens in the gate's test."""
    digest = hashlib.sha256()
    for part in (validation.train, validation.known, validation.truth):
        for array in (part.indptr, part.items, part.weights, part.times):
            digest.update(np.ascontiguousarray(array).tobytes())
    facts = (items.item_ids, items.genres, items.makers, items.keywords, items.titles)
    asked = (settings.seed, settings.gate.k, settings.recommend.candidates, settings.models)
    digest.update(repr((facts, asked, __version__, *trainer(engine))).encode())
    return f"{validation.by}-{digest.hexdigest()[:10]}"


def _recipe(blend: Mapping[str, float], journal: Journal) -> Recipe:
    components = {}
    for name in blend:
        best = journal.best(name)
        assert best is not None, "only models with a complete trial are blended"
        components[name] = best.settings
    return Recipe(components, dict(blend))


def _cost(journal: Journal, name: str) -> tuple[float, int]:
    best = journal.best(name)
    assert best is not None, "only models with a complete trial are blended"
    return best.fit_seconds, best.size


def _point_of(trial: Trial) -> Point:
    return Point({trial.model: 1.0}, trial.value or 0.0, trial.fit_seconds, trial.size)


def _summary(name: str, journal: Journal, winner: Recipe) -> Searched:
    trials = journal.of(name)
    return Searched(
        name,
        len(trials),
        sum(trial.state == "pruned" for trial in trials),
        sum(trial.state == "failed" for trial in trials),
        next((trial.reason for trial in reversed(trials) if trial.state == "failed"), ""),
        journal.best(name),
        winner.blend.get(name, 0.0),
    )

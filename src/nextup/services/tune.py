"""Tune: the models and the blend for the data at hand, found within a budget.

Each model is searched by itself, in turns, so that all get the same time; a trial is trained on
a past inside the training part and asked about what came after it. The best trial's lists are
kept, and the blend is searched on those without training anything again. What the gate judges by
is never read until the end, when the winner is compared with the present recipe on it.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextup import __version__
from nextup.algorithms import models as known_models
from nextup.algorithms.evaluation import compare, rank_everyone
from nextup.algorithms.metrics import ndcg
from nextup.algorithms.search_spaces import SPACES, first_look, inside, searchable
from nextup.domain.errors import Conflict, InvalidInput, NextupError
from nextup.services.evaluate import (
    difference_figures,
    figures,
    learn,
    measure,
    say_difference,
    size_of,
)
from nextup.services.held_out import (
    HeldOut,
    by_last_touches,
    by_people,
    by_time,
    everybody,
)
from nextup.services.recipe_file import recipe_text
from nextup.services.study import Journal, Search, Trial, forget, load_optuna
from nextup.services.train import POPULARITY, Recipe, fit_all
from nextup.services.tune_blend import Point, blend_in_steps, frontier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from nextup.algorithms.components import Ranking
    from nextup.ports.engine import Engine
    from nextup.ports.files import Files
    from nextup.ports.lake import AsOf
    from nextup.services.dataset import ItemFacts
    from nextup.services.train import Report
    from nextup.settings import Settings

    Watch = Callable[[Trial, bool], None]
    """Called after each trial, with whether it is the best of all so far."""

VALIDATION_PEOPLE = 300  # fewer tell too little apart; the window grows until it holds them
MOST_ASKED = 5_000  # more people take longer and tell hardly more apart
SEARCH_SHARE = 0.75  # of the seconds; the rest is for the blend and the last comparison


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search is over: at the first of the two; 0 is no limit."""

    seconds: float = 0.0
    trials: int = 0  # of each model


@dataclass(frozen=True, slots=True)
class Searched:
    """What the search made of one model."""

    model: str
    trials: int
    pruned: int
    failed: int
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
    names = _names(only, len(items.item_ids))
    test = _gate_test(engine, settings, items, until, by, as_of)
    validation = validation_of(test, engine, settings, items, as_of)
    study = _study_name(validation, settings, items)
    if fresh:
        forget(files, study)
    journal = Journal(files, study)
    hunt = _Hunt(validation, settings, items, journal, watch)
    _search(hunt, names, budget, started, report)
    searched = [name for name in names if journal.best(name) is not None]
    if not searched:
        raise Conflict("No model could be trained.", cure="See the reasons with --json.")
    steps = blend_in_steps(
        {name: hunt.lists_of_best(name) for name in searched},
        {name: _cost(journal, name) for name in searched},
        validation.truth,
        settings.gate.k,
    )
    winner = _recipe(steps[-1].blend, journal)
    alone = [_point_of(trial) for trial in journal.trials if trial.value is not None]
    verdict, figures_of_test, is_worse = _on_the_gates_test(winner, test, settings, items, report)
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


class _Hunt:
    """The search of single models on the validation part."""

    def __init__(
        self,
        validation: HeldOut,
        settings: Settings,
        items: ItemFacts,
        journal: Journal,
        watch: Watch | None,
    ) -> None:
        self.validation = validation
        self.settings = settings
        self.items = items
        self.journal = journal
        self.watch = watch

    def try_next(self, name: str) -> Trial:
        """One more trial of the model, written down."""
        past = self.journal.of(name)
        search = Search(
            name,
            SPACES[name],
            past,
            seed=self.settings.seed,
            first_guesses=self._first_guesses(name),
        )
        searched = {key: _readable(value) for key, value in search.params.items()}
        given = {**self.settings.models.get(name, {}), **searched}
        before = self.journal.best(name)
        trial, ranking = self._made(name, len(past), search, given)
        is_best = trial.value is not None and (before is None or trial.value > (before.value or 0))
        if is_best and ranking is not None:
            self.journal.keep_lists(trial, ranking)
        self.journal.add(trial)
        if is_best and before is not None:
            self.journal.forget_lists(before)
        if self.watch is not None:
            others = [one.value for one in self.journal.trials[:-1] if one.value is not None]
            self.watch(trial, trial.value is not None and trial.value > max(others, default=-1.0))
        return trial

    def lists_of_best(self, name: str) -> Ranking:
        """What the model's best trial lists; made again where it was not kept."""
        best = self.journal.best(name)
        assert best is not None, "only models with a complete trial are blended"
        kept = self.journal.lists(best)
        if kept is not None and len(kept.items) == len(self.validation):
            return kept
        ranking, _, _ = self._asked(name, best.settings)
        self.journal.keep_lists(best, ranking)
        return ranking

    def _made(
        self, name: str, number: int, search: Search, given: dict[str, Any]
    ) -> tuple[Trial, Ranking | None]:
        started = time.perf_counter()
        look: float | None = None
        try:
            cheap = first_look(name, given)
            if cheap is not None:
                look = self._value(self._asked(name, cheap)[0])
                if search.is_hopeless(look):
                    spent = time.perf_counter() - started
                    return Trial(
                        name, number, search.params, given, "pruned", None, look, spent
                    ), None
            ranking, fit_seconds, size = self._asked(name, given)
        except (NextupError, MemoryError, np.linalg.LinAlgError) as error:
            spent = time.perf_counter() - started
            reason = str(error) or type(error).__name__
            return Trial(
                name, number, search.params, given, "failed", None, look, spent, reason=reason
            ), None
        spent = time.perf_counter() - started
        value = self._value(ranking)
        return Trial(
            name, number, search.params, given, "complete", value, look, spent, fit_seconds, size
        ), ranking

    def _asked(self, name: str, given: Mapping[str, Any]) -> tuple[Ranking, float, int]:
        """What the model lists for everybody, how long it trained, and its size in bytes."""
        started = time.perf_counter()
        settings = self.settings
        fitted = fit_all(
            Recipe({name: given}, {name: 1.0}),
            self.validation.train,
            self.items,
            seed=settings.seed,
            threads=settings.threads,
        )
        seconds = time.perf_counter() - started
        depth = max(settings.recommend.candidates, settings.gate.k)
        ranking = rank_everyone(fitted[name], self.validation.known, depth)
        return ranking, seconds, size_of(fitted)

    def _value(self, ranking: Ranking) -> float:
        return float(ndcg(ranking, self.validation.truth, self.settings.gate.k).mean())

    def _first_guesses(self, name: str) -> list[dict[str, Any]]:
        """The present settings, then the defaults, as far as they lie in the space."""
        present = {**_defaults(name), **self.settings.models.get(name, {})}
        guesses = []
        for settings in (present, _defaults(name)):
            near = {key: inside(one, settings.get(key)) for key, one in SPACES[name].items()}
            guesses.append({key: value for key, value in near.items() if value is not None})
        return guesses


def _search(
    hunt: _Hunt, names: Sequence[str], budget: Budget, started: float, report: Report | None
) -> None:
    """Give the next trial to the model that had least time, until the budget is spent."""
    if budget.seconds <= 0 and budget.trials <= 0:
        raise InvalidInput("A search needs a budget: seconds, trials, or both.")
    before = {name: len(hunt.journal.of(name)) for name in names}
    while (name := _whose_turn(hunt.journal, names, before, budget, started)) is not None:
        hunt.try_next(name)
        if report is not None:
            _tell(report, hunt.journal, names, budget, started)


def _whose_turn(
    journal: Journal,
    names: Sequence[str],
    before: Mapping[str, int],
    budget: Budget,
    started: float,
) -> str | None:
    left = budget.seconds * SEARCH_SHARE - (time.perf_counter() - started)
    waiting = []
    for place, name in enumerate(names):
        trials = journal.of(name)
        if budget.trials and len(trials) >= budget.trials:
            continue
        if trials and trials[-1].state == "failed" and journal.best(name) is None:
            continue  # it cannot be trained on this data
        spent = sum(trial.seconds for trial in trials)
        expected = spent / len(trials) if trials else 0.0
        is_new = not before[name] and not trials
        if budget.seconds and expected > left and not (is_new and left > 0):
            continue
        waiting.append((spent, place, name))
    if budget.seconds and left <= 0:
        return None
    return min(waiting)[2] if waiting else None


def _tell(
    report: Report, journal: Journal, names: Sequence[str], budget: Budget, started: float
) -> None:
    if budget.trials:
        done = sum(min(len(journal.of(name)), budget.trials) for name in names)
        report("trials", done, budget.trials * len(names))
    if budget.seconds:
        limit = int(budget.seconds * SEARCH_SHARE)
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
    winner: Recipe, test: HeldOut, settings: Settings, items: ItemFacts, report: Report | None
) -> tuple[str, dict[str, Any], bool]:
    """Both recipes on what the search has never read."""
    k, confidence = settings.gate.k, settings.gate.confidence
    present = Recipe.from_settings(settings)
    found = []
    for name, recipe in (("the winner", winner), ("the present recipe", present)):
        models = learn(recipe, test, settings, items, report)
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


def _study_name(validation: HeldOut, settings: Settings, items: ItemFacts) -> str:
    """Equal for the same question to the same data, whatever happens in the gate's test."""
    digest = hashlib.sha256()
    for part in (validation.train, validation.known, validation.truth):
        for array in (part.indptr, part.items, part.weights, part.times):
            digest.update(np.ascontiguousarray(array).tobytes())
    facts = (items.item_ids, items.genres, items.makers, items.keywords, items.titles)
    asked = (settings.seed, settings.gate.k, settings.recommend.candidates, settings.models)
    digest.update(repr((facts, asked, __version__)).encode())
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
        journal.best(name),
        winner.blend.get(name, 0.0),
    )


def _readable(value: Any) -> Any:
    """A number with four digits that count: what is trained is what a file can show."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _defaults(name: str) -> dict[str, Any]:
    made = known_models.component(name)
    assert is_dataclass(made), "every model with a search space is a dataclass"
    return {field.name: getattr(made, field.name) for field in fields(made)}

"""Trials of single models: which model is next, what it is tried with, and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextup.algorithms.evaluation.evaluate import rank_everyone
from nextup.algorithms.evaluation.metrics import ndcg
from nextup.algorithms.models import by_name as known_models
from nextup.algorithms.models.search_spaces import SPACES, first_look, inside
from nextup.domain.errors import NextupError
from nextup.services.evaluate import size_of
from nextup.services.study import Journal, Search, Trial
from nextup.services.train import Recipe, fit_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextup.algorithms.components import Ranking
    from nextup.ports.engine import Engine
    from nextup.services.dataset import ItemFacts
    from nextup.services.held_out import HeldOut
    from nextup.settings import Settings

    Watch = Callable[[Trial, bool], None]
    """Called after each trial, with whether it is the best of all so far."""

RESERVED_SHARE = 0.1  # of the seconds, for the blend and the last comparison
AGAIN = 1.5  # times the seconds of training: more people are learned from, and two recipes


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search is over: at the first of the two; 0 is no limit."""

    seconds: float = 0.0
    trials: int = 0  # of each model


class Trials:
    """The search of single models on the validation part."""

    def __init__(
        self,
        validation: HeldOut,
        settings: Settings,
        items: ItemFacts,
        journal: Journal,
        watch: Watch | None,
        engine: Engine | None = None,
    ) -> None:
        self.validation = validation
        self.settings = settings
        self.items = items
        self.journal = journal
        self.watch = watch
        self.engine = engine  # trains the models that it is able to

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
            engine=self.engine,
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


def whose_turn(
    journal: Journal,
    names: Sequence[str],
    before: Mapping[str, int],
    budget: Budget,
    started: float,
) -> str | None:
    """The model that had least time, among those that may have one more trial; None at the end.

    `before` says how many trials each had when this search began at `started`.
    """
    left = budget.seconds - (time.perf_counter() - started) - _reserved(journal, names, budget)
    if budget.seconds and left <= 0:
        return None
    dearest = max((trial.seconds for trial in journal.trials), default=0.0)
    waiting = []
    for place, name in enumerate(names):
        trials = journal.of(name)
        if budget.trials and len(trials) >= budget.trials:
            continue
        if trials and trials[-1].state == "failed" and journal.best(name) is None:
            continue  # it cannot be trained on this data
        spent = sum(trial.seconds for trial in trials)
        is_new = not before[name] and not trials
        if budget.seconds and trials and spent / len(trials) > left:
            continue
        # a model never tried comes when the others had as much as the dearest trial took
        waiting.append((dearest if is_new else spent, place, name))
    return min(waiting)[2] if waiting else None


def _reserved(journal: Journal, names: Sequence[str], budget: Budget) -> float:
    """Seconds to leave for the blend and the last comparison, which trains the winner again."""
    best = [journal.best(name) for name in names]
    again = sum(trial.fit_seconds for trial in best if trial is not None)
    return max(RESERVED_SHARE * budget.seconds, AGAIN * again)


def _readable(value: Any) -> Any:
    """A number with four digits that count: what is trained is what a file can show."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _defaults(name: str) -> dict[str, Any]:
    made = known_models.component(name)
    assert is_dataclass(made), "every model with a search space is a dataclass"
    return {field.name: getattr(made, field.name) for field in fields(made)}

"""A search's memory: every finished trial, durable, and what is worth trying next.

A trial is written down when it is finished and never before, so a kill costs the one trial that
was running. What is tried next depends on the seed and on the finished trials alone: a search
that was interrupted goes on exactly as it would have gone on.

tune/<study>/trials.jsonl            one finished trial a line
tune/<study>/<model>-<number>.npz    what a model's best trial lists for everybody who is asked
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from nextup.algorithms.components import Ranking
from nextup.algorithms.models.search_spaces import OneOf, Whole
from nextup.domain.errors import ConfigurationError, CorruptData, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextup.algorithms.models.search_spaces import Dimension
    from nextup.ports.files import Files

FOLDER = "tune"
UNGUIDED = 6  # a model's first trials are drawn at random, before their results guide
UNPRUNED = 4  # a model's first trials are made in full, before any is broken off


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One set of a model's settings, and what came of it."""

    model: str
    number: int  # of the model's trials, from 0
    params: dict[str, Any]  # what was searched
    settings: dict[str, Any]  # the whole: what was searched over what was given
    state: Literal["complete", "pruned", "failed"]
    value: float | None  # of the deciding metric on the validation part; None unless complete
    first_look: float | None = None  # of the cheap version, where there is one
    seconds: float = 0.0  # training and ranking, the first look included
    fit_seconds: float = 0.0  # training alone, in full
    size: int = 0  # bytes of the trained model's arrays
    reason: str = ""  # why it failed


class Journal:
    """The finished trials of one study. One writer at a time."""

    def __init__(self, files: Files, name: str) -> None:
        self.name = name
        self._files = files
        self._file = f"{FOLDER}/{name}/trials.jsonl"
        self._committed = 0
        self.trials: list[Trial] = []
        if files.exists(self._file):
            self._read()

    def add(self, trial: Trial) -> None:
        """Write the trial down; it is durable when this returns."""
        line = msgspec.json.encode(trial) + b"\n"
        self._committed = self._files.append(self._file, line, committed=self._committed)
        self.trials.append(trial)

    def of(self, model: str) -> list[Trial]:
        """A model's trials, in order."""
        return [trial for trial in self.trials if trial.model == model]

    def best(self, model: str) -> Trial | None:
        """The best complete one; of equals the first."""
        complete = [trial for trial in self.of(model) if trial.value is not None]
        return max(complete, key=lambda trial: trial.value or 0.0, default=None)

    def keep_lists(self, trial: Trial, ranking: Ranking) -> None:
        """Store what the trial lists, so that a blend can be searched without training again."""
        with self._files.create(self._lists_of(trial)) as out:
            buffer = io.BytesIO()  # a zip file is written back and forth, the port only forth
            np.savez(buffer, items=ranking.items, scores=ranking.scores)
            out.write(buffer.getvalue())

    def lists(self, trial: Trial) -> Ranking | None:
        """What was stored, or None where nothing usable is."""
        try:
            with self._files.open(self._lists_of(trial)) as file:
                stored = np.load(io.BytesIO(file.read()), allow_pickle=False)
                return Ranking(stored["items"], stored["scores"])
        except (NotFound, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def forget_lists(self, trial: Trial) -> None:
        """Remove what is no longer the best. Nothing stored is fine."""
        self._files.remove(self._lists_of(trial))

    def _lists_of(self, trial: Trial) -> str:
        return f"{FOLDER}/{self.name}/{trial.model}-{trial.number}.npz"

    def _read(self) -> None:
        with self._files.open(self._file) as file:
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]  # a line that was torn is no trial
        try:
            self.trials = msgspec.json.Decoder(Trial).decode_lines(whole)
        except msgspec.DecodeError as error:
            raise CorruptData(
                f"The trials of {self._file} cannot be read: {error}.",
                cure="Remove that file, or search with --fresh.",
            ) from error
        self._committed = len(whole)


def forget(files: Files, name: str) -> bool:
    """Remove a study with all its trials; returns whether there was one."""
    return files.remove(f"{FOLDER}/{name}")


class Search:
    """Proposes a model's next settings, with Optuna's tree-structured Parzen estimator."""

    def __init__(
        self,
        model: str,
        space: Mapping[str, Dimension],
        past: Sequence[Trial],
        *,
        seed: int,
        first_guesses: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        optuna = load_optuna()
        number = len(past)
        own_seed = hashlib.sha256(f"{seed} {model} {number}".encode()).digest()[:4]
        sampler = optuna.samplers.TPESampler(
            seed=int.from_bytes(own_seed, "little"), n_startup_trials=UNGUIDED
        )
        pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED)
        self._study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        distributions = {name: _distribution(optuna, one) for name, one in space.items()}
        for trial in past:
            self._study.add_trial(_frozen(optuna, trial, distributions))
        guesses = [dict(guess) for guess in first_guesses]
        guesses = [guess for place, guess in enumerate(guesses) if guess not in guesses[:place]]
        if number < len(guesses):
            self._study.enqueue_trial(guesses[number])
        self._trial = self._study.ask(distributions)
        self.params: dict[str, Any] = dict(self._trial.params)

    def is_hopeless(self, first_look: float) -> bool:
        """Whether a first look is worse than the median of the others'."""
        self._trial.report(first_look, step=0)
        return bool(self._trial.should_prune())


def load_optuna() -> Any:
    """The library, imported when it is needed; it says only what is worth a warning."""
    try:
        optuna = import_module("optuna")
    except ImportError as error:
        raise ConfigurationError(
            "A search needs Optuna.", cure="pip install 'nextup[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: Any, dimension: Dimension) -> Any:
    known = optuna.distributions
    if isinstance(dimension, OneOf):
        return known.CategoricalDistribution(dimension.options)
    made = known.IntDistribution if isinstance(dimension, Whole) else known.FloatDistribution
    return made(dimension.low, dimension.high, log=dimension.log)


def _frozen(optuna: Any, trial: Trial, distributions: Mapping[str, Any]) -> Any:
    """A finished trial in Optuna's form. A pruned one is worth its first look."""
    states = optuna.trial.TrialState
    state = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
    return optuna.trial.create_trial(
        state=state[trial.state],
        value=trial.value,
        params=trial.params,
        distributions=dict(distributions),
        intermediate_values={} if trial.first_look is None else {0: trial.first_look},
    )

"""Ours beside the models of other libraries, all tuned on the same part by as many trials."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment

import numpy as np
from benchmarks._quality_tasks import SEED
from benchmarks._rivals import RIVALS, lists, trials

from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation.evaluate import rank_everyone
from nextup.algorithms.evaluation.metrics import ndcg as ndcg_of
from nextup.algorithms.evaluation.statistics import bootstrap_interval, paired_difference
from nextup.algorithms.models import by_name as models
from nextup.algorithms.models.blend_weights import fit_weights
from nextup.algorithms.models.blending import BlendModel
from nextup.algorithms.models.search_spaces import SPACES

if TYPE_CHECKING:
    from benchmarks._quality_tasks import Asked, Task

OUR_KINDS = ("item_item", "als", "ease", "next_item", "spectral")  # by SPACES
OUR_KINDS_TRIALS = 5  # of each; a rival gets as many as all together


def compare_with_rivals(task: Task) -> list[harness.Row]:
    """The blend of our models beside every rival; all tuned on the validation part alone."""
    ours = _per_person(_our_lists(task), task.test, task.cutoff)
    rng = np.random.default_rng(SEED)
    mean, low, high, people = bootstrap_interval(ours, rng=rng)
    harness.say(f"{task.name}: ours {mean:.4f} ({low:.4f} to {high:.4f}), {people} people")
    rows = []
    for rival in RIVALS:
        try:
            importlib.import_module(rival.library)
        except ImportError:
            harness.say(f"{task.name}: {rival.name} skipped, {rival.library} is not installed")
            continue
        tried = []
        for given in trials(rival.space, OUR_KINDS_TRIALS * len(OUR_KINDS), SEED):
            try:
                items = lists(rival, given, task.tune_train, task.cutoff)
            except Exception as error:  # whatever it is, other settings may still work
                harness.say(f"{task.name}: {rival.name} {given} fails: {error}")
                continue
            tried.append((_mean(items, task.tune, task.cutoff), given))
        if not tried:
            harness.say(f"{task.name}: {rival.name} skipped, none of its trials worked")
            continue
        _, best = max(tried, key=lambda one: one[0])
        theirs = _per_person(lists(rival, best, task.train, task.cutoff), task.test, task.cutoff)
        gain = paired_difference(ours, theirs, rng=rng)
        harness.say(
            f"{task.name}: {rival.name} {best}: {np.nanmean(theirs):.4f}; ours over it "
            f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}), p {gain.p_value:.4f}"
        )
        what = f"{task.name} NDCG@{task.cutoff} by time: blend against {rival.name}"
        means = float(np.nanmean(ours)), float(np.nanmean(theirs))
        one = harness.quality_row(what, *means, rival.name, 1.0)
        rows.append({**one, "met": gain.is_better})
    return rows


def _our_lists(task: Task) -> np.ndarray:
    """The best of each of our kinds, by as many trials each, and weights for the blend."""
    found = []
    for kind in OUR_KINDS:
        tried = []
        for given in trials(SPACES[kind], OUR_KINDS_TRIALS, SEED):
            fitted = models.component(kind, **given).fit(task.tune_train, seed=SEED)
            items = rank_everyone(fitted, task.tune.history, task.cutoff).items
            tried.append((_mean(items, task.tune, task.cutoff), given, fitted))
        reached, given, fitted = max(tried, key=lambda one: one[0])
        harness.say(f"{task.name}: {kind} {given}: {reached:.4f} on the validation part")
        found.append((kind, given, fitted))
    blend = fit_weights(
        [fitted for _, _, fitted in found],
        *task.tune,
        rng=np.random.default_rng(SEED),
        cutoff=task.cutoff,
    )
    harness.say(f"{task.name}: blend {dict(zip(OUR_KINDS, blend.weights, strict=True))}")
    used = [number for number, weight in enumerate(blend.weights) if weight > 0]
    whole = BlendModel(
        tuple(
            models.component(found[n][0], **found[n][1]).fit(task.train, seed=SEED) for n in used
        ),
        np.array([blend.weights[n] for n in used]),
        "deviation",
    )
    return rank_everyone(whole, task.test.history, task.cutoff).items


def _per_person(items: np.ndarray, asked: Asked, cutoff: int) -> np.ndarray:
    return ndcg_of(Ranking(items, np.zeros(items.shape, np.float32)), asked.truth, cutoff)


def _mean(items: np.ndarray, asked: Asked, cutoff: int) -> float:
    return float(np.nanmean(_per_person(items, asked, cutoff)))

"""The learned re-ranker beside the fixed blend and the best single source, on a later time.

Sources and ranker learn from what lies before one moment; everybody who did something new in the
days after is asked once, the whole catalogue is ranked. Differences are paired, person by
person, with bootstrap intervals; a difference within its interval is not counted as met.

    python -m benchmarks.reranking [--data audience movielens] [--json]
"""

from __future__ import annotations

import argparse
import csv
import io
import time
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment

import numpy as np

from nextup.algorithms.audience.simulate import AudienceConfig, simulate
from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation.evaluate import rank_everyone
from nextup.algorithms.evaluation.metrics import ndcg
from nextup.algorithms.evaluation.splits import select_people
from nextup.algorithms.evaluation.statistics import bootstrap_interval, paired_difference
from nextup.algorithms.models.als import ImplicitALS
from nextup.algorithms.models.blend_weights import fit_weights
from nextup.algorithms.models.content import Content, ItemTerms
from nextup.algorithms.models.ease import Ease
from nextup.algorithms.models.item_item import ItemItem
from nextup.algorithms.models.popularity import Popularity
from nextup.algorithms.reranking.examples import (
    TouchLog,
    examples_over,
    look,
    question_moments,
    without,
)
from nextup.algorithms.reranking.features import ItemStatistics, RankingFeatures
from nextup.algorithms.reranking.reranker import Reranker
from nextup.algorithms.reranking.traits import ItemTraits
from nextup.services.sample import sample_items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.interactions import Interactions

SEED = 1
CUTOFF = 10
DAY = 86_400
BLEND = {"als": 0.6, "item_item": 0.3, "content": 0.15, "popularity": 0.02, "ease": 0.0}
SIMULATED_WEIGHTS = {"view": 1.0, "click": 2.0, "like": 5.0, "rating": 2.0}


class Task(NamedTuple):
    """A history, what its items say, and where to cut it."""

    name: str
    log: TouchLog
    terms: ItemTerms
    cut_at: int  # the test begins
    horizon: int  # seconds of outcome
    questions: int  # moments to learn from


def audience(people: int = 2500) -> Task:
    """The sample's simulated audience; its last week is the test."""
    items = sample_items()
    ends_at = datetime(2026, 4, 1, tzinfo=UTC)
    told = simulate(items, AudienceConfig(people=people), ends_at=ends_at, seed=SEED)
    weights = np.array([SIMULATED_WEIGHTS.get(kind, 0.0) for kind in told.types])
    kept = weights > 0
    log = TouchLog.of(
        told.user_index[kept],
        told.item_index[kept],
        weights[kept],
        np.asarray(told.occurred_at)[kept] // 1_000_000,
        n_users=len(told.truth.user_ids),
        n_items=len(items),
    )
    terms = ItemTerms.from_tokens(
        {
            "genres": [item.genres for item in items],
            "makers": [item.makers for item in items],
            "keywords": [item.keywords for item in items],
        }
    )
    cut_at = int(ends_at.timestamp()) - 7 * DAY
    return Task("simulated audience", log, terms, cut_at, 7 * DAY, 3)


def movielens(test_share: float = 0.2, days: int = 730) -> Task:
    """ml-latest-small, ratings of three and more; the test is the two years after the cut.

    Almost everybody there rates once, in one sitting: some twenty people have a past and come
    back within any two years. It shows what happens where there is too little to learn from.
    """
    with zipfile.ZipFile(harness.DATA / "ml-latest-small.zip") as archive:
        ratings, movies = (
            list(csv.DictReader(io.StringIO(archive.read(f"ml-latest-small/{name}.csv").decode())))
            for name in ("ratings", "movies")
        )
    row_of = {movie["movieId"]: row for row, movie in enumerate(movies)}
    liked = [rating for rating in ratings if float(rating["rating"]) >= 3]
    _, users = np.unique([rating["userId"] for rating in liked], return_inverse=True)
    times = np.array([int(rating["timestamp"]) for rating in liked])
    log = TouchLog.of(
        users,
        [row_of[rating["movieId"]] for rating in liked],
        [float(rating["rating"]) - 2 for rating in liked],
        times,
        n_users=int(users.max()) + 1,
        n_items=len(movies),
    )
    terms = ItemTerms.from_tokens({"genres": [movie["genres"].split("|") for movie in movies]})
    cut_at = int(np.quantile(times, 1 - test_share))
    return Task("ml-latest-small", log, terms, cut_at, days * DAY, 4)


def fit_sources(terms: ItemTerms, past: Interactions) -> dict[str, Fitted]:
    """The sources of a platform as it comes, and EASE."""
    components = {
        "als": ImplicitALS(keep_users=False),
        "item_item": ItemItem(),
        "content": Content(features=terms),
        "popularity": Popularity(),
        "ease": Ease(),
    }
    return {name: each.fit(past, seed=SEED) for name, each in components.items()}


def run(task: Task) -> list[harness.Row]:
    """Learn before the cut, ask after it."""
    features = RankingFeatures(
        tuple(BLEND),
        tuple(BLEND.values()),
        {name: ItemTraits.of(counts) for name, counts in task.terms.counts.items()},
    )
    log, rng = task.log, np.random.default_rng(SEED)
    seen = log.times[log.times < task.cut_at]
    moments = question_moments(
        seen, until=task.cut_at, horizon_seconds=task.horizon, count=task.questions
    )
    started = time.perf_counter()
    examples = examples_over(
        log, moments, task.horizon, features, lambda past: fit_sources(task.terms, past), rng=rng
    )
    looked = time.perf_counter()
    past = log.between(None, task.cut_at)
    statistics = ItemStatistics.before(past, task.cut_at)
    ranker = Reranker(cutoff=CUTOFF).fit(examples, features, statistics, seed=SEED)
    harness.say(
        f"{task.name}: {len(examples.sizes)} questions at {len(moments)} moments, "
        f"{int(examples.tell_apart.sum())} tell apart; examples {looked - started:.1f} s, "
        f"trees {time.perf_counter() - looked:.1f} s\n  {ranker.reason}"
    )
    for name, share in list(ranker.importances().items())[:12]:
        harness.say(f"    {share:6.1%}  {name}")

    new = without(log.between(task.cut_at, task.cut_at + task.horizon), past)
    asked = np.flatnonzero((np.diff(new.indptr) > 0) & (np.diff(past.indptr) > 0))
    known, truth = select_people(past, asked), select_people(new, asked)
    models = fit_sources(task.terms, past)
    figures = {
        name: ndcg(rank_everyone(model, known, CUTOFF), truth, CUTOFF)
        for name, model in models.items()
    }
    shown = look(features, models, known, statistics, task.cut_at)
    figures["fixed blend"] = _figure(shown.candidates.items, truth)
    figures["tuned blend"] = _figure(_tuned(task, moments[-1], models, known), truth)
    figures["learned"] = _figure(ranker.rerank(*shown).items, truth)
    return _rows(task, figures, rng)


def _tuned(
    task: Task, moment: int, models: Mapping[str, Fitted], known: Interactions
) -> np.ndarray:
    """The lists of a blend whose weights were found at the latest moment before the cut."""
    from nextup.algorithms.models.blending import BlendModel  # noqa: PLC0415

    past = task.log.between(None, moment)
    after = without(task.log.between(moment, moment + task.horizon), past)
    earlier = fit_sources(task.terms, past)
    found = fit_weights(
        list(earlier.values()), past, after, rng=np.random.default_rng(SEED), cutoff=CUTOFF
    )
    harness.say(f"  tuned blend: {dict(zip(earlier, found.weights, strict=True))}")
    used = [n for n, weight in enumerate(found.weights) if weight > 0]
    blend = BlendModel(
        tuple(list(models.values())[n] for n in used),
        np.array([found.weights[n] for n in used]),
        "deviation",
    )
    return rank_everyone(blend, known, CUTOFF).items


def _figure(items: np.ndarray, truth: Interactions) -> np.ndarray:
    return ndcg(Ranking(items, np.zeros(items.shape, np.float32)), truth, CUTOFF)


def _rows(
    task: Task, figures: Mapping[str, np.ndarray], rng: np.random.Generator
) -> list[harness.Row]:
    for name, values in figures.items():
        mean, low, high, n = bootstrap_interval(values, rng=rng)
        harness.say(f"  {name:12} NDCG@{CUTOFF} {mean:.4f} ({low:.4f} to {high:.4f}), {n} people")
    single = max((name for name in BLEND), key=lambda name: figures[name].mean())
    rows = []
    for rival in (single, "fixed blend", "tuned blend"):
        gain = paired_difference(figures["learned"], figures[rival], rng=rng)
        harness.say(
            f"  learned over {rival}: {gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}), "
            f"p {gain.p_value:.4f}"
        )
        ours, theirs = float(figures["learned"].mean()), float(figures[rival].mean())
        rows.append(
            harness.Row(
                what=f"{task.name} NDCG@{CUTOFF}: learned ranker against {rival}",
                ours=round(ours, 6),
                rival=round(theirs, 6),
                rival_name=rival,
                ratio=round(ours / max(theirs, 1e-9), 3),
                goal=1.0,
                met=gain.is_better,
            )
        )
    return rows


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="*", default=["audience", "movielens"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[harness.Row] = []
    for name in options.data:
        if name == "movielens" and not (harness.DATA / "ml-latest-small.zip").exists():
            harness.say(f"movielens: skipped, {harness.DATA} does not have it")
            continue
        rows += run(movielens() if name == "movielens" else audience())
    harness.report(rows, as_json=options.json)


if __name__ == "__main__":
    main()

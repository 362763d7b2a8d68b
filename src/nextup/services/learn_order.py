"""Learn the order of a list's first places from what people did after lists like these.

At moments of the past the recipe is trained on what was known then, as the gate would: events are
cut first and merged into pairs afterwards. Its candidates are laid beside what each person newly
did in the days after. What was learned decides only where questions that it has not learned from
prove it better than the fixed blend; where it stays off, the reason says why.

Past trainings cost as much as what they learn from: of a long history some of the people are
read, and asked at one moment only. They are trained from nothing. To begin with the vectors of
the model that is about to serve would be cheaper and wrong: those have seen the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals as nw
import numpy as np

from nextup.algorithms.evaluation.splits import select_people
from nextup.algorithms.reranking.examples import Examples, examples_at, question_moments
from nextup.algorithms.reranking.features import ItemStatistics, RankingFeatures
from nextup.algorithms.reranking.reranker import Reranker
from nextup.algorithms.reranking.traits import ItemTraits
from nextup.domain import tables as t
from nextup.domain.errors import ConfigurationError
from nextup.domain.events import from_microseconds
from nextup.services.dataset import MICROSECONDS
from nextup.services.held_out import new_to_people, past_and_after
from nextup.services.train import fit_all, item_terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextup.algorithms.interactions import Interactions
    from nextup.algorithms.reranking.reranker import FittedReranker
    from nextup.ports.engine import Engine
    from nextup.services.dataset import Dataset, ItemFacts
    from nextup.services.train import Recipe, Report
    from nextup.settings import Settings

    Events = nw.LazyFrame[Any]

RERANKER = Reranker.name
DAY_SECONDS = 86_400
SHOWN = 3  # features named in a sentence
TITLE = "title"  # its words find candidates; whether they recur says little about a taste


class LearnedOrder(NamedTuple):
    """What decides over the order of candidates, and why."""

    ranker: FittedReranker | None  # None: the fixed blend's order stays
    reason: str
    questions: int = 0  # that were asked of the past

    @property
    def figures(self) -> dict[str, Any]:
        """For the model's record."""
        importances = self.ranker.importances() if self.ranker else {}
        return {
            "learned": self.ranker is not None,
            "reason": self.reason,
            "questions": self.questions,
            "importances": {name: round(share, 4) for name, share in importances.items()},
        }

    @property
    def says(self) -> str:
        """In a sentence: what decides, by how much, and what it looks at most."""
        most = list(self.figures["importances"].items())[:SHOWN]
        looks = ", ".join(f"{name} {share:.0%}" for name, share in most)
        return f"order: {self.reason}" + (f"; looks most at {looks}" if looks else "")


def fixed(why: str, questions: int = 0) -> LearnedOrder:
    """The fixed blend, and why it stays."""
    return LearnedOrder(None, f"the fixed blend: {why}", questions)


def can_learn() -> bool:
    """Whether LightGBM, which only training needs, is installed."""
    return find_spec("lightgbm") is not None


def fit_ranker(
    engine: Engine,
    settings: Settings,
    recipe: Recipe,
    events: Events,
    people: Interactions,
    items: ItemFacts,
    *,
    report: Report | None = None,
) -> LearnedOrder:
    """Learn from the events, which are those that `people` was made of; no other is read.

    The same events, recipe and seed give the same order. Never fails for lack of anything: the
    fixed blend stays, and the reason says what is missing.
    """
    why = _why_off(recipe)
    if why:
        return fixed(why)
    given = recipe.reranker
    drawn = draw(engine, events, recipe, seed=settings.seed)
    horizon = max(1, int(given["days"] * DAY_SECONDS))
    moments = question_moments(
        drawn.times, until=drawn.ends_at, horizon_seconds=horizon, count=drawn.moments
    )
    pasts = (
        past_at(engine, settings, items, drawn.events, moment, horizon)
        for moment in reversed(moments)
    )
    latest = next(pasts, None)  # has most to say: where even that is too little, nothing is trained
    if latest is None or latest.returning * len(moments) < given["min_questions"]:
        return fixed(
            f"too few people come back for something new within {given['days']:g} days to give "
            f"{given['min_questions']} answers"
        )
    features = features_of(recipe, items)
    parts: list[Examples] = []
    for past in chain((latest,), pasts):
        if report is not None:
            report(RERANKER, len(parts), len(moments))
        if past.returning:
            parts.append(ask_the_past(past, settings, recipe, items, features, engine=engine))
    examples = Examples.together(parts[::-1])
    return _learn(recipe, settings, examples, features, people, drawn.ends_at)


def _why_off(recipe: Recipe) -> str:
    if not recipe.reranker:
        return "[reranker] mode is off"
    if sum(weight > 0 for weight in recipe.blend.values()) < 2:
        return "there is only one source"
    if not can_learn():
        return "LightGBM is not installed. pip install 'nextup[ranker]' brings it"
    return ""


def features_of(recipe: Recipe, items: ItemFacts) -> RankingFeatures:
    """What is looked at: the recipe's sources, and what the items have in common."""
    counts = item_terms(items).counts
    traits = {family: ItemTraits.of(each) for family, each in counts.items() if family != TITLE}
    return RankingFeatures(
        tuple(recipe.blend),
        tuple(recipe.blend.values()),
        traits,
        depth=recipe.reranker["depth"],
        pool=recipe.reranker["pool"],
    )


class Drawn(NamedTuple):
    """What is read of the history, and how often it is asked about."""

    events: Events
    times: NDArray[np.int64]  # of all events, unix seconds
    moments: int  # at most

    @property
    def ends_at(self) -> int:
        """The first second after the last event."""
        return int(self.times.max(initial=-1)) + 1


def draw(engine: Engine, events: Events, recipe: Recipe, *, seed: int) -> Drawn:
    """All events and moments; of more than `[reranker] touches` events those of some people,
    drawn by the seed, and the latest moment alone.
    """
    given = recipe.reranker
    times = engine.arrays(events.select(t.OCCURRED_AT))[t.OCCURRED_AT] // MICROSECONDS
    most = given.get("touches", 0)  # 0, or a recipe older than this setting: all of them
    if not most or len(times) <= most:
        return Drawn(events, times, given["moments"])
    codes, names = engine.coded(events.select(t.USER_ID), t.USER_ID)
    size = np.bincount(codes[t.USER_ID], minlength=len(names[t.USER_ID]))
    order = np.random.default_rng(seed).permutation(len(size))
    chosen = np.sort(order[: np.searchsorted(np.cumsum(size[order]), most, side="right")])
    some = engine.frame({t.USER_ID: [names[t.USER_ID][row] for row in chosen.tolist()]})
    theirs = engine.held(events.join(some, on=t.USER_ID, how="semi"))
    return Drawn(theirs, times, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """One moment: what was known then, and what was new to those people in the days after."""

    moment: int  # unix seconds
    known: Dataset
    outcome: Interactions  # rows as in `known`

    @property
    def returning(self) -> int:
        """How many people have a past and did something new."""
        back = np.diff(self.outcome.indptr) > 0
        return int((back & (np.diff(self.known.interactions.indptr) > 0)).sum())


def past_at(
    engine: Engine,
    settings: Settings,
    items: ItemFacts,
    events: Events,
    moment: int,
    horizon: int,
) -> Past:
    """Cut at the moment; nothing from `horizon` seconds after it on is read."""
    ends_at = from_microseconds((moment + horizon) * MICROSECONDS)
    cut_at = from_microseconds(moment * MICROSECONDS)
    seen = events.filter(nw.col(t.OCCURRED_AT) < ends_at)
    known, new = past_and_after(engine, settings, items, seen, cut_at)
    _, outcome = new_to_people(known, new)
    return Past(moment, known, select_people(outcome, np.arange(len(known.user_ids))))


def ask_the_past(
    past: Past,
    settings: Settings,
    recipe: Recipe,
    items: ItemFacts,
    features: RankingFeatures,
    *,
    engine: Engine | None = None,
) -> Examples:
    """Train the recipe on the past, and lay its candidates beside the outcome."""
    models = fit_all(
        recipe,
        past.known.interactions,
        items,
        seed=settings.seed,
        threads=settings.threads,
        engine=engine,
    )
    return examples_at(
        features,
        models,
        past.known.interactions,
        past.outcome,
        past.moment,
        rng=np.random.default_rng([settings.seed, past.moment]),
        people=recipe.reranker["people"],
        unwanted=past.known.indifferent,
    )


def _learn(
    recipe: Recipe,
    settings: Settings,
    examples: Examples,
    features: RankingFeatures,
    people: Interactions,
    ends_at: int,
) -> LearnedOrder:
    given = recipe.reranker
    ranker = Reranker(
        trees=given["trees"],
        cutoff=given["cutoff"],
        min_questions=given["min_questions"],
        confidence=given["confidence"],
        threads=settings.threads,
    )
    asked = len(examples.sizes)
    try:
        learned = ranker.fit(
            examples, features, ItemStatistics.before(people, ends_at), seed=settings.seed
        )
    except ConfigurationError as error:  # LightGBM is there, but not what it needs
        return fixed(str(error), asked)
    return LearnedOrder(learned if learned.learned else None, learned.reason, asked)

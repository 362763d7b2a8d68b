"""The gate: a new model may serve only if it earned it on a past that it has not seen.

The history is cut at one moment for everybody. The candidate's recipe is trained on what lies
before, ranks the whole catalogue for everybody who did something new after, and is compared,
person by person, with popularity and with the recipe of the model in service. Recipes are
compared, not stored models: the one in service has already seen part of the test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from nextup.algorithms.evaluation import Evaluation, compare, evaluate_ranking
from nextup.algorithms.fusion import fuse
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.splits import leave_last_out, select_people
from nextup.domain import tables as t
from nextup.domain.errors import InvalidInput
from nextup.domain.events import from_microseconds
from nextup.domain.tables import Table
from nextup.domain.weighing import Weighing
from nextup.services.dataset import Dataset, load_dataset
from nextup.services.train import POPULARITY, Recipe, fit_all
from nextup.transforms.silver_to_gold import user_item

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.statistics import Difference
    from nextup.ports.engine import Engine
    from nextup.ports.lake import AsOf
    from nextup.services.dataset import ItemFacts
    from nextup.services.train import Report
    from nextup.settings import Gate, Settings

HIDDEN = 5  # of each person's touches, where the test cannot be a period


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says, in numbers and in a sentence."""

    passed: bool
    reason: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """A past to train on and what came after, for the people who are in both."""

    how: str  # how the past was told from what came after
    train: Dataset
    asked: NDArray[np.int64]  # rows of train
    truth: Interactions  # row i belongs to asked[i]


def judge(
    engine: Engine,
    settings: Settings,
    items: ItemFacts,
    until: datetime,
    *,
    incumbent: Recipe | None = None,
    as_of: AsOf = None,
    report: Report | None = None,
) -> Verdict:
    """Try the configured recipe, and the incumbent's where it differs, against popularity."""
    gate = settings.gate
    test = make_test(engine, settings, items, until, as_of=as_of)
    if test is None:
        reason = f"fewer than {gate.min_people} people did anything new in the last days"
        return _verdict(gate, False, f"nothing can be proven: {reason}", {})
    recipe = Recipe.from_settings(settings)
    candidate = _try(recipe, test, settings, items, report)
    popularity = _measure(candidate, {POPULARITY: 1.0}, test, settings, "popularity")
    blend = _measure(candidate, recipe.blend, test, settings, "candidate")
    metric = f"ndcg@{gate.k}"
    rng = np.random.default_rng(settings.seed)
    over_floor = compare(blend, popularity, metric, rng=rng, confidence=gate.confidence)
    metrics = {
        "test": test.how,
        "people": len(test.asked),
        "candidate": _figures(blend, gate, rng),
        "popularity": _figures(popularity, gate, rng),
        "over_popularity": _difference(over_floor),
    }
    if not over_floor.is_better:
        return _verdict(gate, False, f"not better than popularity {_say(over_floor)}", metrics)
    if incumbent is None or incumbent.fingerprint == recipe.fingerprint:
        return _verdict(gate, True, f"better than popularity {_say(over_floor)}", metrics)
    rival = _try(incumbent, test, settings, items, report)
    in_service = _measure(rival, incumbent.blend, test, settings, "in service")
    over_rival = compare(blend, in_service, metric, rng=rng, confidence=gate.confidence)
    metrics |= {
        "in_service": _figures(in_service, gate, rng),
        "over_in_service": _difference(over_rival),
    }
    if over_rival.is_worse:
        return _verdict(gate, False, f"worse than the model in service {_say(over_rival)}", metrics)
    return _verdict(
        gate, True, f"better than popularity {_say(over_floor)}, not worse than before", metrics
    )


def make_test(
    engine: Engine, settings: Settings, items: ItemFacts, until: datetime, *, as_of: AsOf = None
) -> Test | None:
    """Cut off the last days; where they hold too few people, a growing share of the events.

    Where hardly anybody ever comes back, each person's last touches are hidden instead: the past
    of others may then hold what is later than those, which is why it is the last resort. None
    where even that leaves fewer than `gate.min_people` people.
    """
    events = engine.scan(Table.INTERACTIONS, as_of).filter(nw.col(t.OCCURRED_AT) < until)
    for cut_at in _cuts(engine, settings.gate, events):
        test = _cut(engine, settings, items, events, cut_at)
        if len(test.asked) >= settings.gate.min_people:
            return test
    last = _last_touches(engine, settings, items, events, until)
    return last if last is not None and len(last.asked) >= settings.gate.min_people else None


def _last_touches(
    engine: Engine,
    settings: Settings,
    items: ItemFacts,
    events: nw.LazyFrame[Any],
    until: datetime,
) -> Test | None:
    weighing = Weighing.from_weights(settings.weights, settings.contracts.rating_max)
    people = load_dataset(engine, user_item(events, weighing, until), items.item_ids)
    try:
        split = leave_last_out(people.interactions, n_last=HIDDEN, min_touches=2 * HIDDEN)
    except InvalidInput:  # nobody has enough touches
        return None
    train = replace(people, interactions=split.train)
    asked = np.flatnonzero(np.diff(split.truth.indptr) > 0)
    how = f"each person's last {HIDDEN} touches, since too few people come back"
    return Test(how, train, asked, select_people(split.truth, asked))


def _cuts(engine: Engine, gate: Gate, events: nw.LazyFrame[Any]) -> Sequence[datetime]:
    times = engine.arrays(events.select(t.OCCURRED_AT))[t.OCCURRED_AT]  # (events,) microseconds
    if not len(times):
        return ()
    shares = [gate.test_share * n for n in (1, 2, 3) if gate.test_share * n < 1]
    last_days = times.max() - timedelta(days=gate.test_days) // timedelta(microseconds=1)
    cuts = [int(last_days), *(int(np.quantile(times, 1 - share)) for share in shares)]
    first = times.min()
    return [from_microseconds(cut) for cut in cuts if cut > first]


def _cut(
    engine: Engine,
    settings: Settings,
    items: ItemFacts,
    events: nw.LazyFrame[Any],
    cut_at: datetime,
) -> Test:
    weighing = Weighing.from_weights(settings.weights, settings.contracts.rating_max)
    before = events.filter(nw.col(t.OCCURRED_AT) < cut_at)
    after = events.filter(nw.col(t.OCCURRED_AT) >= cut_at)
    train = load_dataset(engine, user_item(before, weighing, cut_at), items.item_ids)
    new = load_dataset(engine, user_item(after, weighing, cut_at), items.item_ids)
    return _asked(train, new, cut_at)


def _asked(train: Dataset, new: Dataset, cut_at: datetime) -> Test:
    """Who is in both, and what is new to them."""
    row_of = {user_id: row for row, user_id in enumerate(train.user_ids)}
    rows = np.array([row_of.get(user_id, -1) for user_id in new.user_ids], np.int64)
    touched = new.interactions
    users = rows[touched.users()]
    keys = users * touched.n_items + touched.items
    seen = np.concatenate([_keys(train.interactions), train.indifferent])
    fresh = (users >= 0) & ~np.isin(keys, seen)
    truth = Interactions.from_pairs(
        users[fresh],
        touched.items[fresh],
        touched.weights[fresh],
        touched.times[fresh],
        n_users=len(train.user_ids),
        n_items=touched.n_items,
    )
    has_past = np.diff(train.interactions.indptr) > 0
    asked = np.flatnonzero((np.diff(truth.indptr) > 0) & has_past)
    return Test(f"since {cut_at:%Y-%m-%d %H:%M}", train, asked, select_people(truth, asked))


def _keys(interactions: Interactions) -> NDArray[np.int64]:
    return interactions.users().astype(np.int64) * interactions.n_items + interactions.items


def _try(
    recipe: Recipe, test: Test, settings: Settings, items: ItemFacts, report: Report | None
) -> dict[str, Fitted]:
    return fit_all(
        recipe,
        test.train.interactions,
        items,
        seed=settings.seed,
        threads=settings.threads,
        report=report,
    )


def _measure(
    models: Mapping[str, Fitted],
    blend: Mapping[str, float],
    test: Test,
    settings: Settings,
    name: str,
) -> Evaluation:
    known = select_people(test.train.interactions, test.asked)
    fused = fuse(models, blend, known, settings.gate.k, candidates=settings.recommend.candidates)
    return evaluate_ranking(
        fused.ranking,
        known,
        test.truth,
        model=name,
        users=test.asked,
        cutoffs=(settings.gate.k,),
        train=test.train.interactions,
    )


def _verdict(gate: Gate, earned: bool, reason: str, metrics: Mapping[str, Any]) -> Verdict:
    """`strict` obeys, `warn` lets pass and says so, `off` does not ask."""
    if earned or gate.mode == "strict":
        return Verdict(earned, f"gate: {'passed' if earned else 'failed'}, {reason}", metrics)
    return Verdict(True, f"gate ({gate.mode}): let pass, although {reason}", metrics)


def _figures(
    evaluation: Evaluation, gate: Gate, rng: np.random.Generator
) -> dict[str, float | Sequence[float]]:
    """Each metric's mean with its interval, and the catalogue's figures."""
    figures: dict[str, float | Sequence[float]] = {}
    for metric in evaluation.per_person:
        interval = evaluation.interval(metric, rng=rng, confidence=gate.confidence)
        figures[metric] = [
            round(value, 5) for value in (interval.mean, interval.low, interval.high)
        ]
    return figures | {name: round(value, 5) for name, value in evaluation.catalogue.items()}


def _difference(difference: Difference) -> dict[str, float]:
    return {
        "mean": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "p_value": difference.p_value,
    }


def _say(difference: Difference) -> str:
    return f"({difference.mean:+.4f}, {difference.low:+.4f} to {difference.high:+.4f})"

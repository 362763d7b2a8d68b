"""The gate: a new model may serve only if it earned it on a past that it has not seen.

The history is cut at one moment for everybody. The candidate's recipe is trained on what lies
before, ranks the whole catalogue for everybody who did something new after (at most `gate.people`
of them, the same for all), and is compared, person by person, with popularity and with the recipe
of the model in service. Recipes are compared, not stored models: the one in service has already
seen part of the test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextup.algorithms.evaluation.evaluate import compare
from nextup.algorithms.evaluation.statistics import paired_difference
from nextup.services.evaluate import gate_people, learn, measure
from nextup.services.evaluation_document import difference_figures, figures
from nextup.services.held_out import by_time
from nextup.services.train import POPULARITY, Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nextup.algorithms.evaluation.statistics import Difference
    from nextup.ports.engine import Engine
    from nextup.ports.lake import AsOf
    from nextup.services.dataset import ItemFacts
    from nextup.services.train import Report
    from nextup.settings import Gate, Settings

RECORD_PEOPLE = (
    5000  # tell what the order is worth over the blend; the verdict asks all of the test
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says, in numbers and in a sentence."""

    passed: bool
    reason: str
    metrics: Mapping[str, Any]


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
    test = by_time(engine, settings, items, until, as_of=as_of)
    if test is None:
        reason = f"fewer than {gate.min_people} people did anything new in the last days"
        return _verdict(gate, False, f"nothing can be proven: {reason}", {})
    test = gate_people(test, settings)
    recipe = Recipe.from_settings(settings)
    models, order = learn(engine, recipe, test, settings, items, report)
    k = (gate.k,)
    popularity = measure(models, {POPULARITY: 1.0}, test, settings, "popularity", k)
    candidate = measure(models, recipe.blend, test, settings, "candidate", k, order.ranker)
    metric = f"ndcg@{gate.k}"
    rng = np.random.default_rng(settings.seed)
    over_floor = compare(candidate, popularity, metric, rng=rng, confidence=gate.confidence)
    metrics = {
        "test": test.how,
        "people": len(test),
        "candidate": figures(candidate, rng, gate.confidence),
        "popularity": figures(popularity, rng, gate.confidence),
        "over_popularity": difference_figures(over_floor),
        "reranker": order.figures,
    }
    if order.ranker is not None:  # for the record: its own proof decided
        most = min(len(test), RECORD_PEOPLE)
        rows = np.sort(np.random.default_rng(settings.seed).choice(len(test), most, replace=False))
        fixed = measure(models, recipe.blend, test.only(rows), settings, "fixed blend", k)
        over_blend = paired_difference(
            candidate.values(metric)[rows],
            fixed.values(metric),
            rng=rng,
            confidence=gate.confidence,
        )
        metrics |= {
            "fixed_blend": figures(fixed, rng, gate.confidence),
            "over_fixed_blend": {**difference_figures(over_blend), "people": most},
        }
    if not over_floor.is_better:
        return _verdict(gate, False, f"not better than popularity {_say(over_floor)}", metrics)
    if incumbent is None or incumbent.fingerprint == recipe.fingerprint:
        return _verdict(gate, True, f"better than popularity {_say(over_floor)}", metrics)
    rival, others = learn(engine, incumbent, test, settings, items, report)
    in_service = measure(rival, incumbent.blend, test, settings, "in service", k, others.ranker)
    over_rival = compare(candidate, in_service, metric, rng=rng, confidence=gate.confidence)
    metrics |= {
        "in_service": figures(in_service, rng, gate.confidence),
        "over_in_service": difference_figures(over_rival),
    }
    if over_rival.is_worse:
        return _verdict(gate, False, f"worse than the model in service {_say(over_rival)}", metrics)
    return _verdict(
        gate, True, f"better than popularity {_say(over_floor)}, not worse than before", metrics
    )


def _verdict(gate: Gate, earned: bool, reason: str, metrics: Mapping[str, Any]) -> Verdict:
    """`strict` obeys, `warn` lets pass and says so, `off` does not ask."""
    if earned or gate.mode == "strict":
        return Verdict(earned, f"gate: {'passed' if earned else 'failed'}, {reason}", metrics)
    return Verdict(True, f"gate ({gate.mode}): let pass, although {reason}", metrics)


def _say(difference: Difference) -> str:
    return f"({difference.mean:+.4f}, {difference.low:+.4f} to {difference.high:+.4f})"

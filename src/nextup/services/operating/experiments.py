"""What each new model was tried against before it might serve, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.domain.operations import ModelRecord

RIVALS = {  # who was tried against: where a model's record has the difference
    "popularity": "over_popularity",
    "in_service": "over_in_service",
    "fixed_blend": "over_fixed_blend",
}


class Experiment(NamedTuple):
    """The new model less its rival, person by person; chance alone moves it from low to high."""

    against: str
    metric: str
    mean: float
    low: float
    high: float
    people: int | None  # None: an old record, which does not say

    @property
    def found(self) -> str:
        """In words."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference shown"


def experiments(model: ModelRecord) -> Sequence[Experiment]:
    """Those of the model that its record tells; none where the gate could not try it."""
    figures = model.metrics.get("candidate") or {}
    metric = next((name for name in figures if name.startswith("ndcg@")), "")
    found = []
    for against, key in RIVALS.items():
        told = model.metrics.get(key)
        if told:
            mean, low, high = (float(told[name]) for name in ("mean", "low", "high"))
            people = told.get("people", model.metrics.get("people"))
            found.append(Experiment(against, metric, mean, low, high, people))
    return found

"""What a model's record says of its trials."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nextup.domain.operations import ModelRecord
from nextup.services.operating.experiments import experiments


def record(**metrics: object) -> ModelRecord:
    made = datetime(2026, 4, 1, tzinfo=UTC)
    return ModelRecord("m", made, "als", metrics)


def test_a_model_that_could_not_be_tried_has_none() -> None:
    """A record without differences is an empty answer."""
    assert experiments(record()) == []
    assert experiments(record(candidate={"ndcg@10": [0.1, 0.05, 0.15]})) == []


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(0.01, 0.03, "better"), (-0.03, -0.01, "worse"), (-0.01, 0.03, "no difference shown")],
)
def test_the_interval_decides(low: float, high: float, found: str) -> None:
    """Only what lies clear of zero is a difference."""
    told = {"mean": (low + high) / 2, "low": low, "high": high, "p_value": 0.5}
    (only,) = experiments(record(over_in_service=told))
    assert (only.against, only.found) == ("in_service", found)


def test_each_says_on_how_many_people_and_by_which_metric() -> None:
    """A trial's own number of people goes before the test's."""
    told = {"mean": 0.1, "low": 0.0, "high": 0.2, "p_value": 0.1}
    made = record(
        people=900,
        candidate={"recall@10": [0.1, 0.0, 0.2], "ndcg@10": [0.1, 0.0, 0.2]},
        over_popularity=told,
        over_fixed_blend={**told, "people": 500},
    )
    first, second = experiments(made)
    assert (first.against, first.metric, first.people) == ("popularity", "ndcg@10", 900)
    assert (second.against, second.metric, second.people) == ("fixed_blend", "ndcg@10", 500)

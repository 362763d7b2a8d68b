"""What is remembered about people for a moment, and when it is not."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

import pytest

from nextup.services.recommending import tastes
from nextup.services.recommending.changes import Changes
from nextup.services.recommending.tastes import MOST_PEOPLE, SECONDS, Taste, Tastes
from nextup.services.serving_model import ServingModel, build_serving_model
from nextup.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def model() -> ServingModel:
    return build_serving_model(None, ())


@pytest.fixture
def changes() -> Changes:
    return Changes()


def maker(model: ServingModel) -> Callable[[], Taste]:
    return lambda: Taste.of(model, (), Settings(), NOW)


def test_a_taste_is_remembered_until_something_changes(
    model: ServingModel, changes: Changes
) -> None:
    """For the person alone; what is counted for everybody is for them, too."""
    known = Tastes(changes, lambda user_id: f"shop/{user_id}")
    make = maker(model)
    first = known.of("ada", model, make)
    assert known.of("ada", model, make) is first
    changes.count(["shop/ben"])
    assert known.of("ada", model, make) is first
    changes.count(["shop/ada"])
    second = known.of("ada", model, make)
    assert second is not first
    changes.count_everybody()
    assert known.of("ada", model, make) is not second


def test_what_changes_while_it_is_made_is_not_missed(model: ServingModel, changes: Changes) -> None:
    """A taste that an event overtook is given, and not remembered."""
    known = Tastes(changes, str)

    def overtaken() -> Taste:
        changes.count(["ada"])
        return maker(model)()

    first = known.of("ada", model, overtaken)
    assert known.of("ada", model, maker(model)) is not first


def test_another_model_has_another_taste(model: ServingModel, changes: Changes) -> None:
    """Scores are a model's own."""
    known = Tastes(changes, str)
    first = known.of("ada", model, maker(model))
    other = build_serving_model(None, ())
    assert known.of("ada", other, maker(other)) is not first


def test_a_taste_ends(
    model: ServingModel, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a second, after it was forgotten, and at once where nothing is to be kept."""
    clock = [0.0]
    monkeypatch.setattr(tastes, "monotonic", lambda: clock[0])
    known, make = Tastes(changes, str), maker(model)
    first = known.of("ada", model, make)
    clock[0] = SECONDS
    second = known.of("ada", model, make)
    assert second is not first
    known.forget("ada")
    known.forget("nobody")
    assert known.of("ada", model, make) is not second
    never = Tastes(changes, str, 0.0)
    assert never.of("ada", model, make) is not never.of("ada", model, make)


def test_only_the_latest_people_are_remembered(model: ServingModel, changes: Changes) -> None:
    """Memory stays bounded however many come."""
    known, make, number = Tastes(changes, str), maker(model), count()
    first = known.of("ada", model, make)
    for _ in range(MOST_PEOPLE - 1):
        known.of(f"u{next(number)}", model, make)
    assert known.of("ada", model, make) is first
    known.of(f"u{next(number)}", model, make)
    assert known.of("ada", model, make) is not first

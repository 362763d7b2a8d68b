"""Promotion and rollback move a pointer and the lists that belong to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from nextup.adapters.recommendation_store.memory import MemoryRecommendationStore
from nextup.bootstrap import open_platform
from nextup.domain.errors import Conflict, NotFound
from nextup.domain.operations import Generation, ModelRecord
from nextup.domain.recommendations import PublishedList, Scored
from nextup.services.registry import promote, rollback, switch_lists
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.control import Control
    from nextup.ports.recommendation_store import RecommendationStore

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with open_platform(load_settings(tmp_path)) as platform:
        for number, name in enumerate(("one", "two", "three", "unlisted")):
            platform.control.save_model(ModelRecord(name, START + timedelta(days=number), "als"))
        yield platform.control


@pytest.fixture
def store(control: Control) -> RecommendationStore:
    """Lists of three of the models, and a second generation of the first."""
    store = MemoryRecommendationStore()
    generations = [("one-a", "one"), ("one-b", "one"), ("two", "two"), ("three", "three")]
    for number, (generation, model_id) in enumerate(generations):
        store.write(generation, [PublishedList("ada", (Scored(generation, 1.0, "als"),))])
        at = START + timedelta(hours=number)
        control.save_generation(Generation(generation, model_id, 1, at))
    return store


def test_promoting_switches_model_and_lists(control: Control, store: RecommendationStore) -> None:
    """The model serves with its latest lists, and knows since when."""
    model = promote(control, store, "one")
    assert control.current_model() == model.model_id == "one"
    assert model.promoted_at is not None
    assert store.current() == "one-b"


def test_an_unknown_model_changes_nothing(control: Control, store: RecommendationStore) -> None:
    """Promoting what is not registered is refused before anything moves."""
    promote(control, store, "two")
    with pytest.raises(NotFound, match=r"no model 'four'.*nextup model list"):
        promote(control, store, "four")
    assert (control.current_model(), store.current()) == ("two", "two")


def test_promoting_twice_is_promoting_once(control: Control, store: RecommendationStore) -> None:
    """The second time nothing changes: not the moment, and not where a rollback goes."""
    promote(control, store, "one")
    first = promote(control, store, "two")
    assert promote(control, store, "two") == first
    assert list(control.previous_models()) == ["one"]


def test_promoting_again_mends_a_switch_that_was_killed(
    control: Control, store: RecommendationStore
) -> None:
    """A kill between the two pointers leaves old lists; promoting again brings the right ones."""
    promote(control, store, "one")
    control.set_current_model("two")  # and here the process died
    promote(control, store, "two")
    assert store.current() == "two"


def test_a_model_without_lists_keeps_those_in_service(
    control: Control, store: RecommendationStore
) -> None:
    """A model can serve before its lists are published; people keep the lists they had."""
    promote(control, store, "two")
    promote(control, store, "unlisted")
    assert (control.current_model(), store.current()) == ("unlisted", "two")
    assert not switch_lists(control, store, "unlisted")


def test_lists_that_were_dropped_are_not_switched_to(
    control: Control, store: RecommendationStore
) -> None:
    """A generation that the store no longer holds is passed over for an older one of the model."""
    store.drop("one-b")
    promote(control, store, "one")
    assert store.current() == "one-a"


def test_rolling_back_walks_the_history(control: Control, store: RecommendationStore) -> None:
    """Each rollback is one step back, until there is nothing before."""
    for name in ("one", "two", "three"):
        promote(control, store, name)
    for name, lists in (("two", "two"), ("one", "one-b")):
        assert rollback(control, store).model_id == name
        assert (control.current_model(), store.current()) == (name, lists)
    with pytest.raises(Conflict, match=r"No model was in service before.*nextup model list"):
        rollback(control, store)
    assert control.current_model() == "one"


def test_nothing_to_roll_back_to_at_first(control: Control, store: RecommendationStore) -> None:
    """Before any promotion, and after the first, there is no way back."""
    with pytest.raises(Conflict):
        rollback(control, store)
    promote(control, store, "one")
    with pytest.raises(Conflict):
        rollback(control, store)

"""Lists for everybody: what they hold, and how a generation takes the place of another."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.conftest import DAY

from nextup.adapters.recommendation_store.memory import MemoryRecommendationStore
from nextup.bootstrap import open_platform
from nextup.domain.errors import Conflict, NextupError
from nextup.domain.events import Event
from nextup.domain.tables import Table
from nextup.entrypoints.cli.context import context_of
from nextup.services.artifacts import load_artifact
from nextup.services.pipeline import run_pipeline
from nextup.services.publish import KEPT_GENERATIONS, make_lists, publish
from nextup.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from nextup.bootstrap import Platform
    from nextup.services.artifacts import Artifact


def in_service(platform: Platform) -> Artifact:
    model_id = platform.control.current_model()
    assert model_id is not None
    return load_artifact(platform.files, model_id)


def lists_of(platform: Platform) -> pl.DataFrame:
    return platform.lake.scan(Table.RECOMMENDATIONS).sort("user_id", "rank").collect()


def test_lists_are_whole_and_new_to_their_people(built: Platform) -> None:
    """Ranks are 1, 2, ... without gaps or repeats, best first, and hold nothing already touched."""
    lists = lists_of(built)
    touched = set(built.lake.scan(Table.USER_ITEM).select("user_id", "item_id").collect().rows())
    assert len(lists)
    for (_user,), rows in lists.group_by("user_id"):
        assert rows["rank"].to_list() == list(range(1, len(rows) + 1))
        assert rows["item_id"].n_unique() == len(rows)
        assert rows["score"].is_sorted(descending=True)
        assert len(rows) <= built.settings.recommend.published_depth
    assert not set(lists.select("user_id", "item_id").rows()) & touched
    assert lists["model_id"].unique().to_list() == [built.control.current_model()]


def test_a_place_names_the_model_that_gave_most(built: Platform) -> None:
    """Whatever the order and zeros of the blend, the source is the model whose part is largest."""
    artifact = in_service(built)
    blend = {"popularity": 0.0, **dict(reversed(artifact.blend.items()))} | {"popularity": 0.0}
    make_lists(built.engine, replace(artifact, blend=blend), built.settings)
    mixed = lists_of(built)
    assert set(mixed["source"]) <= {name for name, weight in blend.items() if weight > 0}
    make_lists(built.engine, replace(artifact, blend=artifact.blend | blend), built.settings)
    assert lists_of(built).equals(mixed)
    for name in ("item_item", "content"):
        alone = replace(artifact, blend=dict.fromkeys(blend, 0.0) | {name: 1.0})
        make_lists(built.engine, alone, built.settings)
        assert set(lists_of(built)["source"]) == {name}


def test_making_lists_again_makes_the_same(built: Platform) -> None:
    """The same model and people give the same table and the same counts."""
    before = built.lake.content_hash(Table.RECOMMENDATIONS)
    made = make_lists(built.engine, in_service(built), built.settings)
    assert built.lake.content_hash(Table.RECOMMENDATIONS) == before
    lists = lists_of(built)
    assert (made.lists, made.entries) == (lists["user_id"].n_unique(), len(lists))


def test_vectors_are_of_the_models_people(built: Platform) -> None:
    """Everybody with a touch has one vector, all of one length."""
    vectors = built.lake.scan(Table.USER_VECTORS).collect()
    people = built.lake.scan(Table.USER_ITEM).select("user_id").unique().collect()
    assert set(vectors["user_id"]) == set(people["user_id"])
    assert vectors["vector"].list.len().n_unique() == 1
    assert np.isfinite(vectors["vector"].explode().to_numpy()).all()


def test_the_store_holds_what_the_lake_holds(built: Platform) -> None:
    """Every list of the table is in a store that was empty, item by item."""
    store = MemoryRecommendationStore()
    published = publish(built.engine, store, built.control)
    assert store.current() == published.generation
    assert store.count(published.generation) == published.lists
    for (user,), rows in lists_of(built).group_by("user_id", maintain_order=True):
        listed = store.read(str(user))
        assert listed is not None
        assert [tuple(place) for place in listed.items] == rows.select(
            "item_id", "score", "source"
        ).rows()


def test_publishing_again_changes_nothing(built: Platform) -> None:
    """The generation in service is not written or recorded twice."""
    before = list(built.control.generations())
    again = publish(built.engine, built.recommendation_store, built.control)
    assert again.generation == built.recommendation_store.current()
    assert list(built.control.generations()) == before


def test_a_publication_that_broke_off_is_finished(built: Platform) -> None:
    """Half a generation is never in service; publishing again completes it."""
    store = MemoryRecommendationStore()

    def break_off(what: str, done: int, total: int) -> None:
        raise RuntimeError(what)

    with pytest.raises(RuntimeError):
        publish(built.engine, store, built.control, report=break_off)
    assert store.current() is None
    published = publish(built.engine, store, built.control)
    assert store.count(published.generation) == published.lists


def test_no_lists_never_replace_lists(tmp_path: Path) -> None:
    """An empty table is refused with the command that fills it."""
    with (
        open_platform(load_settings(tmp_path)) as platform,
        pytest.raises(Conflict, match="nextup pipeline run"),
    ):
        publish(platform.engine, platform.recommendation_store, platform.control)


def test_old_generations_are_dropped(built: Platform) -> None:
    """The store keeps the latest few, the one in service among them, and no more."""
    artifact = in_service(built)
    names = [f"model-{number}" for number in range(KEPT_GENERATIONS + 2)]
    for name in names:
        make_lists(built.engine, replace(artifact, model_id=name), built.settings)
        publish(built.engine, built.recommendation_store, built.control)
    kept = built.recommendation_store.generations()
    assert sorted(name.rpartition("-")[0] for name in kept) == names[-KEPT_GENERATIONS:]
    assert (built.recommendation_store.current() or "").startswith(names[-1])


def test_a_blend_of_nothing_publishes_nothing(built: Platform) -> None:
    """A model whose components all weigh nothing is refused; the lists of before stay."""
    before = built.lake.content_hash(Table.RECOMMENDATIONS)
    artifact = replace(in_service(built), blend={"popularity": 0.0})
    with pytest.raises(NextupError, match="No model has a weight"):
        make_lists(built.engine, artifact, built.settings)
    assert built.lake.content_hash(Table.RECOMMENDATIONS) == before


def test_who_only_dismissed_gets_what_is_popular(built: Platform) -> None:
    """A person without a wanted touch is listed by popularity, without what they dismissed."""
    disliked = (
        lists_of(built).filter(lists_of(built)["source"] == "popularity")["item_id"].mode()[0]
    )
    event = Event("no", "dismiss", "grump", disliked, datetime(2026, 3, 31, tzinfo=UTC))
    built.event_log.append([event])
    run_pipeline(context_of(built, DAY), built.control, last="features")
    make_lists(built.engine, in_service(built), built.settings)
    listed = lists_of(built).filter(lists_of(built)["user_id"] == "grump")
    assert len(listed) == built.settings.recommend.published_depth
    assert set(listed["source"]) == {"popularity"}
    assert disliked not in set(listed["item_id"])


def test_lists_of_a_later_day_are_a_new_generation(built: Platform) -> None:
    """A run with new events switches to lists of its own model, and keeps the old beside them."""
    before = built.recommendation_store.current()
    run_pipeline(context_of(built, DAY.replace(day=30)), built.control)
    after = built.recommendation_store.current()
    assert after != before
    assert {before, after} <= set(built.recommendation_store.generations())

"""The gate's verdicts, on a platform with a simulated audience that can be learned from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.conftest import DAY

from nextup.bootstrap import open_platform
from nextup.domain.events import Event
from nextup.entrypoints.cli.context import context_of
from nextup.services.dataset import load_item_facts
from nextup.services.judge import Verdict, judge
from nextup.services.pipeline import end_of_day, run_pipeline
from nextup.services.train import Recipe
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.settings import Settings

POPULAR = Recipe({"popularity": {}}, {"popularity": 1.0})
GOOD = Recipe(
    {"popularity": {}, "item_item": {}, "content": {}},
    {"item_item": 0.6, "content": 0.2, "popularity": 0.02},
)


@pytest.fixture(scope="module")
def platform(built_folder: Path) -> Iterator[Platform]:
    """Only read here: judging changes nothing."""
    with open_platform(load_settings(built_folder)) as platform:
        yield platform


def settings_like(settings: Settings, recipe: Recipe, **gate: object) -> Settings:
    """The settings that ask for this recipe, in the blend's own order."""
    models = {name: given for name, given in recipe.components.items() if name != "popularity"}
    changed = settings.gate.model_copy(update=gate)
    fixed = settings.reranker.model_copy(update={"mode": "off"})
    return settings.model_copy(
        update={
            "models": models,
            "blend": dict(recipe.blend),
            "gate": changed,
            "reranker": fixed,
        }
    )


def ask(platform: Platform, settings: Settings, **given: object) -> Verdict:
    until = given.pop("until", end_of_day(DAY, settings))
    items = load_item_facts(platform.engine)
    return judge(platform.engine, settings, items, until, **given)


def test_what_beats_popularity_passes(platform: Platform) -> None:
    """The verdict says by how much, and each mean lies within its interval."""
    settings = settings_like(platform.settings, GOOD)
    verdict = ask(platform, settings)
    assert verdict.passed
    assert verdict.reason.startswith("gate: passed, better than popularity (+")
    assert verdict.metrics["people"] >= settings.gate.min_people
    metric = f"ndcg@{settings.gate.k}"
    means = {}
    for name in ("candidate", "popularity"):
        mean, low, high = verdict.metrics[name][metric]
        assert 0 <= low <= mean <= high <= 1
        means[name] = mean
    difference = verdict.metrics["over_popularity"]
    assert difference["mean"] == pytest.approx(means["candidate"] - means["popularity"], abs=1e-4)
    assert 0 < difference["low"] <= difference["mean"] <= difference["high"]
    assert "in_service" not in verdict.metrics
    assert ask(platform, settings) == verdict  # the same question, the same answer


def test_a_large_test_asks_some_people(platform: Platform) -> None:
    """At most `gate.people` are asked, the same ones every time, and the test says of how many;
    0 asks everybody."""
    everybody = ask(platform, settings_like(platform.settings, GOOD, people=0)).metrics
    settings = settings_like(platform.settings, GOOD, people=40)
    some = ask(platform, settings)
    assert some.metrics["people"] == 40 < everybody["people"]
    assert some.metrics["test"].endswith(f", 40 of its {everybody['people']:,} people")
    assert ask(platform, settings) == some


@pytest.mark.parametrize(
    ("mode", "passed", "begins"),
    [
        ("strict", False, "gate: failed, not better than popularity"),
        ("warn", True, "gate (warn): let pass, although not better than popularity"),
        ("off", True, "gate (off): let pass, although not better than popularity"),
    ],
)
def test_popularity_does_not_beat_itself(
    platform: Platform, mode: str, passed: bool, begins: str
) -> None:
    """What is as good as the floor fails; the softer modes let it pass and say so."""
    verdict = ask(platform, settings_like(platform.settings, POPULAR, mode=mode))
    assert (verdict.passed, verdict.reason.startswith(begins)) == (passed, True)
    assert verdict.metrics["over_popularity"]["mean"] == 0


def test_the_same_recipe_is_not_tried_twice(platform: Platform) -> None:
    """A candidate that is the recipe in service only has to beat popularity."""
    settings = settings_like(platform.settings, GOOD)
    verdict = ask(platform, settings, incumbent=Recipe.from_settings(settings))
    assert verdict.passed
    assert "in_service" not in verdict.metrics


def test_a_better_recipe_takes_over(platform: Platform) -> None:
    """A candidate that is better than what serves passes both comparisons."""
    verdict = ask(platform, settings_like(platform.settings, GOOD), incumbent=POPULAR)
    assert verdict.passed
    assert verdict.reason.endswith("not worse than before")
    assert verdict.metrics["over_in_service"]["low"] > 0


def test_a_worse_recipe_stays_out(platform: Platform) -> None:
    """A candidate above popularity but below what serves is refused, with the difference."""
    weak = Recipe(GOOD.components, {"item_item": 0.07, "content": 0.0, "popularity": 1.0})
    settings = settings_like(platform.settings, weak)
    assert ask(platform, settings).passed
    verdict = ask(platform, settings, incumbent=GOOD)
    assert not verdict.passed
    assert verdict.reason.startswith("gate: failed, worse than the model in service (-")
    assert verdict.metrics["over_in_service"]["high"] < 0


@pytest.mark.parametrize(("mode", "passed"), [("strict", False), ("warn", True)])
def test_without_a_past_nothing_can_be_proven(platform: Platform, mode: str, passed: bool) -> None:
    """Before the history began, or with too few people in it, the verdict says that it is none."""
    settings = settings_like(platform.settings, GOOD, mode=mode)
    verdict = ask(platform, settings, until=datetime(2020, 1, 1, tzinfo=UTC))
    assert verdict.passed is passed
    assert "nothing can be proven: fewer than 30 people" in verdict.reason
    assert verdict.metrics == {}
    crowd = settings_like(platform.settings, GOOD, mode=mode, min_people=10**6)
    assert "fewer than 1000000 people" in ask(platform, crowd).reason


def test_the_future_is_not_seen(built: Platform) -> None:
    """What happens after the day does not change what the gate says about it."""
    settings = settings_like(built.settings, GOOD)
    before = ask(built, settings)
    after = end_of_day(DAY, settings) + timedelta(hours=1)
    built.event_log.append(
        [Event(f"f{n}", "like", f"u{n % 40}", "book:dune-1965", after) for n in range(200)]
    )
    run_pipeline(context_of(built, DAY), built.control, last="refine")
    assert ask(built, settings) == before

"""The search of models and blend: what it reads, what it keeps, and what it writes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.conftest import DAY
from typer.testing import CliRunner

from nextup.bootstrap import open_platform
from nextup.domain.errors import ConfigurationError, InvalidInput
from nextup.domain.events import Event
from nextup.entrypoints.cli.app import app
from nextup.entrypoints.cli.context import context_of
from nextup.services.dataset import load_item_facts
from nextup.services.held_out import by_time, everybody
from nextup.services.pipeline import end_of_day, run_pipeline
from nextup.services.recipe_file import recipe_named, recipe_of_text
from nextup.services.study import Journal, Trial
from nextup.services.train import Recipe
from nextup.services.trials import Budget
from nextup.services.tune import tune, validation_of
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.services.tune import Tuned

MODELS = ["item_item", "content"]  # cheap ones; popularity always comes along


def search(platform: Platform, trials: int, **more: object) -> Tuned:
    return tune(
        platform.engine,
        platform.files,
        platform.settings,
        load_item_facts(platform.engine),
        end_of_day(DAY, platform.settings),
        Budget(trials=trials),
        **{"only": MODELS, **more},
    )


def trials_of(platform: Platform, found: Tuned) -> list[tuple[object, ...]]:
    """What is the same whenever and wherever the trials are made, by model."""
    trials = Journal(platform.files, found.study).trials
    return sorted(
        ((one.model, one.number, one.params, one.state, one.value) for one in trials),
        key=lambda one: one[:2],
    )


@contextmanager
def copied(folder: Path, to: Path) -> Iterator[Platform]:
    shutil.copytree(folder, to)
    with open_platform(load_settings(to)) as platform:
        yield platform


@pytest.fixture(scope="module")
def undisturbed(
    built_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tuned, list[tuple[object, ...]]]:
    """A search of four trials a model, in one go."""
    with copied(built_folder, tmp_path_factory.mktemp("undisturbed") / "platform") as platform:
        found = search(platform, 4)
        return found, trials_of(platform, found)


def test_a_search_in_two_parts_is_the_search_in_one(
    built: Platform, undisturbed: tuple[Tuned, list[tuple[object, ...]]]
) -> None:
    """Continuing makes the trials that would have come, keeps the old ones, and ends alike."""
    first = search(built, 2)
    assert len(trials_of(built, first)) == 6
    again = search(built, 4)
    whole, trials = undisturbed
    assert again.study == whole.study
    assert trials_of(built, again) == trials
    assert again.winner == whole.winner
    assert again.toml == whole.toml
    assert len({str(one[2]) for one in trials if one[0] == "item_item"}) == 4  # none is repeated


def test_an_interrupted_search_keeps_what_was_found(
    built: Platform, undisturbed: tuple[Tuned, list[tuple[object, ...]]]
) -> None:
    """Ctrl-C after some trials costs nothing that was finished."""
    seen: list[Trial] = []

    def interrupt(trial: Trial, is_best: bool) -> None:
        seen.append(trial)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(built, 4, watch=interrupt)
    kept = Journal(built.files, undisturbed[0].study).trials
    assert kept == seen
    after = search(built, 4)
    assert Journal(built.files, after.study).trials[:5] == seen
    assert trials_of(built, after) == undisturbed[1]


def test_a_killed_search_loses_only_the_trial_it_was_at(
    built_folder: Path, tmp_path: Path, undisturbed: tuple[Tuned, list[tuple[object, ...]]]
) -> None:
    """After SIGKILL the same command goes on where the last finished trial ended."""
    home = tmp_path / "platform"
    shutil.copytree(built_folder, home)
    whole, trials = undisturbed
    journal = home / "data" / "files" / "tune" / whole.study / "trials.jsonl"
    code = "from nextup.entrypoints.cli.app import main; main()"
    command = ["tune", "-C", str(home), "--date", DAY.isoformat(), "--trials", "4"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command, "--models", ",".join(MODELS)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ},
    )
    try:
        while process.poll() is None:
            if journal.exists() and journal.read_bytes().count(b"\n") >= 4:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    with open_platform(load_settings(home)) as platform:
        before = Journal(platform.files, whole.study).trials
        assert len(before) >= 4
        after = search(platform, 4)
        assert Journal(platform.files, after.study).trials[: len(before)] == before
        assert trials_of(platform, after) == trials
        assert after.winner == whole.winner


def test_a_torn_line_is_no_trial(built: Platform) -> None:
    """Half a line at the end, as a full disk leaves it, is written over by the next trial."""
    found = search(built, 1)
    name = f"tune/{found.study}/trials.jsonl"
    size = built.files.size(name)
    built.files.append(name, b'{"model": "item_i', committed=size)
    assert len(Journal(built.files, found.study).trials) == 3
    search(built, 2)
    assert len(Journal(built.files, found.study).trials) == 6


def plant(platform: Platform, days_before_the_end: float) -> None:
    """Somebody with a past likes what is new to them, so long before the end of the history."""
    items = load_item_facts(platform.engine)
    until = end_of_day(DAY, platform.settings)
    people = everybody(platform.engine, platform.settings, items, until)
    untouched = sorted(set(range(len(items.item_ids))) - set(people.interactions.items.tolist()))
    somebody = by_time(platform.engine, platform.settings, items, until)
    assert somebody is not None
    at = until - timedelta(days=days_before_the_end)
    item_id = items.item_ids[untouched[0]]
    platform.event_log.append([Event("planted", "like", somebody.user_ids[0], item_id, at)])
    run_pipeline(context_of(platform, DAY), platform.control, last="features")


def test_the_search_never_reads_the_gates_test(
    built: Platform, undisturbed: tuple[Tuned, list[tuple[object, ...]]]
) -> None:
    """An event planted in the gate's window changes no trial, and is in the gate's test."""
    settings = built.settings
    items = load_item_facts(built.engine)
    until = end_of_day(DAY, settings)
    before = by_time(built.engine, settings, items, until)
    plant(built, 2.0)
    after = by_time(built.engine, settings, items, until)
    assert before is not None
    assert after is not None
    assert len(after.truth) > len(before.truth)
    found = search(built, 4)
    assert found.study == undisturbed[0].study
    assert trials_of(built, found) == undisturbed[1]


def test_an_event_before_the_gates_test_makes_another_study(
    built: Platform, undisturbed: tuple[Tuned, list[tuple[object, ...]]]
) -> None:
    """What the search may read matters: results for other data are not taken for these."""
    plant(built, 30.0)
    assert search(built, 1).study != undisturbed[0].study


def test_the_validation_part_lies_before_the_gates_test(built: Platform) -> None:
    """Every touch that the search learns from or asks about is older than the gate's cut."""
    items = load_item_facts(built.engine)
    test = by_time(built.engine, built.settings, items, end_of_day(DAY, built.settings))
    assert test is not None
    assert test.cut_at is not None
    validation = validation_of(test, built.engine, built.settings, items)
    assert validation.cut_at is not None
    assert validation.train.times.max() < validation.cut_at.timestamp()
    assert validation.cut_at.timestamp() <= validation.truth.times.min()
    assert validation.truth.times.max() < test.cut_at.timestamp()


def test_people_held_out_for_the_end_take_no_part_in_the_search(built: Platform) -> None:
    """With a split by people the search neither learns from nor asks the last test's people."""
    found = search(built, 1, by="people")
    assert found.study.startswith("people-")
    assert found.test["people"] > 0


def test_the_winner_is_no_worse_than_any_part_of_it(
    undisturbed: tuple[Tuned, list[tuple[object, ...]]],
) -> None:
    """On the validation part the blend beats its models, and the frontier ends with it."""
    found, _ = undisturbed
    alone = [one.best.value for one in found.searched if one.best is not None]
    assert found.quality >= max(value for value in alone if value is not None) - 1e-9
    assert found.points[-1].quality == max(point.quality for point in found.points)
    costs = [(point.fit_seconds, point.size) for point in found.points]
    assert costs == sorted(costs)
    assert found.winner.blend["popularity"] > 0


def test_what_is_written_loads_and_trains(built: Platform) -> None:
    """`--write` keeps the rest of the file, makes the winner the configured recipe, and it runs."""
    file = built.settings.home / "nextup.toml"
    file.write_text("# ours\n" + file.read_text() + "diversity = 0.2  # tried\n")
    options = ["--date", DAY.isoformat(), "--trials", "2", "--models", "item_item", "--json"]
    command = ["tune", "-C", str(built.settings.home), *options, "--write"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["written"] is True
    assert {one["model"]: one["trials"] for one in document["models"]} == {
        "item_item": 2,
        "popularity": 2,
    }
    assert document["frontier"][-1]["quality"] == document["quality"]
    assert set(document["test"]["difference"]) == {"mean", "low", "high", "p_value", "real"}
    text = file.read_text()
    assert text.startswith("# ours\n")
    assert "diversity = 0.2  # tried" in text
    settings = load_settings(built.settings.home)
    assert settings.recommend.diversity == 0.2
    assert settings.recommend.list_depth == built.settings.recommend.list_depth
    assert settings.blend["trending"] == built.settings.blend["trending"]
    recipe = Recipe.from_settings(settings)
    assert "als" not in recipe.components
    assert recipe == recipe_of_text(text, built.settings)
    with open_platform(settings) as platform:
        run = run_pipeline(context_of(platform, DAY), platform.control)
        assert run.outcome.value == "succeeded"
        model_id = platform.control.models()[0].model_id
        assert recipe_named(model_id, settings, platform.control) == recipe


def test_what_is_printed_is_what_would_be_written(
    undisturbed: tuple[Tuned, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    """The winner's TOML means the winner; an order over its blend is learned when it is trained."""
    found, _ = undisturbed
    tables = tomllib.loads(found.toml)
    assert set(found.winner.components) - set(tables["models"]) <= {"popularity"}
    written = recipe_of_text(found.toml, load_settings(tmp_path))
    assert replace(written, reranker={}) == found.winner


def test_a_model_that_cannot_be_trained_is_left_out_and_said(built: Platform) -> None:
    """Where a model's settings are refused, the search goes on and the reason is kept."""
    broken = built.settings.model_copy(update={"models": {"item_item": {"no_such_setting": 1}}})
    found = tune(
        built.engine,
        built.files,
        broken.model_copy(update={"blend": {"item_item": 0.0, "popularity": 1.0}}),
        load_item_facts(built.engine),
        end_of_day(DAY, built.settings),
        Budget(trials=3),
        only=["item_item"],
    )
    failed = {one.model: one for one in found.searched}["item_item"]
    assert (failed.trials, failed.failed) == (1, 1)
    assert failed.reason
    assert set(found.winner.components) == {"popularity"}


def test_an_unknown_model_is_named(built: Platform) -> None:
    """The error says which models can be searched."""
    with pytest.raises(InvalidInput, match="item_item"):
        search(built, 1, only=["alz"])


def test_a_search_needs_a_budget(built: Platform) -> None:
    """Neither seconds nor trials would never end."""
    with pytest.raises(InvalidInput, match="budget"):
        search(built, 0)


def test_without_optuna_the_cure_is_named(built: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'nextup\[tune\]'"):
        search(built, 1)

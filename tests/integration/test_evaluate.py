"""Evaluation of recipes on a platform: what is measured, and whether a difference is real."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.conftest import DAY
from typer.testing import CliRunner

from nextup.domain.errors import Conflict, InvalidInput, NotFound
from nextup.domain.events import Event
from nextup.entrypoints.cli.app import app
from nextup.entrypoints.cli.context import context_of
from nextup.services.dataset import load_item_facts
from nextup.services.evaluate import evaluate_recipes, hold_out
from nextup.services.held_out import by_last_touches, by_time, everybody
from nextup.services.judge import judge
from nextup.services.pipeline import end_of_day, run_pipeline
from nextup.services.recipe_file import recipe_named
from nextup.services.train import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from nextup.bootstrap import Platform
    from nextup.services.evaluate import Comparison

METRICS = [
    f"{name}@{k}" for name in ("recall", "ndcg", "map", "mrr", "hit_rate") for k in (10, 20, 100)
]
OF_THE_CATALOGUE = ["coverage", "gini", "novelty", "popularity_bias", "intra_list_diversity"]


def compared(platform: Platform, first: str, second: str, by: str = "time") -> Comparison:
    return evaluate_recipes(
        platform.engine,
        platform.settings,
        load_item_facts(platform.engine),
        end_of_day(DAY, platform.settings),
        (first, recipe_named(first, platform.settings, platform.control)),
        (second, recipe_named(second, platform.settings, platform.control)),
        by=by,
    )


def run_cli(platform: Platform, *words: str) -> str:
    command = ["evaluate", "-C", str(platform.settings.home), "--date", DAY.isoformat(), *words]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("by", ["time", "people"])
def test_a_model_does_not_differ_from_itself(built: Platform, by: str) -> None:
    """The same recipe twice: no difference in any metric or segment, and the sentence says so."""
    found = compared(built, "item_item", "item_item", by)
    assert not found.difference.is_real
    assert "No difference" in found.says
    judged = [*found.document["difference"].values()]
    judged += found.document["difference_by_segment"].values()
    assert {(one["mean"], one["p_value"], one["real"]) for one in judged} == {(0.0, 1.0, False)}


def test_a_clearly_better_model_is_said_to_be(built: Platform) -> None:
    """Taste beats popularity, whichever is named first."""
    better = compared(built, "configured", "popularity")
    assert "The difference is real: configured is better than popularity" in better.says
    worse = compared(built, "popularity", "configured")
    assert "The difference is real: popularity is worse than configured" in worse.says
    assert worse.difference.mean == pytest.approx(-better.difference.mean)


def test_everything_is_measured_for_everybody(built: Platform) -> None:
    """All metrics at all cutoffs with intervals, the catalogue's figures, and all segments."""
    at = end_of_day(DAY, built.settings) - timedelta(hours=1)
    built.event_log.append([Event("new", "like", "newcomer", "book:dune-1965", at)])
    run_pipeline(context_of(built, DAY), built.control, last="features")
    document = compared(built, "configured", "popularity").document
    for model in document["models"]:
        assert list(model["metrics"]) == [*METRICS, *OF_THE_CATALOGUE]
        for name in METRICS:
            mean, low, high = model["metrics"][name]
            assert 0 <= low <= mean <= high <= 1
        assert set(model["by_people"]) == {"new", "light", "heavy"}
        assert sum(one["people"] for one in model["by_people"].values()) == document["people"]
    assert {"new people", "light people", "heavy people", "old items"} <= set(
        document["difference_by_segment"]
    )
    json.dumps(document, default=dict)


def test_alone_it_asks_what_the_gate_asks(built: Platform) -> None:
    """Without options the figures are the gate's."""
    printed = json.loads(run_cli(built, "--json"))
    items = load_item_facts(built.engine)
    until = end_of_day(DAY, built.settings)
    verdict = judge(built.engine, built.settings, items, until)
    assert printed["metrics"]["candidate"] == verdict.metrics["candidate"]
    assert printed["reason"] == verdict.reason


def test_a_report_holds_every_metric(built: Platform, tmp_path: Path) -> None:
    """The page and the JSON beside it have all figures; the page needs nothing from elsewhere."""
    file = tmp_path / "reports" / "evaluation.html"
    text = run_cli(built, "--compare", "configured", "item_item", "--report", str(file))
    assert "configured" in text
    page = file.read_text(encoding="utf-8")
    document = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    for name in METRICS:
        assert f">{name}</text>" in page
        assert name in document["models"][0]["metrics"]
        assert f"{document['models'][0]['metrics'][name][0]:.4f}" in page
    for name in OF_THE_CATALOGUE:
        assert f"<td>{document['models'][1]['metrics'][name]:.4f}</td>" in page
    assert page.count("<svg") >= 5
    for outside in ("http:", "https:", "<script", "<link", "@import"):
        assert outside not in page


def test_people_held_out_whole_are_not_learned_from(built: Platform) -> None:
    """Nobody who is asked has a row in what is learned from; known and truth do not overlap."""
    items = load_item_facts(built.engine)
    until = end_of_day(DAY, built.settings)
    held_out = hold_out(built.engine, built.settings, items, until, by="people")
    assert set(held_out.learned_from).isdisjoint(held_out.user_ids)
    assert len(held_out.learned_from) == held_out.train.n_users
    _nothing_is_in_both(held_out)


def test_time_and_last_touches_hide_what_they_ask(built: Platform) -> None:
    """What is asked is unknown to the model, and for a person's last touches later than it."""
    items = load_item_facts(built.engine)
    until = end_of_day(DAY, built.settings)
    cut = by_time(built.engine, built.settings, items, until)
    assert cut is not None
    assert cut.cut_at is not None
    assert cut.train.times.max() < cut.cut_at.timestamp() <= cut.truth.times.min()
    _nothing_is_in_both(cut)
    people = everybody(built.engine, built.settings, items, until)
    last = by_last_touches(people.interactions, people.user_ids)
    assert last is not None
    _nothing_is_in_both(last)
    for row in range(0, len(last), 50):
        assert last.known.history(row).times.max() <= last.truth.history(row).times.min()


def _nothing_is_in_both(held_out) -> None:
    keys = [
        part.users().astype(np.int64) * part.n_items + part.items
        for part in (held_out.known, held_out.truth)
    ]
    assert len(np.intersect1d(*keys)) == 0
    assert held_out.known.n_users == held_out.truth.n_users == len(held_out)


def test_a_recipe_can_be_named_in_four_ways(built: Platform) -> None:
    """The configured one, a model of the registry, a file, one kind of model; else an error."""
    home, settings = built.settings.home, built.settings
    configured = Recipe.from_settings(settings)
    assert recipe_named("configured", settings, built.control) == configured
    model_id = built.control.current_model()
    assert model_id is not None
    assert recipe_named(model_id, settings, built.control).fingerprint == configured.fingerprint
    (home / "ease.toml").write_text(
        "[models.ease]\nregularization = 9.5\n\n[blend]\nease = 1\nals = 0\nitem_item = 0\n"
        "content = 0\n"
    )
    from_file = recipe_named("ease.toml", settings, built.control)
    assert from_file.components["ease"] == {"regularization": 9.5}
    assert set(from_file.components) == {"ease", "popularity"}
    assert recipe_named("item_item", settings, built.control).blend == {"item_item": 1.0}
    with pytest.raises(NotFound, match="nothing-like-it"):
        recipe_named("nothing-like-it", settings, built.control)
    (home / "bad.toml").write_text("[models\n")
    with pytest.raises(InvalidInput, match=r"bad\.toml"):
        recipe_named("bad.toml", settings, built.control)
    with pytest.raises(NotFound, match=r"gone\.toml"):
        recipe_named("gone.toml", settings, built.control)


def test_too_few_people_are_said(built: Platform) -> None:
    """Where nothing can be measured, an error says so instead of a figure."""
    few = built.settings.model_copy(
        update={"gate": built.settings.gate.model_copy(update={"min_people": 100_000})}
    )
    items = load_item_facts(built.engine)
    with pytest.raises(Conflict, match="100000 people"):
        hold_out(built.engine, few, items, end_of_day(DAY, few), by="time")

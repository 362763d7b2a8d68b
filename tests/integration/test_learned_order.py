"""The learned order on a platform: from the events to what is judged, published and served."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pytest
from tests.conftest import DAY, SETTINGS

from nextup.bootstrap import open_platform
from nextup.domain.events import Event, from_microseconds
from nextup.domain.recommendations import Level, Touch
from nextup.domain.tables import OCCURRED_AT, Table
from nextup.entrypoints.cli.context import context_of
from nextup.services import learn_order
from nextup.services.artifacts import load_artifact
from nextup.services.dataset import load_dataset, load_item_facts
from nextup.services.evaluate import evaluate_recipes
from nextup.services.held_out import everybody
from nextup.services.learn_order import ask_the_past, features_of, fit_ranker, past_at
from nextup.services.lists import decides, lists_for
from nextup.services.pipeline import end_of_day, run_pipeline
from nextup.services.publish import make_lists
from nextup.services.recipe_file import recipe_named
from nextup.services.recommend import Recommender
from nextup.services.recommending.explain import ORDER
from nextup.services.recommending.request import Request
from nextup.services.serving_model import ServingModel, build_serving_model
from nextup.services.train import Recipe
from nextup.settings import FILE_NAME, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.algorithms.reranking.examples import Examples
    from nextup.bootstrap import Platform
    from nextup.services.artifacts import Artifact

DAY_SECONDS = 86_400
WEAK = """
[blend]
als = 0.0
item_item = 0.1
content = 0.05
popularity = 1.0
trending = 0.0
"""  # a blend that leaves something to learn


@pytest.fixture(scope="module")
def learned_folder(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample after a run with a weak blend."""
    folder = tmp_path_factory.mktemp("learned") / "platform"
    shutil.copytree(sample_folder, folder)
    (folder / FILE_NAME).write_text(SETTINGS + WEAK, encoding="utf-8")
    with open_platform(load_settings(folder)) as platform:
        run_pipeline(context_of(platform, DAY), platform.control)
    return folder


@pytest.fixture(scope="module")
def platform(learned_folder: Path) -> Iterator[Platform]:
    """Only read here."""
    with open_platform(load_settings(learned_folder)) as platform:
        yield platform


@pytest.fixture
def learned(learned_folder: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy, to do anything with."""
    shutil.copytree(learned_folder, tmp_path / "learned")
    with open_platform(load_settings(tmp_path / "learned")) as platform:
        yield platform


def in_service(platform: Platform) -> Artifact:
    model_id = platform.control.current_model()
    assert model_id is not None
    return load_artifact(platform.files, model_id)


def model_of(platform: Platform) -> ServingModel:
    return build_serving_model(in_service(platform), platform.catalog.all_items())


def recommender(platform: Platform, model: ServingModel) -> Recommender:
    return Recommender(
        state=platform.online_state,
        lists=platform.recommendation_store,
        catalog=platform.catalog,
        model=lambda: model,
        settings=platform.settings,
    )


def active_people(platform: Platform, count: int = 5) -> list[str]:
    pairs = platform.lake.scan(Table.USER_ITEM).collect()
    return pairs["user_id"].value_counts(sort=True)["user_id"].to_list()[:count]


def test_a_run_learns_judges_and_says_so(platform: Platform) -> None:
    """The order is in the artifact with its proof and what it looks at; the gate measured it, and
    beside it the blend alone; the output of the run names all this."""
    artifact = in_service(platform)
    assert decides(artifact.ranker, artifact.blend)
    record = platform.control.model(artifact.model_id)
    assert record is not None
    told = record.metrics["reranker"]
    assert told["learned"]
    assert told["questions"] >= platform.settings.reranker.min_questions
    assert told["reason"].startswith("learned ")
    assert "against the fixed blend on" in told["reason"]
    assert record.metrics["reranker_in_the_test"]["learned"]
    means = [record.metrics[name]["ndcg@10"][0] for name in ("candidate", "fixed_blend")]
    assert record.metrics["over_fixed_blend"]["mean"] == pytest.approx(
        means[0] - means[1], abs=1e-4
    )
    assert means[0] > means[1]
    (run,) = platform.control.runs(1)
    (train,) = [step for step in run.steps if step.step == "train"]
    assert f"order: {told['reason']}" in train.message


def test_the_same_input_gives_the_same_order(learned: Platform) -> None:
    """Trained again from the same events, every array is equal to the last bit, whatever the
    threads."""
    artifact = in_service(learned)
    settings = learned.settings.model_copy(update={"threads": 1})
    items = load_item_facts(learned.engine)
    people = everybody(learned.engine, settings, items, end_of_day(DAY, settings))
    recipe = Recipe.from_settings(settings)
    events = learned.engine.scan(Table.INTERACTIONS)
    again = fit_ranker(learned.engine, settings, recipe, events, people.interactions, items)
    assert again.ranker is not None
    assert artifact.ranker is not None
    stored = artifact.ranker.arrays()
    for name, values in again.ranker.arrays().items():
        np.testing.assert_array_equal(stored[name], values, err_msg=name)


def test_published_lists_follow_the_learned_order(platform: Platform) -> None:
    """The table holds what the stored ranker orders, not what the blend would; of the same
    candidates, and never what a person has touched."""
    artifact = in_service(platform)
    people = load_dataset(platform.engine, platform.engine.scan(Table.USER_ITEM), artifact.item_ids)
    depth = platform.settings.recommend.list_depth
    given = {"candidates": platform.settings.recommend.candidates, "unwanted": people.indifferent}
    parts = (artifact.components, artifact.blend)
    ours, names = lists_for(*parts, artifact.ranker, people.interactions, depth, **given)
    plain, _ = lists_for(*parts, None, people.interactions, depth, **given)
    moved = (ours.ranking.items != plain.ranking.items).any(axis=1)
    assert moved.mean() > 0.9
    listed = platform.lake.scan(Table.RECOMMENDATIONS).sort("user_id", "rank").collect()
    for row in range(0, len(people.user_ids), 37):
        mine = listed.filter(listed["user_id"] == people.user_ids[row])
        rows = ours.ranking.items[row]
        expected = [artifact.item_ids[item] for item in rows if item >= 0]
        assert mine["item_id"].to_list() == expected
        assert mine["source"].to_list() == [names[place] for place in ours.sources[row]]
        assert mine["score"].is_sorted(descending=True)


def test_who_has_no_past_keeps_the_blend(learned: Platform) -> None:
    """Somebody who only dismissed is listed by popularity, without what they dismissed."""
    worst = learned.lake.scan(Table.RECOMMENDATIONS).collect()["item_id"].mode()[0]
    learned.event_log.append(
        [Event("no", "dismiss", "grump", worst, end_of_day(DAY, learned.settings))]
    )
    late = context_of(learned, DAY + timedelta(days=1))
    run_pipeline(late, learned.control, last="features")
    make_lists(learned.engine, in_service(learned), learned.settings)
    lists = learned.lake.scan(Table.RECOMMENDATIONS).collect()
    mine = lists.filter(lists["user_id"] == "grump")
    assert len(mine) == learned.settings.recommend.list_depth
    assert worst not in set(mine["item_id"])
    assert set(mine["source"]) == {"popularity"}


def test_served_lists_follow_the_learned_order(platform: Platform) -> None:
    """What one person is served begins like what was published for them, and unlike the blend;
    the scores are the blend's own, given out anew."""
    model = model_of(platform)
    blend_alone = replace(model, ranker=None)
    moved = 0
    for user_id in active_people(platform):
        request = Request(user_id=user_id, diversity=0.0)
        served = recommender(platform, model).rank(request)
        plain = recommender(platform, blend_alone).rank(request)
        assert served.level is Level.FRESH
        published = platform.recommendation_store.read(user_id)
        assert published is not None
        ours = [place.item_id for place in served.items][:10]
        same = sum(a == b.item_id for a, b in zip(ours, published.items, strict=False))
        assert same >= 8  # a second later, so ages differ by a hair
        moved += ours != [place.item_id for place in plain.items][:10]
        scores = [place.score for place in served.items]
        assert scores == sorted(scores, reverse=True)
        assert scores[:10] == pytest.approx([place.score for place in plain.items][:10], rel=1e-4)
    assert moved >= 4


def test_explanations_stay_true(platform: Platform) -> None:
    """A score is the sum of its parts; each source's part is what that source said, whatever the
    order, and what the order added or took stands beside it; own items are named as before."""
    model = model_of(platform)
    (user_id,) = active_people(platform, 1)
    request = Request(user_id=user_id, diversity=0.0)
    served = recommender(platform, model).rank(request)
    plain = {
        place.item_id: place
        for place in recommender(platform, replace(model, ranker=None)).rank(request).items
    }
    assert any(ORDER in place.sources for place in served.items)
    both = [place for place in served.items if place.item_id in plain]
    assert len(both) >= 5
    for place in both:
        before = plain[place.item_id]
        own = {name: part for name, part in place.sources.items() if name != ORDER}
        assert own == pytest.approx(before.sources)
        assert place.source == before.source
        assert place.because == before.because
        assert sum(place.sources.values()) == pytest.approx(place.score, rel=1e-5)
        assert not place.rules  # nothing was lifted: this is the order by score


def test_rules_act_on_the_learned_order(platform: Platform) -> None:
    """What is excluded, and what the person has seen, is in no place; a pin still comes first."""
    model = model_of(platform)
    (user_id,) = active_people(platform, 1)
    first, second, third = (
        place.item_id
        for place in recommender(platform, model).rank(Request(user_id=user_id)).items[:3]
    )
    served = recommender(platform, model).rank(
        Request(user_id=user_id, exclude=(first,), pinned=(third,))
    )
    ids = [place.item_id for place in served.items]
    assert ids[0] == third
    assert first not in ids
    assert second in ids
    touched = {touch.item_id for touch in platform.online_state.history(user_id)}
    assert not touched & set(ids)


def test_an_anonymous_history_is_ordered_too(platform: Platform) -> None:
    """A few touches sent along are a history like any other."""
    model = model_of(platform)
    touches = tuple(
        Touch(item_id, "like", None, 1_774_000_000_000_000 + place, place)
        for place, item_id in enumerate(model.items.ids[:3])
    )
    served = recommender(platform, model).rank(Request(touches=touches))
    assert served.level is Level.FRESH
    assert any(ORDER in place.sources for place in served.items)


def questions(platform: Platform, moment: int, horizon: int, events: Any) -> Examples:
    items = load_item_facts(platform.engine)
    recipe = Recipe.from_settings(platform.settings)
    features = features_of(recipe, items)
    past = past_at(platform.engine, platform.settings, items, events, moment, horizon)
    return ask_the_past(past, platform.settings, recipe, items, features)


def test_no_question_sees_the_future(learned: Platform) -> None:
    """Whatever happens after a question's days leaves it as it is, to the last bit; what happens
    within them changes answers, and never what the ranker looks at."""
    end = int(end_of_day(DAY, learned.settings).timestamp())
    moment, horizon = end - 14 * DAY_SECONDS, 7 * DAY_SECONDS
    events = learned.engine.scan(Table.INTERACTIONS)
    before = questions(learned, moment, horizon, events)
    assert before.labels.any()
    wanted = learned.lake.scan(Table.INTERACTIONS).collect()
    users = wanted["user_id"].unique(maintain_order=True).to_list()
    items = wanted["item_id"].value_counts(sort=True)["item_id"].to_list()[:50]

    def happens(at: int, name: str) -> None:
        when = from_microseconds(at * 1_000_000)
        learned.event_log.append(
            [
                Event(f"{name}{n}-{m}", "like", users[n], items[(n + 7 * m) % 50], when)
                for n in range(200)
                for m in range(3)
            ]
        )
        run_pipeline(context_of(learned, DAY), learned.control, last="refine")

    happens(moment + horizon, "later")  # the first second that is none of the question's
    after = questions(learned, moment, horizon, learned.engine.scan(Table.INTERACTIONS))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)

    happens(moment, "answer")
    answered = questions(learned, moment, horizon, learned.engine.scan(Table.INTERACTIONS))
    asked = np.isin(answered.users, before.users)
    assert answered.wanted.sum() > before.wanted.sum()
    same = answered.only(asked)
    np.testing.assert_array_equal(same.features, before.features)
    assert same.labels.sum() > before.labels.sum()

    happens(moment - 1, "past")  # and the last second before it is seen
    known = questions(learned, moment, horizon, learned.engine.scan(Table.INTERACTIONS))
    assert (
        known.features.shape != before.features.shape or (known.features != before.features).any()
    )


def test_a_touch_that_is_repeated_later_stays_in_the_past(learned: Platform) -> None:
    """A pair touched before the moment and again after it is known at the moment, as of its first
    touch: a merged pair cut by its last touch would have lost it."""
    end = int(end_of_day(DAY, learned.settings).timestamp())
    moment, horizon = end - 14 * DAY_SECONDS, 7 * DAY_SECONDS
    items = load_item_facts(learned.engine)
    settings = learned.settings

    def past() -> Any:
        events = learned.engine.scan(Table.INTERACTIONS)
        return past_at(learned.engine, settings, items, events, moment, horizon).known

    before = past()
    touched = before.interactions
    row = int(np.flatnonzero(np.diff(touched.indptr) > 0)[0])
    own = touched.history(row)
    again = from_microseconds((moment + 5) * 1_000_000)
    learned.event_log.append(
        [
            Event(f"again{n}", "view", before.user_ids[row], items.item_ids[item], again)
            for n, item in enumerate(own.items.tolist())
        ]
    )
    run_pipeline(context_of(learned, DAY), learned.control, last="refine")
    after = past()
    for name in ("indptr", "items", "weights", "times"):
        np.testing.assert_array_equal(getattr(after.interactions, name), getattr(touched, name))
    assert list(after.user_ids) == list(before.user_ids)


def order_of(platform: Platform, **reranker: object) -> learn_order.LearnedOrder:
    changed = platform.settings.reranker.model_copy(update=reranker)
    settings = platform.settings.model_copy(update={"reranker": changed})
    items = load_item_facts(platform.engine)
    people = everybody(platform.engine, settings, items, end_of_day(DAY, settings))
    events = platform.engine.scan(Table.INTERACTIONS)
    recipe = Recipe.from_settings(settings)
    return fit_ranker(platform.engine, settings, recipe, events, people.interactions, items)


def test_of_a_long_history_some_people_teach(platform: Platform) -> None:
    """With more events than `touches` whole people are drawn, as many as fit, the same ones every
    time, and the latest moment alone is asked about; the other events still say when it ends."""
    events = platform.engine.scan(Table.INTERACTIONS)
    recipe = Recipe.from_settings(platform.settings)
    whole = learn_order.draw(platform.engine, events, recipe, seed=1)
    assert whole.moments == platform.settings.reranker.moments
    most = len(whole.times) // 3
    small = replace(recipe, reranker={**recipe.reranker, "touches": most})
    some = learn_order.draw(platform.engine, events, small, seed=1)
    again = learn_order.draw(platform.engine, events, small, seed=1)
    assert some.moments == 1
    assert some.ends_at == whole.ends_at
    kept, every = (nw.to_native(each.events).collect() for each in (some, whole))
    assert most * 0.9 < len(kept) <= most
    counts = every["user_id"].value_counts()
    assert kept["user_id"].value_counts().join(counts, on=["user_id", "count"]).height == len(
        kept["user_id"].unique()
    )
    assert kept.sort("event_id").equals(nw.to_native(again.events).collect().sort("event_id"))
    older = replace(recipe, reranker={k: v for k, v in recipe.reranker.items() if k != "touches"})
    assert learn_order.draw(platform.engine, events, older, seed=1).moments == whole.moments


def test_what_is_switched_off_says_so(platform: Platform) -> None:
    """`mode = "off"` is another recipe, in the blend's order, for the reason that was set."""
    order = order_of(platform, mode="off")
    assert order.ranker is None
    assert order.reason == "the fixed blend: [reranker] mode is off"
    off = platform.settings.reranker.model_copy(update={"mode": "off"})
    settings = platform.settings.model_copy(update={"reranker": off})
    recipes = [Recipe.from_settings(each) for each in (platform.settings, settings)]
    assert recipes[0].fingerprint != recipes[1].fingerprint
    assert recipes[0].blend == recipes[1].blend


def test_too_little_to_learn_from_trains_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where too few people come back no model is trained for the order's sake."""

    def refuse(*args: object, **given: object) -> None:
        raise AssertionError("trained for nothing")

    monkeypatch.setattr(learn_order, "fit_all", refuse)
    order = order_of(platform, min_questions=10**6)
    assert order.ranker is None
    assert "too few people come back" in order.reason


def test_without_lightgbm_the_blend_serves(
    learned: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run succeeds and says what to install; installing it makes another model of the day."""
    before = learned.control.current_model()
    monkeypatch.setattr(learn_order, "find_spec", lambda name: None)
    run = run_pipeline(context_of(learned, DAY), learned.control)
    (train,) = [step for step in run.steps if step.step == "train"]
    assert "order: the fixed blend: LightGBM is not installed" in train.message
    assert "pip install 'nextup[ranker]'" in train.message
    after = learned.control.current_model()
    assert after != before
    assert in_service(learned).ranker is None
    monkeypatch.undo()
    run_pipeline(context_of(learned, DAY), learned.control)
    assert learned.control.current_model() == before


def test_a_ranker_decides_only_over_its_own_blend(platform: Platform) -> None:
    """With other weights than those it learned over, the blend's order stays."""
    artifact = in_service(platform)
    assert decides(artifact.ranker, artifact.blend)
    assert not decides(artifact.ranker, {**artifact.blend, "content": 0.9})
    assert not decides(None, artifact.blend)


def test_the_order_can_be_compared_with_the_blend(learned: Platform) -> None:
    """A TOML file that says nothing but `mode = "off"` beside the same blend is a recipe; the
    comparison measures each as it would serve, and its document says what decided."""
    home = learned.settings.home
    (home / "plain.toml").write_text(
        f'{SETTINGS}{WEAK}\n[reranker]\nmode = "off"\n', encoding="utf-8"
    )
    recipes = [
        (name, recipe_named(name, learned.settings, learned.control))
        for name in ("configured", "plain.toml")
    ]
    assert recipes[1][1].reranker == {}
    found = evaluate_recipes(
        learned.engine,
        learned.settings,
        load_item_facts(learned.engine),
        end_of_day(DAY, learned.settings),
        *recipes,
    )
    first, second = found.document["models"]
    assert first["reranker"]["learned"]
    assert not second["reranker"]["learned"]
    assert found.difference.mean > 0
    by_people = evaluate_recipes(
        learned.engine,
        learned.settings,
        load_item_facts(learned.engine),
        end_of_day(DAY, learned.settings),
        *recipes,
        by="people",
    )
    assert by_people.difference.mean == 0
    assert "people" in by_people.document["models"][0]["reranker"]["reason"]


def test_nothing_later_than_the_day_is_learned_from(learned: Platform) -> None:
    """Training reads the events up to the end of the day, and gives the same model and order."""
    before = in_service(learned)
    after = end_of_day(DAY, learned.settings) + timedelta(hours=1)
    learned.event_log.append(
        [Event(f"f{n}", "like", f"u{n % 40}", "book:dune-1965", after) for n in range(200)]
    )
    run_pipeline(context_of(learned, DAY), learned.control)
    again = in_service(learned)
    assert again.ranker is not None
    assert before.ranker is not None
    stored = before.ranker.arrays()
    for name, values in again.ranker.arrays().items():
        np.testing.assert_array_equal(stored[name], values, err_msg=name)


def test_events_of_a_running_day_are_cut(platform: Platform) -> None:
    """Statistics and moments come from the last event that may be read, not from the clock."""
    artifact = in_service(platform)
    assert artifact.ranker is not None
    events = platform.engine.scan(Table.INTERACTIONS)
    until = end_of_day(DAY, platform.settings)
    times = platform.engine.arrays(events.filter(nw.col(OCCURRED_AT) < until).select(OCCURRED_AT))[
        OCCURRED_AT
    ]
    assert artifact.ranker.statistics.moment == int(times.max()) // 1_000_000 + 1

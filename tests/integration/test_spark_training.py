"""Factor models that Spark trains: the same component, the same artifact, equally good lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.conftest import DAY
from tests.spark_world import STARTING_SECONDS

from nextup.algorithms.evaluation.evaluate import rank_everyone
from nextup.algorithms.evaluation.metrics import ndcg
from nextup.algorithms.evaluation.splits import random_holdout
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models.als import ImplicitALS
from nextup.algorithms.models.explicit_als import ExplicitALS, RatingModel
from nextup.algorithms.models.factor_model import FactorModel
from nextup.bootstrap import open_platform
from nextup.domain.tables import USER_ID, Table
from nextup.entrypoints.cli.context import context_of
from nextup.services.artifacts import load_artifact
from nextup.services.dataset import load_dataset, load_item_facts
from nextup.services.factorize import fit_with
from nextup.services.pipeline import end_of_day, run_pipeline
from nextup.services.publish import make_lists
from nextup.services.trials import Budget
from nextup.services.tune import tune
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextup.algorithms.components import Fitted
    from nextup.algorithms.evaluation.splits import Split
    from nextup.bootstrap import Platform
    from nextup.ports.engine import Engine, Factorization

pytestmark = pytest.mark.timeout(STARTING_SECONDS)

PEOPLE, ITEMS, TASTES = 2500, 400, 8
TOLERANCE = 0.005  # of NDCG@10, on the same split


@pytest.fixture
def on_spark(built: Platform, spark: dict[str, Any]) -> Iterator[Platform]:
    """The built platform with its engine on Spark."""
    few = {"reranker": {"mode": "off"}, "models": {"als": {"factors": 16, "iterations": 4}}}
    few["blend"] = {"als": 1.0, "popularity": 0.1}
    with open_platform(load_settings(built.settings.home, **spark, **few)) as platform:
        yield platform


@pytest.fixture(scope="module")
def split() -> Split:
    """What people with a few clear tastes touched, a fifth of it hidden; the weights are stars."""
    rng = np.random.default_rng(5)
    people = rng.dirichlet(np.full(TASTES, 0.2), PEOPLE)
    items = rng.dirichlet(np.full(TASTES, 0.2), ITEMS)
    liking = people @ items.T  # (PEOPLE, ITEMS) 0..1
    chosen = np.log(liking + 0.02) + 0.3 * rng.gumbel(size=liking.shape)
    users, rows = np.nonzero(chosen > np.quantile(chosen, 0.93, axis=1, keepdims=True))
    noise = 0.3 * rng.standard_normal(len(users))
    stars = np.clip(np.round(2 * (1 + 4 * liking[users, rows] + noise)) / 2, 0.5, 5)
    touches = Interactions.from_pairs(users, rows, stars, n_users=PEOPLE, n_items=ITEMS)
    return random_holdout(touches, rng=rng, share=0.2)


def quality(fitted: Fitted, split: Split) -> float:
    return float(ndcg(rank_everyone(fitted, split.train, 10), split.truth, 10).mean())


@pytest.mark.parametrize(
    "component",
    [
        ImplicitALS(factors=16, keep_users=False),
        ImplicitALS(factors=8, regularization=2.0, frequency_exponent=0.0, keep_users=False),
    ],
    ids=["by frequency", "constant"],
)
def test_spark_finds_lists_as_good(
    on_spark: Platform, split: Split, component: ImplicitALS
) -> None:
    """NDCG@10 of the model that Spark trained is that of the local one, within .005."""
    here = fit_with(None, component, split.train, seed=1)
    there = fit_with(on_spark.engine, component, split.train, seed=1)
    assert isinstance(there, FactorModel)
    assert quality(here, split) > 0.1  # there is something to find
    assert quality(there, split) == pytest.approx(quality(here, split), abs=TOLERANCE)


def test_spark_predicts_stars_as_well(on_spark: Platform, split: Split) -> None:
    """The error of predicted stars is that of the local model, within a twentieth."""
    component = ExplicitALS(factors=8, regularization=0.1)
    errors = []
    for engine in (None, on_spark.engine):
        fitted = fit_with(engine, component, split.train, seed=1)
        assert isinstance(fitted, RatingModel)
        errors.append(_error(fitted, split))
    assert errors[1] < 0.9 * split.truth.weights.std()  # better than saying the mean
    assert errors[1] == pytest.approx(errors[0], rel=0.05)


def _error(fitted: RatingModel, split: Split) -> float:
    found = []
    for user in range(200):
        hidden = split.truth.history(user)
        stars = fitted.predict(split.train.history(user), hidden.items)
        found.append(stars - hidden.weights)
    return float(np.sqrt(np.mean(np.concatenate(found) ** 2)))


def test_the_same_seed_gives_the_same_model(on_spark: Platform, split: Split) -> None:
    """Trained twice, an item is as near to another as before, but for rounding."""
    component = ImplicitALS(factors=8, iterations=3, keep_users=False)
    twice = [fit_with(on_spark.engine, component, split.train, seed=3) for _ in range(2)]
    first, second = (fitted.score(split.train.history(0)) for fitted in twice)
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_nobody_can_tell_which_engine_trained(on_spark: Platform, built: Platform) -> None:
    """The pipeline's artifact is read, explained and listed from by a platform without Spark."""
    run_pipeline(context_of(on_spark, DAY), on_spark.control, first="train", last="train")
    newest = on_spark.control.models()[0]
    assert newest.lineage["engine"] == "spark"
    assert newest.model_id != built.control.current_model()  # another model, another id
    artifact = load_artifact(built.files, newest.model_id)
    fitted = artifact.components["als"]
    assert isinstance(fitted, FactorModel)
    assert fitted.factors == on_spark.settings.models["als"]["factors"]
    made = make_lists(built.engine, artifact, built.settings)
    touched = built.lake.scan(Table.USER_ITEM).select(USER_ID).unique().collect()
    assert made.lists == len(touched)
    history = load_dataset(
        built.engine, built.engine.scan(Table.USER_ITEM), artifact.item_ids
    ).interactions.history(0)
    parts = fitted.contributions(history, np.arange(5, dtype=np.int32))
    np.testing.assert_allclose(parts.sum(axis=0), fitted.score(history)[:5], atol=1e-3)


def test_a_search_asks_what_came_later(on_spark: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tune` trains its trials on Spark, on a past alone, and asks about the days after it."""
    trained: list[Factorization] = []
    engine = _watched(on_spark.engine, trained.append, monkeypatch)
    found = tune(
        engine,
        on_spark.files,
        on_spark.settings,
        load_item_facts(engine),
        end_of_day(DAY, on_spark.settings),
        Budget(trials=1),
        only=["als"],
    )
    assert found.validation.startswith("since ")
    assert {one.model: one.failed for one in found.searched} == {"popularity": 0, "als": 0}
    touches = [len(problem.values) for problem in trained]
    # the trial knew less than the models that the gate's test was asked of
    assert len(touches) >= 2
    assert touches[0] < max(touches)
    assert found.quality > 0


def _watched(
    engine: Engine, watch: Callable[[Factorization], None], monkeypatch: pytest.MonkeyPatch
) -> Any:
    real = engine.factorize  # type: ignore[attr-defined]

    def factorize(problem: Factorization, seed: int) -> Any:
        watch(problem)
        return real(problem, seed)

    monkeypatch.setattr(engine, "factorize", factorize)
    return engine

"""Models that an engine trains by itself: what it is asked, and what becomes of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models.als import ImplicitALS
from nextup.algorithms.models.explicit_als import ExplicitALS, RatingModel
from nextup.algorithms.models.factor_model import FactorModel, Objective
from nextup.algorithms.models.popularity import Popularity
from nextup.services.factorize import fit_with, trainer

if TYPE_CHECKING:
    from nextup.ports.engine import Engine, Factorization

PEOPLE, ITEMS = 40, 15


class Trainer:
    """An engine that solves what it is asked by the book, densely, and knows no item that nobody
    touched."""

    name = "book"

    def __init__(self) -> None:
        self.asked: list[Factorization] = []

    def factorize(self, problem: Factorization, seed: int) -> tuple[Any, Any]:
        self.asked.append(problem)
        values = np.zeros((PEOPLE, ITEMS))
        seen = np.zeros((PEOPLE, ITEMS), bool)
        values[problem.users, problem.items] = problem.values
        seen[problem.users, problem.items] = True
        if problem.alpha is None:
            weights, targets = seen.astype(float), values
        else:
            weights, targets = 1 + problem.alpha * values, seen.astype(float)
        y = np.random.default_rng(seed).standard_normal((ITEMS, problem.factors))
        for _ in range(problem.iterations):
            x = _solved(weights, targets, y, problem.regularization * seen.sum(axis=1))
            y = _solved(weights.T, targets.T, x, problem.regularization * seen.sum(axis=0))
        touched = np.unique(problem.items)
        return touched, y[touched].astype(np.float32)


def _solved(weights: Any, targets: Any, fixed: Any, ridges: Any) -> Any:
    """Each row's least squares against the fixed side; (rows, factors)."""
    return np.stack(
        [
            np.linalg.solve(
                (fixed.T * w) @ fixed + (ridge + 1e-9) * np.eye(fixed.shape[1]), fixed.T @ (w * p)
            )
            for w, p, ridge in zip(weights, targets, ridges, strict=True)
        ]
    )


def as_engine(trainer: Trainer) -> Engine:
    return trainer  # type: ignore[return-value]


@pytest.fixture
def touches() -> Interactions:
    """Two tastes of half the items each; the last item is nobody's."""
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(PEOPLE), 5)
    half = (ITEMS - 1) // 2
    items = np.concatenate(
        [rng.choice(half, 5, replace=False) + half * (user % 2) for user in range(PEOPLE)]
    )
    stars = np.where(rng.random(len(users)) < 0.5, 4.5, 2.0)
    return Interactions.from_pairs(users, items, stars, n_users=PEOPLE, n_items=ITEMS)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_products_survive_the_turn(factors: int, n_items: int, seed: int) -> None:
    """In the basis of the model, items are as near to each other as they were."""
    vectors = np.random.default_rng(seed).standard_normal((n_items, factors), np.float32)
    model = FactorModel.of_items(vectors, Objective(0.1, 0.1, 1.0, False))
    found = model.item_vectors @ model.item_vectors.T
    np.testing.assert_allclose(found, vectors @ vectors.T, atol=1e-3)
    gram = model.item_vectors.T @ model.item_vectors
    np.testing.assert_allclose(gram, np.diag(model.spectrum), atol=1e-3)


def test_an_engine_trains_what_it_is_able_to(touches: Interactions) -> None:
    """It is asked the component's problem, and people find their own half in its answer."""
    engine = Trainer()
    component = ImplicitALS(factors=4, iterations=5, unobserved_weight=0.25, keep_users=False)
    fitted = fit_with(as_engine(engine), component, touches, seed=1)
    (asked,) = engine.asked
    assert isinstance(fitted, FactorModel)
    assert (asked.factors, asked.iterations, asked.alpha) == (4, 5, 4.0)
    assert asked.regularization > 0
    half = (ITEMS - 1) // 2
    for user in range(PEOPLE):
        scores = fitted.score(touches.history(user))
        own = slice(half * (user % 2), half * (user % 2) + half)
        other = slice(half * (1 - user % 2), half * (1 - user % 2) + half)
        assert scores[own].mean() > scores[other].mean() + 0.1
    assert not fitted.item_vectors[ITEMS - 1].any()  # nobody touched it


def test_a_constant_ridge_is_given_per_touch(touches: Interactions) -> None:
    """The engine's one L2 weight makes, in the mean, the ridge that the component has."""
    component = ImplicitALS(regularization=3.0, frequency_exponent=0.0, unobserved_weight=0.5)
    asked = component.asks(touches)
    items = len(np.unique(touches.items))
    per_person, per_item = len(touches) / PEOPLE, len(touches) / items
    expected = 3.0 / 0.5 / np.sqrt(per_person * per_item)
    assert asked.regularization == pytest.approx(expected, rel=1e-5)


def test_stars_are_predicted_over_the_biases(touches: Interactions) -> None:
    """What the engine factorises is what mean and biases leave; the model adds them again."""
    engine = Trainer()
    component = ExplicitALS(factors=2, regularization=0.1, iterations=5)
    fitted = fit_with(as_engine(engine), component, touches, seed=1)
    (asked,) = engine.asked
    assert isinstance(fitted, RatingModel)
    assert asked.alpha is None
    assert abs(float(asked.values.mean())) < 0.2
    predicted = [fitted.predict(touches.history(u), touches.history(u).items) for u in range(10)]
    actual = [touches.history(user).weights for user in range(10)]
    error = np.concatenate(predicted) - np.concatenate(actual)
    assert np.sqrt((error**2).mean()) < touches.weights.std()


def test_other_models_are_trained_here(touches: Interactions) -> None:
    """An engine is not asked for what it cannot train; one without the ability, for nothing."""
    engine = Trainer()
    fitted = fit_with(as_engine(engine), Popularity(), touches, seed=1)
    assert fitted.name == "popularity"
    assert not engine.asked
    here = fit_with(None, ImplicitALS(factors=4), touches, seed=1)
    assert isinstance(here, FactorModel)
    assert here.user_vectors is not None


def test_an_identity_names_the_engine_that_trained() -> None:
    """The local engine is in no model's id, so that ids stay as they were."""

    class Local:
        name = "local"

    assert trainer(as_engine(Trainer())) == ("book",)
    assert trainer(Local()) == ()  # type: ignore[arg-type]


def test_progress_is_told_at_both_ends(touches: Interactions) -> None:
    """An engine counts no epochs: none is done, then all are."""
    told: list[tuple[int, int]] = []
    component = ImplicitALS(factors=2, iterations=3)
    fit_with(
        as_engine(Trainer()),
        component,
        touches,
        seed=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(0, 3), (3, 3)]

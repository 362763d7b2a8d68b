"""Factor models trained by the engine, where it can: the same component, the same artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms.components import LearnsElsewhere
from nextup.ports.engine import Factorization, SupportsFactorization

if TYPE_CHECKING:
    from nextup.algorithms.components import Component, Fitted, Progress
    from nextup.algorithms.interactions import Interactions
    from nextup.ports.engine import Engine, Kept


def trainer(engine: Engine) -> tuple[str, ...]:
    """What an identity of trained models has to hold beside the recipe: the engine that trains
    by itself; nothing where this process does."""
    return (engine.name,) if isinstance(engine, SupportsFactorization) else ()


def fit_with(
    engine: Engine | None,
    component: Component,
    interactions: Interactions,
    *,
    seed: int,
    warm_start: Fitted | None = None,
    progress: Progress | None = None,
    kept: Kept | None = None,
) -> Fitted:
    """Fit the component on the engine where both are able to, else in this process. Such an
    engine keeps the model in its own form, too, where `kept` says so.

    An engine of its own begins at random and counts no epochs: a warm start is ignored, and
    progress is told at the beginning and at the end.
    """
    if not (isinstance(engine, SupportsFactorization) and isinstance(component, LearnsElsewhere)):
        return component.fit(interactions, seed=seed, warm_start=warm_start, progress=progress)
    asked = component.asks(interactions)
    problem = Factorization(
        interactions.users(),
        interactions.items,
        asked.values,
        asked.factors,
        asked.iterations,
        asked.regularization,
        asked.alpha,
        kept,
    )
    if progress is not None:
        progress(0, asked.iterations)
    items, found = engine.factorize(problem, seed)
    vectors = np.zeros((interactions.n_items, asked.factors), np.float32)
    vectors[items] = found
    if progress is not None:
        progress(asked.iterations, asked.iterations)
    return component.answered(interactions, vectors)

"""Reasons are honest: checked against real models, trained on people with clear tastes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.services.serving_world import NOW, World, make_items

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models import by_name as models
from nextup.domain.recommendations import Touch
from nextup.services.artifacts import Artifact
from nextup.services.recommending import sources
from nextup.services.recommending.blend import blend
from nextup.services.recommending.explain import because, contributions
from nextup.services.recommending.history import in_rows, weigh
from nextup.services.recommending.request import Request
from nextup.services.serving_model import ServingModel, build_serving_model
from nextup.settings import BLEND

TASTES = 4


@pytest.fixture(scope="module")
def model() -> ServingModel:
    rng = np.random.default_rng(3)
    items = make_items(80)
    people = np.repeat(np.arange(150), 10)
    tastes = np.where(rng.random(len(people)) < 0.85, people % TASTES, rng.integers(0, TASTES))
    rows = rng.integers(0, len(items) // TASTES, len(people)) * TASTES + tastes
    interactions = Interactions.from_pairs(people, rows, n_users=150, n_items=len(items))
    fitted = {
        name: models.component(name, **settings).fit(interactions, seed=3)
        for name, settings in {
            "popularity": {},
            "als": {"factors": 16, "threads": 1},
            "item_item": {"neighbours": 30, "threads": 1},
        }.items()
    }
    ids = [item.item_id for item in items]
    return build_serving_model(Artifact("m", NOW, ids, fitted, {}, {}, BLEND), items)


def likes(*item_ids: str) -> tuple[Touch, ...]:
    return tuple(Touch(item_id, "like", None, n, n) for n, item_id in enumerate(item_ids))


def blended_for(model, world, touches):
    history = in_rows(model, weigh(touches, world.settings, NOW))
    opinions = sources.personal(model, history)
    return history, blend(opinions, model.items.available)


@pytest.mark.parametrize(
    "liked", [("i000",), ("i000", "i004", "i013"), ("i003", "i007", "i022", "i041")]
)
def test_what_the_touches_gave_adds_up_to_the_score(model, liked):
    """For every item the touches' contributions add up to the part that the personal sources
    gave it, so that a share is a share of the real score."""
    history, blended = blended_for(model, World(), likes(*liked))
    rows = np.flatnonzero((np.array([s.scores for s in blended.sources]) >= 0).all(axis=0))
    rows = rows.astype(np.int32)
    given = contributions(model, blended, rows, history).sum(axis=0)
    np.testing.assert_allclose(given, blended.total[rows], rtol=1e-3, atol=1e-4)


def test_without_the_first_reason_the_score_falls(model):
    """For each of the best places: what the sources say about it is less when the item named
    first in its reasons was never touched, and falls further than without the last one."""
    world = World()
    liked = ("i000", "i008", "i013", "i022", "i047")
    history, blended = blended_for(model, world, likes(*liked))
    best = np.argsort(-np.where(np.isin(np.arange(80), history.items), -1, blended.total))[:10]
    rows = best.astype(np.int32)
    given = contributions(model, blended, rows, history)
    for column, reasons in enumerate(because(model, blended, rows, history)):
        first = reasons[0].item_id
        weakest = model.items.ids[history.items[given[:, column].argmin()]]

        def score(missing, row=rows[column]):
            rest = likes(*(item_id for item_id in liked if item_id != missing))
            _, without = blended_for(model, world, rest)
            raw = zip(without.sources, blended.scales, strict=True)  # on the same scale as before
            return sum(max(source.scores[row], 0) * scale for source, scale in raw)

        assert score(first) < blended.total[rows[column]]
        assert score(first) < score(weakest) + 1e-6


def test_a_taste_brings_its_own_kind(model):
    """Somebody who likes one taste gets that taste, because of it."""
    world = World()
    world.model = model
    served = world.recommender().rank(Request(touches=likes("i000", "i004", "i008"), diversity=0.0))
    best = served.items[:5]
    assert all(int(place.item_id[1:]) % TASTES == 0 for place in best)
    assert all(place.because[0].item_id in {"i000", "i004", "i008"} for place in best)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models import by_name as models
from nextup.algorithms.models.blend_weights import fit_weights
from nextup.algorithms.models.blending import Blend, BlendModel, Part, blend_scores, rescaled
from nextup.algorithms.models.popularity import Popularity, PopularityModel
from nextup.domain.errors import InvalidInput

PARTS = (Part("popularity", 1.0), Part("spectral", 2.0, {"factors": 4}))


def random_touches(seed=0):
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(
        rng.integers(0, 30, 400), rng.zipf(1.5, 400) % 25, n_users=30, n_items=25
    )


def test_scales_by_hand():
    """Deviations, shares of the best and reciprocal ranks of 1, 3, 2, -2."""
    row = np.array([[1, 3, 2, -2]], np.float32)
    assert rescaled(row.copy(), "best")[0] == pytest.approx([1 / 3, 1, 2 / 3, 0])
    assert rescaled(row.copy(), "rank")[0] == pytest.approx([1 / 12, 1 / 10, 1 / 11, 1 / 13])
    deviations = rescaled(row.copy(), "deviation")[0]
    assert deviations.mean() == pytest.approx(0, abs=1e-6)
    assert deviations.std() == pytest.approx(1)


@pytest.mark.parametrize("scale", ["deviation", "best", "rank"])
@given(factor=st.floats(0.01, 100))
def test_a_sources_unit_does_not_matter(scale, factor):
    """A source in other units blends to the same."""
    first, second = np.array([1.0, 5, 2, 4]), np.array([3.0, 1, 2, 9])
    plain = blend_scores([first, second], [1, 2], scale=scale)
    other = blend_scores([first * factor, second], [1, 2], scale=scale)
    assert other == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("scale", ["deviation", "best", "rank"])
def test_a_source_that_says_nothing_adds_nothing(scale):
    """Equal scores, zero or not, leave the other source's order and values alone."""
    said = np.array([1.0, 5, 2])
    for silent in (np.zeros(3), np.full(3, 7.0)):
        both = blend_scores([said, silent], [1, 9], scale=scale)
        assert both == pytest.approx(blend_scores([said], [1], scale=scale))


def test_a_blend_of_one_ranks_as_the_one():
    """One model with any weight gives its own lists."""
    data = random_touches()
    alone = Popularity().fit(data).rank(data, 5)
    blended = Blend(parts=[Part("popularity", 3.0)]).fit(data).rank(data, 5)
    assert np.array_equal(alone.items, blended.items)


def test_a_blend_is_stored_with_its_models():
    """Arrays carry every part, and read back give the same scores."""
    data = random_touches()
    model = Blend(parts=PARTS).fit(data)
    again = BlendModel.from_arrays(model.arrays())
    assert np.array_equal(again.score(data.history(3)), model.score(data.history(3)))


def test_parts_come_from_plain_settings():
    """A settings file's mappings make the same blend; parts without weight are not fitted."""
    plain = [
        {"model": "popularity"},
        {"model": "spectral", "weight": 2.0, "settings": {"factors": 4}},
        {"model": "ease", "weight": 0},
    ]
    blend = models.component("blend", parts=plain)
    assert blend.parts[:2] == PARTS
    assert len(blend.fit(random_touches()).fitted) == 2


def test_a_blend_without_weight_is_refused():
    """No parts, no weights, unknown scales, models and settings are refused."""
    for parts in ([], [Part("popularity", 0.0)], "popularity"):
        with pytest.raises(InvalidInput):
            Blend(parts=parts)
    with pytest.raises(InvalidInput, match="scale"):
        Blend(scale="loud")
    with pytest.raises(InvalidInput, match="nonsense"):
        Blend(parts=[Part("nonsense")]).fit(random_touches())
    with pytest.raises(InvalidInput, match="negative"):
        Part("popularity", -1.0)
    with pytest.raises(InvalidInput):
        blend_scores([np.ones(2)], [1, 2])
    with pytest.raises(InvalidInput):
        models.component("blend", parts=[{"modell": "popularity"}])


def test_weights_go_to_the_model_that_knows():
    """Of an oracle and noise the oracle gets all, and the blend is as good as it."""
    rng = np.random.default_rng(0)
    everybody = np.arange(40)
    truth = Interactions.from_pairs(everybody, np.full(40, 7), n_users=40, n_items=50)
    history = Interactions.from_pairs(everybody, np.full(40, 3), n_users=40, n_items=50)
    oracle = PopularityModel(np.eye(50, dtype=np.float32)[7])
    noise = PopularityModel(rng.random(50).astype(np.float32))
    found = fit_weights([noise, oracle], history, truth, rng=rng, cutoff=3)
    assert found.alone[1] == 1
    assert found.ndcg == 1
    assert found.weights[1] > 0
    assert sum(found.weights) == pytest.approx(1, abs=1e-3)


def test_two_halves_make_a_whole():
    """Two models that each know half of the truth are worth more together than alone."""
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(30), 2)
    truth = Interactions.from_pairs(users, np.tile([5, 6], 30), n_users=30, n_items=40)
    history = Interactions.from_pairs(np.arange(30), np.zeros(30), n_users=30, n_items=40)
    noise = rng.random((2, 40)).astype(np.float32) * 0.9
    first, second = noise
    first[5], second[6] = 1.0, 1.0
    parts = [PopularityModel(first), PopularityModel(second)]
    found = fit_weights(parts, history, truth, rng=rng, cutoff=5)
    assert found.ndcg > max(found.alone)


def test_weights_cannot_be_fitted_on_nobody():
    """Without truth, or without models, there is nothing to fit on."""
    data = random_touches()
    empty = Interactions.from_pairs([], [], n_users=30, n_items=25)
    model = Popularity().fit(data)
    for fitted, truth in (([model], empty), ([], data)):
        with pytest.raises(InvalidInput, match="fitted on"):
            fit_weights(fitted, data, truth, rng=np.random.default_rng(0))

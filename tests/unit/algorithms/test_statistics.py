from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.evaluation.statistics import (
    bootstrap_interval,
    by_segment,
    item_segments,
    paired_difference,
    people_segments,
)
from nextup.algorithms.interactions import Interactions
from nextup.domain.errors import InvalidInput


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_interval_is_as_wide_as_theory_says():
    """For many people the 95 % interval is the mean +- 1.96 standard errors."""
    values = rng().normal(5, 2, 2000)
    interval = bootstrap_interval(values, rng=rng(1), resamples=4000)
    error = values.std() / np.sqrt(2000)
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Of 300 samples from a known mean, about 90 % of the 90 % intervals hold it."""
    held = 0
    for seed in range(300):
        sample = rng(seed).binomial(1, 0.3, 200).astype(float)
        interval = bootstrap_interval(sample, rng=rng(seed), resamples=500, confidence=0.9)
        held += interval.low <= 0.3 <= interval.high
    assert 0.84 <= held / 300 <= 0.96


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_the_interval_surrounds_its_mean_within_the_data(values):
    """low <= mean <= high would fail only for the rarest skew; all lie within the data."""
    interval = bootstrap_interval(np.array(values), rng=rng(), resamples=200)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
    assert interval.mean == pytest.approx(np.mean(values))


def test_people_without_a_figure_are_left_out():
    """NaN neither counts nor spreads; nobody at all is refused."""
    assert bootstrap_interval(np.array([1.0, np.nan]), rng=rng()).n == 1
    with pytest.raises(InvalidInput, match="no figure"):
        bootstrap_interval(np.array([np.nan]), rng=rng())
    with pytest.raises(InvalidInput, match="no figure"):
        bootstrap_interval(np.array([]), rng=rng())


def test_the_same_generator_gives_the_same_interval():
    """Intervals are deterministic for a seed."""
    values = rng().random(100)
    assert bootstrap_interval(values, rng=rng(4)) == bootstrap_interval(values, rng=rng(4))


def test_a_clear_difference_is_real():
    """A model that is better for everybody is better, one that is not is worse."""
    base = rng().random(200)
    difference = paired_difference(base + 0.01, base, rng=rng())
    assert difference.is_better
    assert not difference.is_worse
    assert difference.p_value < 0.01
    assert paired_difference(base, base + 0.01, rng=rng()).is_worse


def test_a_model_does_not_differ_from_itself():
    """The difference to itself is nothing, with a p-value of one."""
    base = rng().random(50)
    difference = paired_difference(base, base, rng=rng())
    assert (difference.mean, difference.p_value, difference.is_real) == (0, 1, False)


def test_chance_is_called_real_no_more_often_than_promised():
    """Two equally good models differ 'really' in about 5 % of experiments at most."""
    called = 0
    for seed in range(200):
        draw = rng(seed)
        first, second = draw.random(60), draw.random(60)
        called += paired_difference(first, second, rng=draw, resamples=400).is_real
    assert called / 200 <= 0.09


def test_the_p_value_is_that_of_all_sign_flips():
    """For six people the randomisation test comes near the exact enumeration."""
    differences = np.array([0.5, 0.2, 0.4, -0.1, 0.3, 0.25])
    flips = [abs(np.dot(signs, differences)) for signs in itertools.product([-1, 1], repeat=6)]
    exact = np.mean(np.array(flips) >= differences.sum() - 1e-12)
    found = paired_difference(differences, np.zeros(6), rng=rng(), resamples=20000).p_value
    assert found == pytest.approx(exact, abs=0.01)


def test_pairs_without_both_figures_are_left_out():
    """A person missing in one model does not count; other people are refused."""
    first, second = np.array([1.0, np.nan, 3.0]), np.array([0.0, 1.0, np.nan])
    assert paired_difference(first, second, rng=rng()).n == 1
    with pytest.raises(InvalidInput, match="same people"):
        paired_difference(np.ones(2), np.ones(3), rng=rng())


@pytest.mark.parametrize("wrong", [{"confidence": 1.0}, {"confidence": 0}, {"resamples": 3}])
def test_an_interval_that_means_nothing_is_refused(wrong):
    """Confidence of 0 or 1, or a handful of resamples, is refused."""
    with pytest.raises(InvalidInput):
        bootstrap_interval(np.ones(3), rng=rng(), **wrong)


def test_people_fall_into_exactly_one_segment():
    """New, light and heavy people are told apart by touches and are everybody."""
    data = Interactions.from_pairs([1, 2, 2, 3, 3, 3], [0, 0, 1, 0, 1, 2], n_users=4, n_items=3)
    segments = people_segments(data, light_at_most=1)
    assert segments["new"].tolist() == [True, False, False, False]
    assert segments["light"].tolist() == [False, True, False, False]
    assert segments["heavy"].tolist() == [False, False, True, True]
    assert people_segments(data)["light"].tolist() == [False, True, True, False]


def test_items_are_new_until_touched_often():
    """An item is new up to the given number of touches."""
    data = Interactions.from_pairs([0, 1, 0], [0, 0, 1], n_users=2, n_items=3)
    assert item_segments(data, new_at_most=1)["old"].tolist() == [True, False, False]


def test_each_segment_has_its_interval():
    """Segments are averaged apart; an empty one is left out."""
    segments = {
        "a": np.array([True, True, False]),
        "b": np.array([False, False, True]),
        "none": np.zeros(3, np.bool_),
    }
    found = by_segment(np.array([1.0, 3.0, 5.0]), segments, rng=rng())
    assert {name: interval.mean for name, interval in found.items()} == {"a": 2, "b": 5}

"""Simulated people in front of lists: when they come, what they do, what they miss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nextup.algorithms.audience.visitors import Curve, arrivals, deeds, looked_at, regret
from nextup.domain.events import EventType

MANY = 4_000


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("curve", list(Curve))
def test_they_come_within_the_run_one_after_the_other(curve: Curve) -> None:
    """About as many as were asked for."""
    moments = arrivals(rng(), 100, 40, curve)
    assert (np.diff(moments) >= 0).all()
    assert moments.min() >= 0
    assert moments.max() <= 100
    assert len(moments) == pytest.approx(MANY, rel=0.1)


def test_a_day_has_a_quiet_night_and_a_full_evening() -> None:
    """A flat run has neither."""

    def shares(curve: Curve) -> tuple[float, float]:
        hours = arrivals(rng(), 24, MANY / 24, curve)
        night, evening = ((hours >= start) & (hours < start + 3) for start in (2, 19))
        return night.mean(), evening.mean()

    assert shares(Curve.DAY)[0] < 0.03
    assert shares(Curve.DAY)[1] > 0.25
    assert shares(Curve.FLAT) == pytest.approx((1 / 8, 1 / 8), abs=0.02)


def test_what_is_wanted_is_chosen() -> None:
    """And what is not is left, or dismissed."""
    clicks, dismissed = (
        [
            sum(deed.type is kind for deed in deeds(rng(), np.full(MANY, wanted)))
            for wanted in (0, 1)
        ]
        for kind in (EventType.CLICK, EventType.DISMISS)
    )
    assert clicks[0] < MANY / 5 < 3 * MANY / 4 < clicks[1]
    assert dismissed[0] > MANY / 20 > dismissed[1] == 0


@given(arrays(float, st.integers(0, 30), elements=st.floats(0, 1)), st.integers(0, 99))
def test_what_is_liked_or_rated_was_chosen_before(affinity: np.ndarray, seed: int) -> None:
    """Stars are halves from 0.5 to 5, and nothing is both chosen and dismissed."""
    done = deeds(np.random.default_rng(seed), affinity)
    chosen = {deed.place for deed in done if deed.type is EventType.CLICK}
    for deed in done:
        assert (deed.place in chosen) is (deed.type is not EventType.DISMISS)
        assert (deed.value is not None) is (deed.type is EventType.RATING)
        assert deed.value is None or deed.value * 2 in range(1, 11)


def test_nobody_looks_further_than_the_list() -> None:
    """The first place is always seen."""
    seen = [looked_at(np.random.default_rng(seed), 20) for seed in range(200)]
    assert min(seen) == 1
    assert max(seen) == 20


@given(arrays(float, 12, elements=st.floats(0, 1)), st.permutations(range(12)))
def test_nothing_is_missed_where_the_best_is_shown(affinity: np.ndarray, order: list[int]) -> None:
    """Whatever may not be shown; any other list has a regret from 0 to 1."""
    known = np.array(order[:4])
    best = [row for row in np.argsort(-affinity, kind="stable") if row not in set(order[:4])][:5]
    assert regret(affinity, np.array(best), known) == pytest.approx(0)
    assert 0 <= regret(affinity, np.array(order[4:9]), known) <= 1
    assert regret(affinity, np.array([], int), known) == 0

from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms import inputs
from nextup.algorithms.interactions import History, Interactions
from nextup.domain.errors import InvalidInput

NAN = float("nan")


def history(items, weights, times):
    return History(
        np.array(items, np.int32), np.array(weights, np.float32), np.array(times, np.int64)
    )


def test_what_can_be_used_passes():
    """Good input raises nothing."""
    inputs.require_touches(Interactions.from_pairs([0], [0], n_users=1, n_items=1))
    inputs.check_history(history([0, 4], [1, 0.5], [0, 0]), 5)
    inputs.check_history(history([], [], []), 0)
    inputs.check_items(np.array([0, 4]), 5)
    inputs.check_item(4, 5)
    inputs.check_limit(1)
    inputs.check_positive(rate=0.1)
    inputs.check_not_negative(rate=0.0)
    inputs.check_share(share=1.0)


@pytest.mark.parametrize(
    "bad",
    [
        history([5], [1], [0]),
        history([-1], [1], [0]),
        history([0], [0], [0]),
        history([0], [NAN], [0]),
        history([0, 1], [1], [0, 0]),
        history([0], [1], []),
    ],
)
def test_a_history_that_cannot_be_is_refused(bad):
    """Unknown items, weights that are no confidences and arrays of odd lengths are refused."""
    with pytest.raises(InvalidInput):
        inputs.check_history(bad, 5)


@pytest.mark.parametrize("value", [0.0, -1.0, NAN, float("inf")])
def test_a_setting_that_is_not_positive_is_named(value):
    """The error names the setting and its value."""
    with pytest.raises(InvalidInput, match=r"rate must be a positive, finite number"):
        inputs.check_positive(rate=value)


@pytest.mark.parametrize("value", [-0.1, NAN, float("inf")])
def test_negative_settings_are_refused(value):
    """Zero passes, less does not."""
    with pytest.raises(InvalidInput, match="rate"):
        inputs.check_not_negative(rate=value)


@pytest.mark.parametrize("value", [-0.1, 1.1, NAN])
def test_a_share_lies_between_nothing_and_all(value):
    """Shares outside 0..1 are refused."""
    with pytest.raises(InvalidInput, match="rate"):
        inputs.check_share(rate=value)


def test_nothing_to_learn_from_has_a_cure():
    """The error says what to do next."""
    with pytest.raises(InvalidInput) as raised:
        inputs.require_touches(Interactions.from_pairs([], [], n_users=0, n_items=0))
    assert "Ingest" in raised.value.cure

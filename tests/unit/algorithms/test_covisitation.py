from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms.interactions import History, Interactions
from nextup.algorithms.models.covisitation import Covisitation
from nextup.domain.errors import InvalidInput

DAY = 86_400


def two_sessions():
    """One person touched 0 and 1 together, and 2 and 3 ten days later."""
    return Interactions.from_pairs(
        [0] * 4, [0, 1, 2, 3], times=[0, 60, 10 * DAY, 10 * DAY + 60], n_users=1, n_items=4
    )


def test_items_of_one_session_are_similar_both_ways():
    """Touched together means similar in both directions; other sessions are apart."""
    model = Covisitation().fit(two_sessions())
    assert model.similar(0, 4).items.tolist() == [1]
    assert model.similar(1, 4).items.tolist() == [0]
    assert model.similar(2, 4).items.tolist() == [3]


def test_the_cosine_penalty_makes_lone_pairs_alike():
    """With the cosine's penalty a pair that only occurs together has similarity one."""
    model = Covisitation(popularity_penalty=0.5).fit(two_sessions())
    assert model.similar(2, 1).scores == pytest.approx([1])
    assert model.similar(0, 1).scores == pytest.approx([1])


def test_recent_touches_of_a_history_count_most():
    """An item one half-life before the newest touch says half as much."""
    model = Covisitation(history_half_life_seconds=10.0).fit(two_sessions())
    history = History(np.array([0, 2], np.int32), np.ones(2, np.float32), np.array([0, 10]))
    scores = model.score(history)
    assert scores[1] == pytest.approx(scores[3] / 2)


def test_only_the_closest_neighbours_are_kept():
    """`neighbours` bounds how many items one speaks for."""
    data = Interactions.from_pairs([0] * 5, range(5), times=range(5), n_users=1, n_items=5)
    model = Covisitation(neighbours=2).fit(data)
    assert max(len(model.similar(item, 5).items) for item in range(5)) == 2


@pytest.mark.parametrize(
    "settings", [{"span": 0}, {"half_life_seconds": 0.0}, {"lag_decay": 2.0}, {"neighbours": -1}]
)
def test_impossible_settings_are_refused(settings):
    """Settings without a meaning are refused at once."""
    with pytest.raises(InvalidInput, match="must"):
        Covisitation(**settings)

from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms.interactions import History, Interactions
from nextup.algorithms.models.next_item import NextItem
from nextup.domain.errors import InvalidInput


def after(*items):
    n = len(items)
    return History(np.array(items, np.int32), np.ones(n, np.float32), np.arange(n))


def a_series(n_users=3):
    """Everybody watches the episodes 0, 1, 2, 3 in this order."""
    users = np.repeat(np.arange(n_users), 4)
    return Interactions.from_pairs(
        users, np.tile(np.arange(4), n_users), times=np.tile(np.arange(4), n_users),
        n_users=n_users, n_items=5,
    )  # fmt: skip


def test_the_next_episode_comes_first():
    """After the second episode the third is the best guess among the unseen."""
    scores = NextItem().fit(a_series()).score(after(0, 1))
    scores[[0, 1]] = -np.inf
    assert int(np.argmax(scores)) == 2


def test_the_last_touch_decides():
    """The same touches in another order lead somewhere else."""
    data = Interactions.from_pairs(
        [0, 0, 1, 1], [0, 2, 1, 3], times=[0, 1, 0, 1], n_users=2, n_items=4
    )
    model = NextItem(place_decay=0.5).fit(data)
    assert int(np.argmax(model.score(after(1, 0)))) == 2
    assert int(np.argmax(model.score(after(0, 1)))) == 3


def test_nothing_leads_backwards():
    """What people turn to after the last episode is unknown, not the first."""
    model = NextItem().fit(a_series())
    assert model.similar(3, 5).items.tolist() == []
    assert model.similar(0, 5).items.tolist()[0] == 1


def test_shares_are_of_all_that_left():
    """Without shrinkage, penalty and longer lags a row holds transition shares."""
    data = Interactions.from_pairs(
        [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 2], times=[0, 1] * 3, n_users=3, n_items=3
    )
    model = NextItem(shrinkage=0, popularity_penalty=0, half_life_seconds=1e18).fit(data)
    assert model.score(after(0)) == pytest.approx([0, 2 / 3, 1 / 3])


@pytest.mark.parametrize("settings", [{"span": 0}, {"place_decay": 0.0}, {"shrinkage": -1.0}])
def test_impossible_settings_are_refused(settings):
    """Settings without a meaning are refused at once."""
    with pytest.raises(InvalidInput, match="must"):
        NextItem(**settings)

from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms.interactions import History, Interactions
from nextup.algorithms.models.popularity import Popularity
from nextup.domain.errors import InvalidInput


def three_people():
    return Interactions.from_pairs(
        [0, 0, 1, 1, 2], [0, 1, 1, 2, 1], [1, 1, 1, 5, 1], n_users=4, n_items=4
    )


def history(*items):
    n = len(items)
    return History(np.array(items, np.int32), np.ones(n, np.float32), np.zeros(n, np.int64))


def test_confidences_are_added_up():
    """An item's score is the sum of the confidences of its touches."""
    assert Popularity().fit(three_people()).score(history()).tolist() == [1, 3, 5, 0]


def test_unweighted_counts_people():
    """Without weights each person counts once."""
    model = Popularity(weighted=False).fit(three_people())
    assert model.score(history()).tolist() == [1, 3, 1, 0]


def test_everybody_gets_the_same_scores():
    """A history does not change the scores."""
    model = Popularity().fit(three_people())
    assert np.array_equal(model.score(history(1, 2)), model.score(history()))


def test_seen_items_are_skipped_in_order():
    """Each person gets the common order without what they have seen."""
    ranking = Popularity().fit(three_people()).rank(three_people(), 3)
    assert ranking.items.tolist() == [[2, 3, -1], [0, 3, -1], [2, 0, 3], [2, 1, 0]]


def test_scores_may_be_written_into():
    """A caller that masks its scores does not damage the model."""
    model = Popularity().fit(three_people())
    model.score(history())[:] = -1
    assert model.score(history()).tolist() == [1, 3, 5, 0]


def test_the_list_for_nobody_stays_in_its_category():
    """`top` lists only allowed items."""
    found = Popularity().fit(three_people()).top(2, allowed=np.array([True, True, False, False]))
    assert found.items.tolist() == [1, 0]


def test_people_of_another_catalogue_are_refused():
    """Interactions numbered by another catalogue cannot be ranked."""
    other = Interactions.from_pairs([0], [0], n_users=1, n_items=9)
    with pytest.raises(InvalidInput, match="4 items"):
        Popularity().fit(three_people()).rank(other, 1)

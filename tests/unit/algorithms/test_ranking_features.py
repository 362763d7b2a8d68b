from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from nextup.algorithms.components import Ranking
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.reranking.candidates import candidates_of
from nextup.algorithms.reranking.features import ItemStatistics, RankingFeatures
from nextup.algorithms.reranking.traits import NEVER_DAYS, ItemTraits
from nextup.domain.errors import InvalidInput

DAY = 86_400
NOW = 50 * DAY


def ranking(*rows):
    items = np.array([[item for item, _ in row] for row in rows], np.int32)
    return Ranking(items, np.array([[score for _, score in row] for row in rows], np.float32))


FIRST = ranking([(3, 4.0), (1, 2.0), (0, -1.0)], [(2, 0.5), (-1, -np.inf), (-1, -np.inf)])
SECOND = ranking([(1, 10.0), (2, 1.0), (4, 0.0)], [(-1, -np.inf)] * 3)


def test_candidates_by_hand():
    """The union of what has a score above zero, with each source's share and place."""
    found = candidates_of([FIRST, SECOND], 5)
    assert found.items.tolist() == [[1, 2, 3], [2, -1, -1]]
    assert found.shares[0].tolist() == [[0.5, 0, 1], [1, 0, 0]]
    assert found.shares[1] == pytest.approx(np.array([[1, 0.1, 0], [0, 0, 0]]))
    assert found.places[:, 0].tolist() == [[1, 3, 0], [0, 1, 3]]
    assert found.blend([1, 2])[0] == pytest.approx([2.5, 0.2, 1.0])
    assert found.blend([1, 2])[1].tolist() == [1, -np.inf, -np.inf]


def test_the_best_come_in_the_blends_order():
    """Cut to a pool, candidates keep what was said about them."""
    best = candidates_of([FIRST, SECOND], 5).best([1, 2], 2)
    assert best.items.tolist() == [[1, 3], [2, -1]]
    assert best.shares[0].tolist() == [[0.5, 1], [1, 0]]
    assert best.places[1].tolist() == [[0, 3], [3, 3]]


def test_unwanted_candidates_are_dropped():
    """A pair that may not be shown is none, and its row may become empty."""
    found = candidates_of([FIRST, SECOND], 5, unwanted=np.array([3, 5 + 2]))
    assert found.items.tolist() == [[1, 2], [-1, -1]]


def test_no_candidates_at_all():
    """Nobody, or nothing above zero, gives empty lists; sources of other shapes are refused."""
    none = ranking([(-1, -np.inf)] * 2)
    assert candidates_of([none], 5).items.tolist() == [[-1]]
    empty = Ranking(np.empty((0, 4), np.int32), np.empty((0, 4), np.float32))
    assert candidates_of([empty], 5).items.shape == (0, 1)
    for wrong in ([], [FIRST, none]):
        with pytest.raises(InvalidInput):
            candidates_of(wrong, 5)


@pytest.fixture
def asked():
    """Two people, five items in three genres; item 4 is untouched, person 1 new."""
    past = Interactions.from_pairs(
        [0, 0, 0], [0, 1, 2], [1, 1, 2], [10 * DAY, 40 * DAY, 49 * DAY], n_users=2, n_items=5
    )
    genres = ItemTraits.of(
        sparse.csr_array(
            np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]], np.float32)
        )
    )
    features = RankingFeatures(("one", "two"), (1.0, 2.0), {"genres": genres})
    one = ranking([(3, 2.0), (4, 1.0)], [(3, 2.0), (0, 1.0)])
    two = ranking([(3, 1.0), (9, 1.0)], [(-1, -np.inf)] * 2)  # 9 came after the training
    candidates = candidates_of([one, two], 10).best(features.weights, 10)
    return features, candidates, past


def column(features, values, name):
    return values[..., features.names.index(name)]


def test_features_by_hand(asked):
    """Shares, ages, activity, likeness and days, worked out on paper."""
    features, candidates, past = asked
    assert candidates.items.tolist() == [[3, 9, 4], [3, 0, -1]]
    values = features.of(candidates, past, ItemStatistics.before(past, NOW), NOW)

    def of(name):
        return column(features, values, name)

    assert values.shape == (2, 3, len(features.names))
    assert of("blend")[0] == pytest.approx([3, 2, 0.5])
    assert of("blend.place")[0].tolist() == [0, 1, 2]
    assert of("sources")[0].tolist() == [2, 1, 1]
    assert of("one.place")[0].tolist() == [0, 2, 1]
    assert of("item.age_days")[1, :2] == pytest.approx([NEVER_DAYS, 40])
    assert of("item.idle_days")[1, :2] == pytest.approx([NEVER_DAYS, 40])
    assert of("item.popularity")[1, :2].tolist() == [0, 1]
    assert of("person.activity")[:, 0] == pytest.approx([np.log(4), 0])
    assert of("person.idle_days")[:, 0] == pytest.approx([1, NEVER_DAYS])
    half = 0.5**0.5
    liking = np.array([1 + half, 2 + half]) / np.hypot(1 + half, 2 + half)
    assert of("genres.match")[0] == pytest.approx([half * liking.sum(), 0, 0], abs=1e-6)
    assert of("genres.days_since")[0] == pytest.approx([1, NEVER_DAYS, NEVER_DAYS])
    assert (of("genres.days_since")[1, :2] == NEVER_DAYS).all()
    assert not values[1, 2].any()
    assert np.isfinite(values).all()


def test_the_end_of_a_history_counts_more(asked):
    """The recent likeness leans to the last touch's genres."""
    features, _, past = asked
    genres = features.traits["genres"]
    items = np.array([[0, 2], [0, 2]], np.int32)
    values = genres.fit(items, past, np.array([NOW, NOW]))
    whole, recent = values[0, :, 0], values[0, :, 1]
    assert recent[1] / recent[0] > whole[1] / whole[0]


def test_statistics_by_hand():
    """People, decayed confidence, first and last touch; zeros for an untouched item."""
    past = Interactions.from_pairs(
        [0, 1], [1, 1], [1, 4], [NOW - 7 * DAY, NOW - 14 * DAY], n_users=2, n_items=3
    )
    found = ItemStatistics.before(past, NOW)
    assert found.people.tolist() == [0, 2, 0]
    assert found.lately == pytest.approx([0, 1.5, 0])
    assert found.first_at.tolist() == [0, NOW - 14 * DAY, 0]
    assert found.last_at.tolist() == [0, NOW - 7 * DAY, 0]


def test_blocks_of_people_change_nothing(asked, monkeypatch):
    """However few people fit into memory, the likeness is the same."""
    features, _, past = asked
    genres, items = features.traits["genres"], np.array([[0, 3, -1], [4, 2, 1]], np.int32)
    whole = genres.fit(items, past, np.array([NOW, NOW]))
    monkeypatch.setattr("nextup.algorithms.reranking.traits.BLOCK_BYTES", 1)
    assert np.array_equal(genres.fit(items, past, np.array([NOW, NOW])), whole)


def test_a_ranker_needs_sources_and_weights():
    """No sources, another number of weights, or none above zero are refused."""
    for sources, weights in (((), ()), (("a",), (1.0, 2.0)), (("a",), (0.0,))):
        with pytest.raises(InvalidInput):
            RankingFeatures(sources, weights)
    with pytest.raises(InvalidInput):
        RankingFeatures(("a",), (1.0,), pool=0)

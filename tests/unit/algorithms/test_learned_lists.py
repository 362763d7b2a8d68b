from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.lists.fusion import fuse
from nextup.algorithms.models.item_item import ItemItem
from nextup.algorithms.models.popularity import Popularity
from nextup.algorithms.reranking.boosted_trees import BoostedTrees
from nextup.algorithms.reranking.features import ItemStatistics, RankingFeatures
from nextup.algorithms.reranking.learned_lists import learned_lists, learned_totals
from nextup.algorithms.reranking.reranker import FittedReranker
from nextup.domain.errors import InvalidInput

NOW = 1000
N_USERS, N_ITEMS = 40, 30
FEATURES = RankingFeatures(("item_item", "popularity"), (1.0, 0.3), depth=N_ITEMS, pool=8)


def touches():
    rng = np.random.default_rng(0)
    return Interactions.from_pairs(
        rng.integers(1, N_USERS, 300),  # person 0 is new
        rng.zipf(1.3, 300) % N_ITEMS,
        None,
        rng.integers(0, NOW, 300),
        n_users=N_USERS,
        n_items=N_ITEMS,
    )


PAST = touches()
MODELS = {"item_item": ItemItem(threads=1).fit(PAST), "popularity": Popularity().fit(PAST)}
BLEND = FittedReranker(FEATURES, ItemStatistics.before(PAST, NOW))
TREE = """tree
max_feature_idx={features}

Tree=0
num_leaves=2
num_cat=0
split_feature=1
threshold=3.5
decision_type=2
left_child=-1
right_child=-2
leaf_value=0 1
leaf_count=1 1

end of trees
"""  # candidates from the blend's fifth place on come first
LEARNED = replace(
    BLEND,
    base=np.zeros(2),
    trees=BoostedTrees.from_text(TREE.format(features=len(FEATURES.names) - 1)),
)


def lists(ranker, limit=12, **more):
    return learned_lists(ranker, MODELS, PAST, limit, moment=NOW, **more)


def test_without_learning_lists_are_the_blends():
    """The same items and scores as the fixed blend for everybody, and the same sources."""
    weights = dict(zip(FEATURES.sources, FEATURES.weights, strict=True))
    fused = fuse(MODELS, weights, PAST, 12, candidates=N_ITEMS)
    ours = lists(BLEND)
    assert ours.ranking.scores == pytest.approx(fused.ranking.scores, abs=1e-6)
    assert (ours.ranking.items == fused.ranking.items).mean() > 0.99  # but for rounded ties
    assert (ours.sources == fused.sources).mean() > 0.99


def test_the_learned_order_holds_in_the_pool_and_the_blends_behind_it():
    """Places 5 to 8 of the blend lead, 1 to 4 follow, from 9 on all stays; scores descend."""
    before, after = lists(BLEND), lists(LEARNED)
    full = (before.ranking.items[:, 7] >= 0) & (np.diff(PAST.indptr) > 0)
    assert full.sum() > 20
    moved = [4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11]
    assert np.array_equal(after.ranking.items[full], before.ranking.items[full][:, moved])
    assert np.array_equal(after.sources[full], before.sources[full][:, moved])
    assert np.array_equal(after.ranking.scores, before.ranking.scores)


def test_a_new_person_keeps_the_blend():
    """Without a history nothing was learned, so nothing moves."""
    assert np.array_equal(lists(LEARNED).ranking.items[0], lists(BLEND).ranking.items[0])
    served = learned_totals(
        LEARNED, {}, np.ones(3, np.float32), np.ones(3, np.bool_), PAST.history(0), now=NOW
    )
    assert served.tolist() == [1, 1, 1]


def test_blocks_of_people_change_nothing(monkeypatch):
    """However few people are held at a time, unwanted pairs included."""
    unwanted = np.sort(np.arange(N_USERS) * N_ITEMS + 1)
    whole = lists(LEARNED, unwanted=unwanted)
    assert not (whole.ranking.items == 1).any()
    monkeypatch.setattr("nextup.algorithms.reranking.learned_lists.BLOCK_PEOPLE", 7)
    again = lists(LEARNED, unwanted=unwanted)
    assert np.array_equal(again.ranking.items, whole.ranking.items)
    assert np.array_equal(again.sources, whole.sources)


@pytest.mark.parametrize("user", [1, 7, 23])
def test_one_person_is_served_what_everybody_is_published(user):
    """The same pool in the same order, whether ranked alone or among all."""
    history = PAST.history(user)
    scores = {name: model.score(history) for name, model in MODELS.items()}
    allowed = np.ones(N_ITEMS, np.bool_)
    allowed[history.items] = False
    total = np.zeros(N_ITEMS, np.float32)
    for name, weight in zip(FEATURES.sources, FEATURES.weights, strict=True):
        total += weight * scores[name] / scores[name][allowed].max()
    total[~allowed] = 0
    served = learned_totals(LEARNED, scores, total, allowed, history, now=NOW)
    order = np.argsort(-served, kind="stable")[:8]
    assert order.tolist() == lists(LEARNED).ranking.items[user, :8].tolist()
    assert np.sort(served).tolist() == np.sort(total).tolist()


def test_items_newer_than_the_training_can_be_served():
    """A source that knows more items than the ranker may propose them."""
    history = PAST.history(3)
    wide = {name: np.append(model.score(history), 50.0) for name, model in MODELS.items()}
    wide = {name: values.astype(np.float32) for name, values in wide.items()}
    total = wide["item_item"] / 50
    allowed = np.ones(N_ITEMS + 1, np.bool_)
    served = learned_totals(LEARNED, wide, total, allowed, history, now=0)
    assert np.sort(served).tolist() == np.sort(total).tolist()


def test_a_missing_source_is_refused():
    """Lists for everybody need every source the ranker learned with."""
    with pytest.raises(InvalidInput, match="item_item"):
        learned_lists(LEARNED, {}, PAST, 5, moment=NOW)

from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms.reranking.boosted_trees import BoostedTrees
from nextup.domain.errors import CorruptData, InvalidInput

TEXT = """tree
version=v4
max_feature_idx=1

Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
threshold=0.5 2.5
decision_type=2 2
left_child=1 -1
right_child=-2 -3
leaf_value=1 10 100
leaf_count=1 1 2

Tree=1
num_leaves=1
num_cat=0
leaf_value=0.25

end of trees
"""
ROWS = np.array([[0, 0], [0, 3], [0.5, 2.5], [0.6, 0]], np.float32)


def test_trees_by_hand():
    """Left at most the threshold, right above it; the trees' leaves add up."""
    trees = BoostedTrees.from_text(TEXT)
    assert trees.score(ROWS).tolist() == [1.25, 100.25, 1.25, 10.25]
    assert trees.depth == 2


def test_contributions_by_hand():
    """Each split moves the score from the mean above it to the mean below it."""
    given = BoostedTrees.from_text(TEXT).contributions(ROWS[:2])
    root, left = 211 / 4, 201 / 3
    assert given == pytest.approx(np.array([[left - root, 1 - left], [left - root, 100 - left]]))


def test_no_rows_and_many(monkeypatch):
    """Nothing scores to nothing; blocks of rows change nothing."""
    trees = BoostedTrees.from_text(TEXT)
    assert trees.score(ROWS[:0]).tolist() == []
    whole = trees.score(ROWS)
    monkeypatch.setattr("nextup.algorithms.reranking.boosted_trees.BLOCK_ROWS", 3)
    assert np.array_equal(trees.score(ROWS), whole)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("num_cat=0", "num_cat=1"),
        ("decision_type=2 2", "decision_type=2 9"),
        ("leaf_value=1 10 100", "leaf_value=1 10"),
        ("max_feature_idx=1", ""),
        ("threshold=0.5 2.5", "threshold=half 2.5"),
    ],
)
def test_other_trees_are_refused(old, new):
    """Categories, missing values and broken text are damage, not a wrong score."""
    with pytest.raises(CorruptData):
        BoostedTrees.from_text(TEXT.replace(old, new, 1))


def test_other_features_are_refused():
    """Rows of another width than the trees were grown on are an error."""
    with pytest.raises(InvalidInput, match="2 features"):
        BoostedTrees.from_text(TEXT).score(np.zeros((1, 3), np.float32))

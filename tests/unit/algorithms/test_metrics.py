from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.algorithms.components import Ranking
from nextup.algorithms.evaluation import metrics
from nextup.algorithms.interactions import Interactions
from nextup.domain.errors import InvalidInput


def lists(*rows):
    width = max(len(row) for row in rows)
    items = np.array([list(row) + [-1] * (width - len(row)) for row in rows], np.int32)
    return Ranking(items, np.where(items >= 0, 1.0, -np.inf).astype(np.float32))


def people(*rows, n_items=10):
    users = [user for user, row in enumerate(rows) for _ in row]
    items = [item for row in rows for item in row]
    return Interactions.from_pairs(users, items, n_users=len(rows), n_items=n_items)


def test_a_worked_example():
    """Truth {1, 2, 3} and the list 1, 0, 3, 5: every figure as computed by hand."""
    ranking, truth = lists([1, 0, 3, 5]), people([1, 2, 3])
    assert metrics.recall(ranking, truth, 4) == pytest.approx([2 / 3])
    assert metrics.hit_rate(ranking, truth, 4).tolist() == [1]
    assert metrics.reciprocal_rank(ranking, truth, 4).tolist() == [1]
    assert metrics.average_precision(ranking, truth, 4) == pytest.approx([(1 + 2 / 3) / 3])
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert metrics.ndcg(ranking, truth, 4) == pytest.approx([(1 + 1 / 2) / ideal])
    assert metrics.ndcg(ranking, truth, 1).tolist() == [1]


def test_recall_is_of_all_the_truth():
    """With three to find and one place, recall is a third at best, NDCG is one."""
    ranking, truth = lists([1]), people([1, 2, 3])
    assert metrics.recall(ranking, truth, 1) == pytest.approx([1 / 3])
    assert metrics.ndcg(ranking, truth, 1).tolist() == [1]


def test_people_without_truth_have_no_figure():
    """An empty truth gives NaN, not zero."""
    for metric in metrics.PER_PERSON.values():
        assert np.isnan(metric(lists([1, 2], [1, 2]), people([1], []), 2)).tolist() == [False, True]


def test_filling_is_never_a_hit():
    """A -1 finds nothing, although it stands beside the end of another person's row."""
    assert not metrics.hits(lists([-1], [0]), people([9], [9])).any()


def test_a_short_list_misses_from_its_end_on():
    """Asking for more places than the ranking has changes only the ideal."""
    ranking, truth = lists([1]), people([1, 2])
    assert metrics.recall(ranking, truth, 5).tolist() == [0.5]
    assert metrics.average_precision(ranking, truth, 5).tolist() == [0.5]


truths = st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=6)


@given(truths, st.integers(0, 999), st.integers(1, 12))
def test_figures_equal_a_plain_loop(rows, seed, k):
    """Vectorised figures equal a straightforward loop over people and places."""
    rng = np.random.default_rng(seed)
    ranking = lists(*[rng.permutation(10)[:7].tolist() for _ in rows])
    truth = people(*rows)
    for user, wanted in enumerate(rows):
        if not wanted:
            continue
        gains = [item in wanted for item in ranking.items[user][:k].tolist()]
        discounted = sum(hit / math.log2(place + 2) for place, hit in enumerate(gains))
        ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted))))
        precisions = [
            sum(gains[: place + 1]) / (place + 1) for place, hit in enumerate(gains) if hit
        ]
        assert metrics.recall(ranking, truth, k)[user] == pytest.approx(sum(gains) / len(wanted))
        assert metrics.ndcg(ranking, truth, k)[user] == pytest.approx(discounted / ideal)
        assert metrics.average_precision(ranking, truth, k)[user] == pytest.approx(
            sum(precisions) / min(k, len(wanted))
        )
        first = gains.index(True) + 1 if any(gains) else math.inf
        assert metrics.reciprocal_rank(ranking, truth, k)[user] == pytest.approx(1 / first)


@given(truths)
def test_a_perfect_list_has_perfect_figures(rows):
    """Listing exactly the truth first scores one on every figure."""
    ranking = lists(*[sorted(row) + sorted(set(range(10)) - row) for row in rows])
    for metric in metrics.PER_PERSON.values():
        figures = metric(ranking, people(*rows), 10)
        assert figures[~np.isnan(figures)] == pytest.approx(1)


def test_coverage_counts_what_anybody_is_shown():
    """Two of four items shown is half the catalogue."""
    assert metrics.coverage(lists([0, 1], [1]), 4) == 0.5
    assert metrics.coverage(lists([-1]), 0) == 0


def test_gini_of_equality_and_of_one_winner():
    """All alike is 0; one of four with everything is 3/4."""
    assert metrics.gini(lists([0, 1], [2, 3]), 4) == pytest.approx(0)
    assert metrics.gini(lists([0], [0]), 4) == pytest.approx(0.75)
    assert metrics.gini(lists([-1]), 4) == 0


def test_novelty_is_surprise_in_bits():
    """An item that half the people touched carries one bit; a list averages."""
    train = people([0, 1], [0], [0, 1], [0])
    assert metrics.novelty(lists([0], [1], [0, 1], [-1]), train) == pytest.approx(
        [0, 1, 0.5, np.nan], nan_ok=True
    )


def test_popularity_bias_compares_with_the_own_history():
    """Being shown what four touched after liking what two touched is a bias of two."""
    train = people([0, 1], [0], [0, 1], [0])
    history = people([1], [0], [], [0])
    bias = metrics.popularity_bias(lists([0], [0], [0], [-1]), train, history)
    assert bias == pytest.approx([2, 1, np.nan, np.nan], nan_ok=True)


def test_diversity_is_the_mean_distance_of_pairs():
    """Equal items are at distance 0, unrelated ones at 1; one item alone has no diversity."""
    vectors = np.array([[1, 0], [2, 0], [0, 1], [0, 0]], np.float32)
    diversity = metrics.intra_list_diversity(lists([0, 1], [0, 2], [0, 1, 2], [0], [0, 3]), vectors)
    assert diversity == pytest.approx([0, 1, 2 / 3, np.nan, 1], nan_ok=True)


def test_another_number_of_people_is_refused():
    """A ranking and a truth must have the same rows and catalogue."""
    with pytest.raises(InvalidInput, match="people"):
        metrics.hits(lists([0]), people([0], [1]))
    with pytest.raises(InvalidInput):
        metrics.hits(lists([99]), people([0]))
    with pytest.raises(InvalidInput, match="at least one"):
        metrics.recall(lists([0]), people([0]), 0)

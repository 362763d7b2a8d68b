from __future__ import annotations

import numpy as np
import pytest

from nextup.algorithms.evaluation.evaluate import compare, evaluate, rank_everyone
from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models.popularity import Popularity, PopularityModel
from nextup.domain.errors import InvalidInput


def random_part(seed, n=60):
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(
        rng.integers(0, 12, n), rng.integers(0, 20, n), n_users=12, n_items=20
    )


class OneByOne:
    """A model that cannot rank for many at once."""

    name = "one-by-one"
    n_items = 20

    def __init__(self, model):
        self.model = model

    def score(self, history):
        return self.model.score(history)


def test_an_oracle_is_perfect():
    """A model that knows the truth has NDCG 1, and popularity less."""
    truth = Interactions.from_pairs([0, 1], [5, 5], n_users=12, n_items=20)
    oracle = PopularityModel(np.eye(20, dtype=np.float32)[5])
    empty = Interactions.from_pairs([], [], n_users=12, n_items=20)
    result = evaluate(oracle, empty, truth, cutoffs=(1, 3))
    assert result.mean("ndcg@3") == 1
    assert result.users.tolist() == [0, 1]


def test_only_people_with_truth_are_asked():
    """Every figure is of a person with truth, so none is NaN."""
    truth = Interactions.from_pairs([3, 7], [1, 2], n_users=12, n_items=20)
    result = evaluate(Popularity().fit(random_part(0)), random_part(0), truth)
    assert result.users.tolist() == [3, 7]
    assert all(len(v) == 2 and not np.isnan(v).any() for v in result.per_person.values())


def test_a_model_without_a_way_to_rank_is_asked_one_by_one():
    """Ranking through `score` alone gives the lists of the model's own `rank`."""
    model = Popularity().fit(random_part(0))
    quick = rank_everyone(model, random_part(1), 5)
    slow = rank_everyone(OneByOne(model), random_part(1), 5)
    assert np.array_equal(quick.items, slow.items)


def test_whether_one_model_is_better_is_asked_of_the_same_people():
    """Comparison is paired; evaluations of different people are refused."""
    model = Popularity().fit(random_part(0))
    first = evaluate(model, random_part(0), random_part(1))
    difference = compare(first, first, "ndcg@10", rng=np.random.default_rng(0))
    assert difference.mean == 0
    truth = Interactions.from_pairs([0], [1], n_users=12, n_items=20)
    other = evaluate(model, random_part(0), truth)
    with pytest.raises(InvalidInput, match="different people"):
        compare(first, other, "ndcg@10", rng=np.random.default_rng(0))


def test_segments_and_intervals_are_of_the_asked():
    """The intervals of light and heavy people are of all the asked together."""
    result = evaluate(Popularity().fit(random_part(0)), random_part(0), random_part(1))
    parts = result.by_segment("recall@10", rng=np.random.default_rng(0))
    assert sum(part.n for part in parts.values()) == len(result.users)
    whole = result.interval("recall@10", rng=np.random.default_rng(0))
    assert whole.mean == pytest.approx(result.mean("recall@10"))


def test_vectors_add_diversity():
    """Intra-list diversity is measured where item vectors are given."""
    model = Popularity().fit(random_part(0))
    vectors = np.eye(20)
    result = evaluate(model, random_part(0), random_part(1), vectors=vectors)
    assert result.catalogue["intra_list_diversity"] == pytest.approx(1)


@pytest.mark.parametrize("cutoffs", [(), (0,)])
def test_a_cutoff_of_nothing_is_refused(cutoffs):
    """At least one cutoff of at least one place is needed."""
    with pytest.raises(InvalidInput):
        evaluate(Popularity().fit(random_part(0)), random_part(0), random_part(1), cutoffs=cutoffs)


def test_rows_of_other_people_are_refused():
    """History and truth must have the same rows, and somebody must have truth."""
    model = Popularity().fit(random_part(0))
    more = Interactions.from_pairs([0], [0], n_users=13, n_items=20)
    with pytest.raises(InvalidInput, match="rows"):
        evaluate(model, random_part(0), more)
    nobody = Interactions.from_pairs([], [], n_users=12, n_items=20)
    with pytest.raises(InvalidInput, match="Nobody"):
        evaluate(model, random_part(0), nobody)


def test_an_unknown_metric_names_the_known():
    """Asking for a metric that was not measured says which were."""
    result = evaluate(Popularity().fit(random_part(0)), random_part(0), random_part(1))
    with pytest.raises(InvalidInput, match="ndcg@10"):
        result.mean("accuracy")

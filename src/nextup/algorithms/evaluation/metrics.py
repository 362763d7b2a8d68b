"""How good a ranking is: for each person alone, and for the catalogue as a whole.

Each person's figures come as one float64 array with a row per person of the ranking, NaN for
people whose truth is empty: they can say nothing, and averages leave them out (`nanmean`). A
ranking shorter than `k` misses from its end on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms.inputs import check_limit, check_people
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nextup.algorithms.components import Ranking
    from nextup.algorithms.interactions import Interactions

    PerPerson = NDArray[np.float64]
    """(people,), NaN where a person has no truth."""


def hits(ranking: Ranking, truth: Interactions) -> NDArray[np.bool_]:
    """Which places of the ranking hold an item of the person's truth, (people, limit)."""
    _check_rows(ranking, truth)
    n_items = max(truth.n_items, 1)
    rows = np.arange(len(ranking.items), dtype=np.int64)[:, None]
    asked = rows * n_items + ranking.items  # one number per (person, item)
    known = truth.users().astype(np.int64) * n_items + truth.items  # ascending, as rows are
    if len(known) == 0:
        return np.zeros(ranking.items.shape, np.bool_)
    place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.asarray((known[place] == asked) & (ranking.items >= 0))


def recall(ranking: Ranking, truth: Interactions, k: int) -> PerPerson:
    """The share of the truth that is among the first k (divided by all of it, even beyond k)."""
    hit, size = _prepared(ranking, truth, k)
    return _per_person(hit.sum(axis=1), size, size)


def hit_rate(ranking: Ranking, truth: Interactions, k: int) -> PerPerson:
    """1 where at least one of the first k is right, else 0."""
    hit, size = _prepared(ranking, truth, k)
    return _per_person(np.minimum(hit.sum(axis=1), 1), np.ones(len(size)), size)


def ndcg(ranking: Ranking, truth: Interactions, k: int) -> PerPerson:
    """Discounted cumulative gain with binary gains, against the best order k places allow."""
    hit, size = _prepared(ranking, truth, k)
    discount = 1.0 / np.log2(np.arange(2, k + 2))  # (k,)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(size, k)]
    return _per_person(hit @ discount[: hit.shape[1]], ideal, size)


def average_precision(ranking: Ranking, truth: Interactions, k: int) -> PerPerson:
    """The mean precision at each hit; its mean over people is MAP@k."""
    hit, size = _prepared(ranking, truth, k)
    place = np.arange(1, hit.shape[1] + 1)
    precision = np.cumsum(hit, axis=1) / place  # (people, k)
    return _per_person((precision * hit).sum(axis=1), np.minimum(size, k), size)


def reciprocal_rank(ranking: Ranking, truth: Interactions, k: int) -> PerPerson:
    """One over the place of the first hit, 0 without one; its mean over people is MRR@k."""
    hit, size = _prepared(ranking, truth, k)
    first = np.where(hit.any(axis=1), 1.0 / (hit.argmax(axis=1) + 1), 0.0)
    return _per_person(first, np.ones(len(size)), size)


PER_PERSON: dict[str, Callable[[Ranking, Interactions, int], PerPerson]] = {
    "recall": recall,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
}


def coverage(ranking: Ranking, n_items: int) -> float:
    """The share of the catalogue that anybody is shown."""
    return float(np.count_nonzero(exposure(ranking, n_items)) / n_items) if n_items else 0.0


def gini(ranking: Ranking, n_items: int) -> float:
    """How unequally items are shown: 0 all alike, towards 1 where a few have all the places."""
    shown = np.sort(exposure(ranking, n_items)).astype(np.float64)
    total = shown.sum()
    if total == 0:
        return 0.0
    place = np.arange(1, n_items + 1)
    return float((2 * place - n_items - 1) @ shown / (n_items * total))


def exposure(ranking: Ranking, n_items: int) -> NDArray[np.int64]:
    """How often each item is shown, (n_items,)."""
    return np.bincount(ranking.items[ranking.items >= 0], minlength=n_items)


def novelty(ranking: Ranking, train: Interactions) -> PerPerson:
    """Each list's mean surprise in bits, -log2 of the share of people who touched the item.

    An item nobody touched counts as if one person in twice as many had. NaN for an empty list.
    """
    people = np.bincount(train.items, minlength=train.n_items)
    share = np.maximum(people, 0.5) / max(train.n_users, 1)
    return _list_mean(ranking, -np.log2(share))


def popularity_bias(ranking: Ranking, train: Interactions, history: Interactions) -> PerPerson:
    """How much more popular a list is than its person's own history: 1 faithful, 2 twice as much.

    NaN for an empty list or history.
    """
    _check_rows(ranking, history)
    people = np.bincount(train.items, minlength=train.n_items).astype(np.float64)
    own = np.bincount(history.users(), people[history.items], minlength=history.n_users)
    size = np.diff(history.indptr)
    own_mean = np.divide(own, size, out=np.full(len(size), np.nan), where=(size > 0) & (own > 0))
    return np.asarray(_list_mean(ranking, people) / own_mean)


def intra_list_diversity(ranking: Ranking, vectors: NDArray[np.floating]) -> PerPerson:
    """Each list's mean cosine distance between two of its items; `vectors` is (n_items, f).

    NaN for lists of fewer than two items; an item without features is at distance 1 from all.
    """
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norm, out=np.zeros(vectors.shape, np.float64), where=norm > 0)
    shown = ranking.items >= 0
    result = np.full(len(shown), np.nan)
    for person in np.flatnonzero(shown.sum(axis=1) >= 2):
        listed = unit[ranking.items[person, shown[person]]]  # (n, f)
        n = len(listed)
        total = listed.sum(axis=0)
        pairs = total @ total - np.einsum("nf,nf->", listed, listed)  # all i != j
        result[person] = 1.0 - pairs / (n * (n - 1))
    return result


def _prepared(
    ranking: Ranking, truth: Interactions, k: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    check_limit(k)
    return hits(ranking, truth)[:, :k], np.diff(truth.indptr)


def _per_person(
    gain: NDArray[np.generic], ideal: NDArray[np.generic], size: NDArray[np.int64]
) -> PerPerson:
    result: PerPerson = np.divide(
        gain, ideal, out=np.full(len(size), np.nan), where=size > 0, dtype=np.float64
    )
    return result


def _list_mean(ranking: Ranking, values: NDArray[np.float64]) -> PerPerson:
    shown = ranking.items >= 0
    total = np.where(shown, values[ranking.items], 0.0).sum(axis=1)
    size = shown.sum(axis=1)
    mean: PerPerson = np.divide(total, size, out=np.full(len(size), np.nan), where=size > 0)
    return mean


def _check_rows(ranking: Ranking, other: Interactions) -> None:
    if len(ranking.items) != other.n_users:
        raise InvalidInput(
            f"The ranking has {len(ranking.items)} people, the interactions {other.n_users}."
        )
    if ranking.items.size and ranking.items.max() >= other.n_items:
        check_people(other, int(ranking.items.max()) + 1)

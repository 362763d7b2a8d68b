"""What the quality benchmark asks: data to learn from, a part to tune on, and a test."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment

import numpy as np

from nextup.algorithms.evaluation.splits import (
    leave_last_out,
    random_holdout,
    select_people,
    strong_generalisation_split,
)
from nextup.algorithms.interactions import Interactions

SEED = 1
TUNED_ON = 8_000  # people of the validation part, at most
HIDDEN = 5  # of ml-latest-small, each person's last touches


class Asked(NamedTuple):
    """People whose hidden touches are to be found."""

    history: Interactions
    truth: Interactions


@dataclass
class Task:
    """Something to learn from, something to tune on, and a measure."""

    name: str
    train: Interactions
    test: Asked
    tune_train: Interactions
    tune: Asked
    cutoff: int


def pair(name: str, train: Interactions, test: Interactions) -> Task:
    """A split of each person's touches; the validation part is one more of the same kind, in which
    as large a share is hidden."""
    rng = np.random.default_rng(SEED)
    hidden = random_holdout(train, rng=rng, share=len(test) / (len(train) + len(test)))
    some = np.flatnonzero(np.diff(hidden.truth.indptr) > 0)
    some = np.sort(rng.choice(some, min(TUNED_ON, len(some)), replace=False))
    tune = Asked(select_people(hidden.train, some), select_people(hidden.truth, some))
    return Task(name, train, Asked(train, test), hidden.train, tune, 20)


def goodbooks() -> Task:
    """Ratings of four and five; 3,000 people held out for the test, 2,000 more for tuning."""
    with zipfile.ZipFile(harness.DATA / "goodbooks-10k.zip") as archive:
        lines = archive.read("goodbooks-10k/ratings.csv").decode().splitlines()[1:]
    books, users, stars = np.array([line.split(",") for line in lines], np.int64).T
    liked = stars >= 4
    _, users = np.unique(users[liked], return_inverse=True)
    pairs = np.unique(np.stack([users, books[liked] - 1]), axis=1)  # some occur twice
    shape = {"n_users": int(users.max()) + 1, "n_items": int(books.max())}
    touches = Interactions.from_pairs(*pairs, **shape)
    rng = np.random.default_rng(SEED)
    test = strong_generalisation_split(touches, rng=rng, held_out=3000, min_touches=5)
    tune = strong_generalisation_split(test.train, rng=rng, held_out=2000, min_touches=5)
    return Task(
        "goodbooks",
        test.train,
        Asked(test.fold_in, test.truth),
        tune.train,
        Asked(tune.fold_in, tune.truth),
        100,
    )


def read_pair(name: str, train: str, test: str) -> Task:
    """From two texts in Gowalla's format."""
    parts = [harness.adjacency(text) for text in (train, test)]
    users, items = np.concatenate(parts).max(axis=0) + 1
    shape = {"n_users": int(users), "n_items": int(items)}
    return pair(name, *(Interactions.from_pairs(*part.T, **shape) for part in parts))


def movielens() -> Task:
    """ml-latest-small, ratings of three and more; each person's last five are the test.

    Almost everybody there rates in one sitting and never comes back, so that no single moment
    leaves enough people with a past and a future: the split is by each person's own time. The
    validation part is the five before.
    """
    with zipfile.ZipFile(harness.DATA / "ml-latest-small.zip") as archive:
        lines = archive.read("ml-latest-small/ratings.csv").decode().splitlines()[1:]
    users, films, stars, times = np.array([line.split(",") for line in lines], np.float64).T
    liked = stars >= 3
    _, user = np.unique(users[liked], return_inverse=True)
    _, film = np.unique(films[liked], return_inverse=True)
    shape = {"n_users": int(user.max()) + 1, "n_items": int(film.max()) + 1}
    times = times[liked].astype(np.int64)
    touches = Interactions.from_pairs(user, film, None, times, **shape)
    test = leave_last_out(touches, n_last=HIDDEN, min_touches=2 * HIDDEN)
    tune = leave_last_out(test.train, n_last=HIDDEN, min_touches=2 * HIDDEN)
    return Task(
        "ml-latest-small",
        test.train,
        Asked(test.train, test.truth),
        tune.train,
        Asked(tune.train, tune.truth),
        10,
    )

"""Ways to hide part of the data from a model, so that it can be asked about that part.

Rows keep their meaning: `train`, `fold_in` and `truth` of one split have the same people in the
same rows. Everything is deterministic for the same input and random generator.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms.inputs import check_share
from nextup.algorithms.interactions import Interactions
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Split(NamedTuple):
    """Train on one part, ask for the other; row `u` is the same person in both."""

    train: Interactions
    truth: Interactions


class TimeSplit(NamedTuple):
    """A split at one moment for everybody, as a deployed model sees the world."""

    train: Interactions
    truth: Interactions
    cut_at: int  # unix seconds: train lies before it, truth at it or after


class HeldOutPeople(NamedTuple):
    """A split by people: the model never sees the held-out ones until they are folded in."""

    train: Interactions  # everybody else; row r is person `train_users[r]`
    fold_in: Interactions  # the known part of the held-out people, row r is `held_out_users[r]`
    truth: Interactions  # their hidden part, the same rows as `fold_in`
    train_users: NDArray[np.int64]
    held_out_users: NDArray[np.int64]


def global_time_split(
    interactions: Interactions, *, cut_at: int | None = None, test_share: float = 0.2
) -> TimeSplit:
    """Cut at a moment: given, or the earliest that leaves at most `test_share` of the touches.

    People without a touch before the cut stay, with an empty row in train: they are the new
    ones. Raises InvalidInput where either side would be empty (all touches in one second, say).
    """
    if cut_at is None:
        cut_at = _cut_for(interactions.times, test_share)
    before = interactions.times < cut_at
    if before.all() or not before.any():
        raise InvalidInput(
            f"Nothing lies {'after' if before.all() else 'before'} the cut at {cut_at}.",
            cure="Choose a moment inside the data, or split by people where times are missing.",
        )
    split = TimeSplit(_touches(interactions, before), _touches(interactions, ~before), cut_at)
    check_no_future(split)
    return split


def check_no_future(split: TimeSplit) -> None:
    """Raise InvalidInput if anything in train is as late as the cut, or anything in truth earlier.

    A guard for splits that came from elsewhere too (files, another engine).
    """
    if len(split.train) and split.train.times.max() >= split.cut_at:
        raise InvalidInput(f"Train holds a touch at or after the cut at {split.cut_at}.")
    if len(split.truth) and split.truth.times.min() < split.cut_at:
        raise InvalidInput(f"Truth holds a touch before the cut at {split.cut_at}.")


def strong_generalisation_split(
    interactions: Interactions,
    *,
    rng: np.random.Generator,
    held_out: int | float = 0.1,
    fold_in_share: float = 0.8,
    min_touches: int = 2,
) -> HeldOutPeople:
    """Hold out whole people: a number of them, or a share; each shows `fold_in_share` of its row.

    Only people with at least `min_touches` can be held out. Each held-out person keeps at least
    one touch on either side; which ones is drawn from `rng`.
    """
    check_share(fold_in_share=fold_in_share)
    eligible = np.flatnonzero(np.diff(interactions.indptr) >= max(min_touches, 2))
    wanted = math.floor(held_out * len(eligible)) if isinstance(held_out, float) else held_out
    if not 0 < wanted <= len(eligible) or wanted >= interactions.n_users:
        raise InvalidInput(
            f"{wanted} people cannot be held out: {len(eligible)} of {interactions.n_users} have "
            f"at least {max(min_touches, 2)} touches, and somebody must stay to learn from."
        )
    held_out_users = np.sort(rng.choice(eligible, size=wanted, replace=False))
    train_users = np.setdiff1d(np.arange(interactions.n_users), held_out_users)
    held = select_people(interactions, held_out_users)
    size = np.diff(held.indptr)
    shown = np.clip(np.rint(fold_in_share * size), 1, size - 1).astype(np.int64)
    known = _place_in_row(held, rng.random(len(held))) < shown[held.users()]
    return HeldOutPeople(
        train=select_people(interactions, train_users),
        fold_in=_touches(held, known),
        truth=_touches(held, ~known),
        train_users=train_users,
        held_out_users=held_out_users,
    )


def leave_last_out(interactions: Interactions, *, n_last: int = 1, min_touches: int = 2) -> Split:
    """Hide each person's last touches, for tuning on the data at hand.

    Touches of the same second are taken in `History` order. People with fewer than
    `min_touches`, or no more than `n_last`, keep everything and are not asked about.
    """
    if n_last < 1:
        raise InvalidInput(f"n_last must be at least 1, not {n_last}.")
    size = np.diff(interactions.indptr)
    asked = (size >= min_touches) & (size > n_last)
    newest_first = _place_in_row(interactions, -_place_in_row(interactions, interactions.times))
    users = interactions.users()
    hidden = asked[users] & (newest_first < n_last)
    return _split(interactions, hidden)


def random_holdout(
    interactions: Interactions,
    *,
    rng: np.random.Generator,
    share: float = 0.1,
    min_touches: int = 2,
) -> Split:
    """Hide a random share of each person's touches, for data without times.

    Everybody keeps at least one touch; people with fewer than `min_touches` keep all.
    """
    check_share(share=share)
    size = np.diff(interactions.indptr)
    # rounding up or down by chance keeps the expected share exact for short rows too
    hide = np.floor(share * size + rng.random(len(size))).astype(np.int64)
    hide = np.where(size >= min_touches, np.minimum(hide, np.maximum(size - 1, 0)), 0)
    hidden = _place_in_row(interactions, rng.random(len(interactions))) < hide[interactions.users()]
    return _split(interactions, hidden)


def select_people(interactions: Interactions, users: NDArray[np.integer]) -> Interactions:
    """The rows of `users`, in that order; nothing about the items changes."""
    start = interactions.indptr[users]
    size = interactions.indptr[np.asarray(users) + 1] - start
    indptr = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    touches = np.arange(indptr[-1]) + np.repeat(start - indptr[:-1], size)
    return Interactions(
        indptr,
        interactions.items[touches],
        interactions.weights[touches],
        interactions.times[touches],
        interactions.n_items,
    )


def _cut_for(times: NDArray[np.int64], test_share: float) -> int:
    """The earliest moment with at most `test_share` of the touches at it or after."""
    check_share(test_share=test_share)
    if len(times) == 0:
        raise InvalidInput("There are no touches to split.")
    at_most = math.floor(test_share * len(times))
    newest_first = np.sort(times)[::-1]
    if at_most >= len(times):
        return int(newest_first[-1])
    return int(newest_first[at_most]) + 1  # the first second after the oldest that must stay


def _split(interactions: Interactions, hidden: NDArray[np.bool_]) -> Split:
    if not hidden.any():
        raise InvalidInput(
            "Nothing can be hidden: nobody has enough touches.",
            cure="Use more data, or a smaller min_touches.",
        )
    return Split(_touches(interactions, ~hidden), _touches(interactions, hidden))


def _touches(interactions: Interactions, kept: NDArray[np.bool_]) -> Interactions:
    """The same people with only some of their touches."""
    so_far = np.concatenate([[0], np.cumsum(kept)])
    return Interactions(
        so_far[interactions.indptr].astype(np.int64),
        interactions.items[kept],
        interactions.weights[kept],
        interactions.times[kept],
        interactions.n_items,
    )


def _place_in_row(interactions: Interactions, keys: NDArray[np.generic]) -> NDArray[np.int64]:
    """Each touch's place among its person's, ordered by `keys`, equal keys by item, (nnz,)."""
    users = interactions.users()
    order = np.lexsort((keys, users))  # stable, so equal keys stay by item
    place = np.empty(len(users), np.int64)
    place[order] = np.arange(len(users)) - interactions.indptr[users]
    return place

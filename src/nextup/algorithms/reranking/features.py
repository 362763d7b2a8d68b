"""What a learned ranker looks at, computed from nothing but what lies before a moment.

Three kinds: what the sources say about the pair, what is known of the item and of the person
at that moment, and how the item fits what the person did. Everything is a share, a cosine, a
logarithm or a number of days, so that it means the same in a small past and in a large one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nextup.algorithms.inputs import check_limit
from nextup.algorithms.models.trending import decayed_counts
from nextup.algorithms.reranking.traits import (
    NEVER_AT,
    NEVER_DAYS,
    TRAIT_NAMES,
    ItemTraits,
    days_between,
)
from nextup.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from nextup.algorithms.interactions import Interactions
    from nextup.algorithms.reranking.candidates import Candidates

    Floats = NDArray[np.float32]

ITEM_NAMES = ("item.popularity", "item.lately", "item.rise", "item.age_days", "item.idle_days")
PERSON_NAMES = ("person.activity", "person.idle_days")
NOTHING = np.zeros((), np.float32)  # instead of a column that nobody wants
LATELY_HALF_LIFE_SECONDS = 7 * 86_400.0


class ItemStatistics(NamedTuple):
    """What is known of the items at one moment, from what everybody did before it."""

    people: Floats  # (n_items,) who touched it
    lately: Floats  # (n_items,) confidences, halved every week of age
    first_at: NDArray[np.int64]  # (n_items,) unix seconds of the first of all last touches; or 0
    last_at: NDArray[np.int64]  # (n_items,) unix seconds of the newest touch; or 0
    moment: int  # unix seconds

    @classmethod
    def before(cls, past: Interactions, moment: int) -> Self:
        """From a past that has nothing at the moment or after it; raises InvalidInput if it has."""
        check_past(past, moment)
        n_items = past.n_items
        people = np.bincount(past.items, minlength=n_items)
        lately = decayed_counts(
            past.items,
            past.times,
            past.weights,
            n_items=n_items,
            now=moment,
            half_life_seconds=LATELY_HALF_LIFE_SECONDS,
        )
        first_at = np.full(n_items, np.iinfo(np.int64).max)
        np.minimum.at(first_at, past.items, past.times)
        last_at = np.zeros(n_items, np.int64)
        np.maximum.at(last_at, past.items, past.times)
        first_at[people == 0] = 0
        return cls(people.astype(np.float32), lately.astype(np.float32), first_at, last_at, moment)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """How they are stored."""
        return {
            "people": self.people,
            "lately": self.lately,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "moment": np.array([self.moment], np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of `arrays`."""
        return cls(
            np.asarray(arrays["people"], np.float32),
            np.asarray(arrays["lately"], np.float32),
            np.asarray(arrays["first_at"], np.int64),
            np.asarray(arrays["last_at"], np.int64),
            int(arrays["moment"].tolist()[0]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class RankingFeatures:
    """Which sources there are, how the fixed blend weighs them, and what items have in common."""

    sources: Sequence[str]  # their names, in the order of the candidates' rankings
    weights: Sequence[float]  # of the fixed blend
    traits: Mapping[str, ItemTraits] = field(default_factory=dict)  # "genres", "makers", ...
    depth: int = 200  # candidates from each source
    pool: int = 200  # of all candidates, the best by the fixed blend are ranked

    def __post_init__(self) -> None:
        if not self.sources or len(self.sources) != len(self.weights):
            raise InvalidInput("A ranker needs at least one source, and a weight for each.")
        if not sum(self.weights) > 0:
            raise InvalidInput("At least one source needs a weight above zero.")
        check_limit(self.depth)
        check_limit(self.pool)

    @property
    def names(self) -> tuple[str, ...]:
        """What each column says."""
        own = (f"{source}.{what}" for source in self.sources for what in ("share", "place"))
        traits = (f"{trait}.{what}" for trait in self.traits for what in TRAIT_NAMES)
        return ("blend", "blend.place", "sources", *own, *ITEM_NAMES, *PERSON_NAMES, *traits)

    @property
    def share_columns(self) -> tuple[int, ...]:
        """Where each source's share is."""
        return tuple(self.names.index(f"{source}.share") for source in self.sources)

    def of(
        self,
        candidates: Candidates,
        people: Interactions,
        statistics: ItemStatistics,
        moments: ArrayLike,
        *,
        wanted: Collection[int] | None = None,
    ) -> Floats:
        """(people, width, features), zeros where there is no candidate; always finite.

        The candidates are those of `Candidates.best`, `people` the histories of their rows.
        `moments` is when each of them asks, one for all or one each, in unix seconds; the
        statistics may be older, never newer. Raises InvalidInput for anything in a history, or
        in the statistics, that lies at the moment or after it. Items beyond the catalogue of
        traits and statistics count as new. Where only some columns are `wanted`, others may be
        zeros: what costs most is not computed for nobody.
        """
        at = np.broadcast_to(np.asarray(moments, np.int64), (people.n_users,))
        check_past(people, at)
        if people.n_users and statistics.moment > at.min():
            raise InvalidInput("The items' statistics are of a later moment than the question.")
        if len(candidates.items) != people.n_users:
            raise InvalidInput(f"{len(candidates.items)} lists for {people.n_users} people.")
        columns: list[NDArray[np.generic]] = [
            np.where(candidates.real, candidates.blend(self.weights), 0),
            np.arange(candidates.items.shape[1]),
            (candidates.shares > 0).sum(axis=0),
        ]
        for share, place in zip(candidates.shares, candidates.places, strict=True):
            columns += [share, place]
        parts: list[tuple[int, Callable[[], Sequence[NDArray[np.generic]]]]] = [
            (len(ITEM_NAMES), partial(_item_columns, candidates.items, statistics, at)),
            (len(PERSON_NAMES), partial(_person_columns, people, at)),
        ]
        parts += [
            (len(TRAIT_NAMES), partial(_trait_columns, trait, candidates.items, people, at))
            for trait in self.traits.values()
        ]
        for width, compute in parts:
            here = range(len(columns), len(columns) + width)
            asked = wanted is None or any(column in wanted for column in here)
            columns += compute() if asked else [NOTHING] * width
        out = np.empty((*candidates.items.shape, len(columns)), np.float32)
        for number, values in enumerate(columns):
            out[..., number] = values
        out[~candidates.real] = 0
        return out


def check_past(past: Interactions, moments: ArrayLike) -> None:
    """Raise InvalidInput if a touch lies at its person's moment or after it."""
    at = np.asarray(moments, np.int64)
    if at.ndim:
        at = np.repeat(at, np.diff(past.indptr))
    if len(past) and bool((past.times >= at).any()):
        raise InvalidInput(
            "A history reaches into the future of the moment it is looked at from.",
            cure="Cut the events at the moment first, then build the matrix from what is left.",
        )


def _item_columns(
    items: NDArray[np.int32], statistics: ItemStatistics, at: NDArray[np.int64]
) -> list[Floats]:
    """In the order of ITEM_NAMES, (people, width) each."""
    n_items = len(statistics.people)
    if n_items == 0:
        return [np.zeros(items.shape, np.float32) for _ in ITEM_NAMES]
    known = (items >= 0) & (items < n_items)
    item = np.where(known, items, 0)
    people = np.where(known, statistics.people[item], 0)
    lately = np.where(known, statistics.lately[item], 0) / _most(statistics.lately)
    usual = people / _most(statistics.people)
    popularity = np.log1p(people) / np.log1p(_most(statistics.people))
    rise = np.log((lately + 1e-3) / (usual + 1e-3))  # 0: as lively as ever
    days = [
        np.where(people > 0, days_between(when[item], at[:, None]), NEVER_DAYS)
        for when in (statistics.first_at, statistics.last_at)
    ]
    return [np.asarray(each, np.float32) for each in (popularity, lately, rise, *days)]


def _most(values: Floats) -> float:
    return max(float(values.max(initial=0)), 1e-30)


def _trait_columns(
    trait: ItemTraits, items: NDArray[np.int32], people: Interactions, at: NDArray[np.int64]
) -> list[Floats]:
    """In the order of TRAIT_NAMES, (people, width) each."""
    return list(np.moveaxis(trait.fit(items, people, at), 2, 0))


def _person_columns(people: Interactions, at: NDArray[np.int64]) -> list[Floats]:
    """In the order of PERSON_NAMES, (people, 1) each."""
    size = np.diff(people.indptr)
    newest = np.full(people.n_users, NEVER_AT, np.int64)
    np.maximum.at(newest, people.users(), people.times)
    idle = days_between(newest, at)
    return [np.asarray(each, np.float32)[:, None] for each in (np.log1p(size), idle)]

"""A past to learn from and what came after it: how the gate, an evaluation and a search ask.

By time, the history is cut at one moment for everybody. By people, some are held out whole and
shown to the model only when it is asked about them, with a part of what they did. Where hardly
anybody ever comes back, each person's last touches are hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import narwhals as nw
import numpy as np

from nextup.algorithms.evaluation.splits import (
    leave_last_out,
    select_people,
    strong_generalisation_split,
)
from nextup.algorithms.interactions import Interactions
from nextup.domain import tables as t
from nextup.domain.errors import InvalidInput
from nextup.domain.events import from_microseconds
from nextup.domain.tables import Table
from nextup.domain.weighing import Weighing
from nextup.services.dataset import load_dataset
from nextup.transforms.silver_to_gold import user_item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.ports.engine import Engine
    from nextup.ports.lake import AsOf
    from nextup.services.dataset import Dataset, ItemFacts
    from nextup.settings import Gate, Settings

By = Literal["time", "last", "people"]
HIDDEN = 5  # of each person's touches, where the test cannot be a period
HELD_OUT_SHARE = 0.2  # of the people, where people are held out


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What a recipe may learn from, and what it is asked afterwards."""

    by: By
    how: str  # how the past was told from what came after, in a few words
    train: Interactions
    learned_from: Sequence[str]  # whose rows are in `train`
    known: Interactions  # what a model may know about each person who is asked
    truth: Interactions  # what it should find; row i is the same person as in `known`
    user_ids: Sequence[str]  # (asked,)
    cut_at: datetime | None = None  # by time: train lies before it
    events: nw.LazyFrame[Any] | None = None  # by time: what train was made of, to be cut again

    def __len__(self) -> int:
        return len(self.user_ids)

    @property
    def returning(self) -> int:
        """How many of those who are asked have a past."""
        return int((np.diff(self.known.indptr) > 0).sum())

    def some(self, most: int, rng: np.random.Generator) -> HeldOut:
        """At most so many of the people, drawn from `rng`; what is learned from stays. 0: all."""
        if not most or len(self) <= most:
            return self
        chosen = self.only(np.sort(rng.choice(len(self), most, replace=False)))
        return replace(chosen, how=f"{self.how}, {most:,} of its {len(self):,} people")

    def only(self, rows: NDArray[np.int64]) -> HeldOut:
        """Some of the people, by their rows."""
        return replace(
            self,
            known=select_people(self.known, rows),
            truth=select_people(self.truth, rows),
            user_ids=[self.user_ids[row] for row in rows],
        )


def by_time(
    engine: Engine,
    settings: Settings,
    items: ItemFacts,
    until: datetime,
    *,
    as_of: AsOf = None,
    wanted: int | None = None,
    newcomers: bool = False,
) -> HeldOut | None:
    """Cut off the last days; where they hold too few people, a growing share of the events.

    Nothing at `until` or later is read. The first cut that leaves `wanted` people (default:
    `gate.min_people`) with a past and something new is taken, else the one that leaves most.
    With `newcomers` people without a past are asked about as well. Where every cut leaves fewer
    than `gate.min_people`, each person's last touches are hidden instead: the past of others may
    then hold what is later than those, which is why it is the last resort. None where even that
    asks too few.
    """
    events = engine.scan(Table.INTERACTIONS, as_of).filter(nw.col(t.OCCURRED_AT) < until)
    best: HeldOut | None = None
    for cut_at in _cuts(engine, settings.gate, events):
        found = _cut(engine, settings, items, events, cut_at, newcomers=newcomers)
        if best is None or found.returning > best.returning:
            best = found
        if found.returning >= (wanted or settings.gate.min_people):
            break
    if best is not None and best.returning >= settings.gate.min_people:
        return best
    people = everybody(engine, settings, items, until, as_of)
    last = by_last_touches(people.interactions, people.user_ids)
    return last if last is not None and len(last) >= settings.gate.min_people else None


def by_last_touches(interactions: Interactions, user_ids: Sequence[str]) -> HeldOut | None:
    """Hide each person's last touches; None where nobody has enough of them."""
    try:
        split = leave_last_out(interactions, n_last=HIDDEN, min_touches=2 * HIDDEN)
    except InvalidInput:
        return None
    asked = np.flatnonzero(np.diff(split.truth.indptr) > 0)
    return HeldOut(
        "last",
        f"each person's last {HIDDEN} touches, since too few people come back",
        split.train,
        user_ids,
        select_people(split.train, asked),
        select_people(split.truth, asked),
        [user_ids[int(row)] for row in asked],
    )


def by_people(
    interactions: Interactions, user_ids: Sequence[str], *, seed: int, share: float = HELD_OUT_SHARE
) -> HeldOut:
    """Hold out a share of the people whole; a fifth of what each did is the truth.

    Raises InvalidInput where too few have touched two items or more.
    """
    rng = np.random.default_rng(seed)
    split = strong_generalisation_split(interactions, rng=rng, held_out=share)
    return HeldOut(
        "people",
        "people held out whole, a fifth of each one's touches to be found",
        split.train,
        [user_ids[row] for row in split.train_users],
        split.fold_in,
        split.truth,
        [user_ids[row] for row in split.held_out_users],
    )


def everybody(
    engine: Engine, settings: Settings, items: ItemFacts, until: datetime, as_of: AsOf = None
) -> Dataset:
    """All that happened before `until`, to be split by people."""
    events = engine.scan(Table.INTERACTIONS, as_of).filter(nw.col(t.OCCURRED_AT) < until)
    return load_dataset(engine, user_item(events, _weighing(settings), until), items.item_ids)


def _weighing(settings: Settings) -> Weighing:
    return Weighing.from_weights(settings.weights, settings.contracts.rating_max)


def _cuts(engine: Engine, gate: Gate, events: nw.LazyFrame[Any]) -> Sequence[datetime]:
    times = engine.arrays(events.select(t.OCCURRED_AT))[t.OCCURRED_AT]  # (events,) microseconds
    if not len(times):
        return ()
    shares = [gate.test_share * n for n in (1, 2, 3) if gate.test_share * n < 1]
    last_days = times.max() - timedelta(days=gate.test_days) // timedelta(microseconds=1)
    cuts = [int(last_days), *(int(np.quantile(times, 1 - share)) for share in shares)]
    first = times.min()
    return [from_microseconds(cut) for cut in cuts if cut > first]


def _cut(
    engine: Engine,
    settings: Settings,
    items: ItemFacts,
    events: nw.LazyFrame[Any],
    cut_at: datetime,
    *,
    newcomers: bool,
) -> HeldOut:
    train, new = past_and_after(engine, settings, items, events, cut_at)
    found = _asked(train, new, cut_at, newcomers=newcomers)
    return replace(found, events=events.filter(nw.col(t.OCCURRED_AT) < cut_at))


def past_and_after(
    engine: Engine,
    settings: Settings,
    items: ItemFacts,
    events: nw.LazyFrame[Any],
    cut_at: datetime,
) -> tuple[Dataset, Dataset]:
    """What was known at a moment, and what came after it.

    The events are cut, and only then merged into pairs: a pair that was touched before and after
    is in both, and the past knows nothing of its later touch.
    """
    before = events.filter(nw.col(t.OCCURRED_AT) < cut_at)
    after = events.filter(nw.col(t.OCCURRED_AT) >= cut_at)
    weighing = _weighing(settings)
    past = load_dataset(engine, user_item(before, weighing, cut_at), items.item_ids)
    return past, load_dataset(engine, user_item(after, weighing, cut_at), items.item_ids)


def new_to_people(train: Dataset, new: Dataset) -> tuple[list[str], Interactions]:
    """Everybody, those of `train` first and in its order, and what of `new` is new to them."""
    row_of = {user_id: row for row, user_id in enumerate(train.user_ids)}
    people = [*train.user_ids, *(name for name in new.user_ids if name not in row_of)]
    row_of |= {user_id: row for row, user_id in enumerate(people)}
    rows = np.array([row_of[user_id] for user_id in new.user_ids], np.int64)
    touched = new.interactions
    users = rows[touched.users()]
    keys = users * touched.n_items + touched.items
    fresh = ~np.isin(keys, np.concatenate([_keys(train.interactions), train.indifferent]))
    truth = Interactions.from_pairs(
        users[fresh],
        touched.items[fresh],
        touched.weights[fresh],
        touched.times[fresh],
        n_users=len(people),
        n_items=touched.n_items,
    )
    return people, truth


def _asked(train: Dataset, new: Dataset, cut_at: datetime, *, newcomers: bool) -> HeldOut:
    """Who is asked about, and what is new to them."""
    people, truth = new_to_people(train, new)
    known = _with_newcomers(train.interactions, len(people))
    may_be_asked = newcomers | (np.diff(known.indptr) > 0)
    asked = np.flatnonzero((np.diff(truth.indptr) > 0) & may_be_asked)
    names = [people[row] for row in asked]
    return HeldOut(
        "time",
        f"since {cut_at:%Y-%m-%d %H:%M}",
        train.interactions,
        train.user_ids,
        select_people(known, asked),
        select_people(truth, asked),
        names,
        cut_at,
    )


def _with_newcomers(interactions: Interactions, n_users: int) -> Interactions:
    """The same with empty rows at the end, as many as it takes to have `n_users`."""
    indptr = interactions.indptr
    more = np.full(n_users - interactions.n_users, indptr[-1])
    return Interactions(
        np.concatenate([indptr, more]),
        interactions.items,
        interactions.weights,
        interactions.times,
        interactions.n_items,
    )


def _keys(interactions: Interactions) -> NDArray[np.int64]:
    return interactions.users().astype(np.int64) * interactions.n_items + interactions.items

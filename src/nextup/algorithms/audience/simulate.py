"""A simulated audience: people with named tastes that drift, and what they do with a catalogue.

Nobody here is real. What is true of each person is known, so that a model's lists can be compared
with what the person would really have liked.

How people behave is in `behaviour`, what they like in `tastes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextup.algorithms.audience.behaviour import (
    CHAIN,
    DAY_SECONDS,
    SHOWCASE,
    AudienceConfig,
    appetite,
    draw_crowd,
    draw_reactions,
    draw_sessions,
    draw_visits,
    timetable,
)
from nextup.algorithms.audience.tastes import TASTES, matches
from nextup.domain.errors import InvalidInput
from nextup.domain.events import EventType, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import ArrayLike, NDArray

    from nextup.algorithms.audience.behaviour import Crowd, Floats, Ints, Outcomes, Sessions, Visits
    from nextup.domain.items import Item


__all__ = ["SHOWCASE", "Audience", "AudienceConfig", "Truth", "simulate", "truth_of"]


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulated people really want. Rows are people and items in the order of the ids."""

    taste_names: tuple[str, ...]
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    start: Floats  # (people, tastes) mixture when the period starts; rows sum to 1
    end: Floats  # (people, tastes) mixture when it ends
    match: NDArray[np.float32]  # (tastes, items) 0..1
    starts_at: int  # microseconds since the epoch
    ends_at: int  # microseconds since the epoch

    def mixture(self, users: ArrayLike, at: ArrayLike) -> Floats:
        """The mixtures of tastes at moments in microseconds, (n, tastes).

        Taste moves in a straight line from start to end; outside the period it stands still.
        """
        elapsed = np.asarray(at, np.int64) - self.starts_at
        share = np.clip(elapsed / (self.ends_at - self.starts_at), 0, 1)[..., None]  # (n, 1)
        rows = np.asarray(users, np.int64)
        result: Floats = (1 - share) * self.start[rows] + share * self.end[rows]
        return result

    def affinity(self, users: ArrayLike, at: ArrayLike) -> Floats:
        """How much each of these people wants every item at that moment, 0..1: (n, items)."""
        result: Floats = np.minimum(appetite(self.mixture(users, at)) @ self.match, 1)
        return result

    def tastes_of(self, user_id: str) -> tuple[dict[str, float], dict[str, float]]:
        """A person's tastes at the start and at the end, by name, strongest first.

        Raises ValueError for somebody who is not in this audience.
        """
        row = self.user_ids.index(user_id)
        both = (self.start[row], self.end[row])
        start, end = (
            {self.taste_names[k]: float(w[k]) for k in np.argsort(-w) if w[k] > 0} for w in both
        )
        return start, end


@dataclass(frozen=True, slots=True)
class Audience:
    """Events in columns of equal length, oldest first, and the truth behind them."""

    event_ids: list[str]  # sim-<seed>-<number>, numbered in the order of time
    types: list[str]
    user_ids: list[str]
    item_ids: list[str]
    values: list[float | None]  # 0.5 to 5 in halves for a rating, else None
    occurred_at: Ints  # microseconds since the epoch, all before the period's end
    session_ids: list[str]
    user_index: Ints  # rows of the truth
    item_index: Ints
    truth: Truth

    def __len__(self) -> int:
        return len(self.event_ids)


def simulate(
    items: Sequence[Item],
    config: AudienceConfig | None = None,
    *,
    ends_at: datetime,
    seed: int = 0,
) -> Audience:
    """What an audience does with these items up to, not including, `ends_at` (aware).

    Items come best known first within each kind: their order is the popularity. The same items,
    configuration, end and seed give the same audience. Event ids depend on the seed and the
    number alone, so the same seed with another end reuses ids for other events.

    Raises InvalidInput for an empty catalogue, a naive `ends_at`, fewer people than the showcase
    has, a period under one day, or a negative seed.
    """
    config = config or AudienceConfig()
    _check(items, config, ends_at, seed)
    rng = np.random.default_rng(seed)
    crowd = draw_crowd(rng, config)
    truth = _truth(items, config, crowd, ends_at)
    sessions = draw_sessions(rng, config, crowd, truth.starts_at)
    visits = draw_visits(rng, config, items, truth.match, sessions)
    outcomes = draw_reactions(rng, config, truth.match, sessions, visits)
    return _unfold(config, truth, sessions, visits, outcomes, seed)


def truth_of(
    items: Sequence[Item], config: AudienceConfig, *, ends_at: datetime, seed: int
) -> Truth:
    """What the people of `simulate` with the same arguments really want, without their events."""
    _check(items, config, ends_at, seed)
    return _truth(items, config, draw_crowd(np.random.default_rng(seed), config), ends_at)


def _truth(items: Sequence[Item], config: AudienceConfig, crowd: Crowd, ends_at: datetime) -> Truth:
    end = to_microseconds(ends_at)
    return Truth(
        tuple(taste.name for taste in TASTES),
        crowd.ids,
        tuple(item.item_id for item in items),
        crowd.start,
        crowd.end,
        matches(TASTES, items),
        end - round(config.days * DAY_SECONDS * 1e6),
        end,
    )


def _check(items: Sequence[Item], config: AudienceConfig, ends_at: datetime, seed: int) -> None:
    if not items:
        raise InvalidInput("An audience needs at least one item.")
    if ends_at.tzinfo is None:
        raise InvalidInput("The end of the simulated period has no time zone.", cure="Use UTC.")
    if config.people < len(SHOWCASE):
        raise InvalidInput(f"An audience has at least {len(SHOWCASE)} people.")
    if config.days < 1:
        raise InvalidInput("The simulated period is shorter than a day.")
    if seed < 0:
        raise InvalidInput("A seed is a whole number from 0.")


def _unfold(
    config: AudienceConfig,
    truth: Truth,
    sessions: Sessions,
    visits: Visits,
    outcomes: Outcomes,
    seed: int,
) -> Audience:
    """Put the chains one after the other in time and spread them into columns."""
    view, undisturbed = timetable(sessions, visits, outcomes)
    seconds = view[:, None] + outcomes.delay
    kept = outcomes.happened & undisturbed[:, None] & (seconds < config.days * DAY_SECONDS)
    visit, step = np.nonzero(kept)
    occurred_at = truth.starts_at + (seconds[visit, step] * 1e6).astype(np.int64)
    order = np.argsort(occurred_at, kind="stable")
    visit, step, occurred_at = visit[order], step[order], occurred_at[order]

    user = sessions.user[visits.session[visit]]
    item = visits.item[visit]
    stars = outcomes.stars[visit]
    rated = step == CHAIN.index(EventType.RATING)
    prefix = f"sim-{seed}-"
    return Audience(
        [f"{prefix}{number}" for number in range(len(visit))],
        [CHAIN[s].value for s in step.tolist()],
        [truth.user_ids[u] for u in user.tolist()],
        [truth.item_ids[i] for i in item.tolist()],
        [
            value if is_rated else None
            for value, is_rated in zip(stars.tolist(), rated.tolist(), strict=True)
        ],
        occurred_at,
        [f"{prefix}s{s}" for s in visits.session[visit].tolist()],
        user,
        item,
        truth,
    )

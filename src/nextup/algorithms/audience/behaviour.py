"""How simulated people behave: who they are, when they come, what they look at, how they react.

Everything is drawn in columns. A session is one visit to the shop, a visit is one item looked at
in it, and each visit unfolds into a chain of events: view, then click, then like and rating, or
dismiss instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms.audience.tastes import TASTES, links
from nextup.domain.events import EventType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextup.domain.items import Item

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

HOUR_SECONDS = 3600.0
DAY_SECONDS = 24 * HOUR_SECONDS
_LONGEST_GAP_SECONDS = 15 * 60.0  # between two events of one session
_QUIET_SECONDS = 30 * 60.0  # at least this long between two sessions of one person

# Relative arrivals: asleep, a bump at lunch, the peak at nine in the evening; fuller weekends.
BY_HOUR = (6, 4, 2, 1, 1, 1, 2, 4, 6, 7, 8, 9, 12, 11, 9, 9, 10, 13, 18, 24, 28, 30, 24, 14)
_BY_WEEKDAY = (0.9, 0.85, 0.9, 0.95, 1.15, 1.4, 1.3)  # Monday first

SHOWCASE = {  # people that every audience has, with one taste that never changes
    "horror-fan": "horror fan",
    "classics-reader": "reader of classics",
    "family-evenings": "family evenings",
    "sci-fi-fan": "sci-fi fan",
    "newcomer": "crime and mystery",  # joined three hours before the end; one short session
}
CHAIN = (EventType.VIEW, EventType.CLICK, EventType.LIKE, EventType.RATING, EventType.DISMISS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceConfig:
    """How large the audience is and how it behaves. The defaults give some 270,000 events."""

    people: int = 2500  # with the five showcase people
    days: float = 90.0  # length of the period
    sessions_per_week: float = 1.5  # of an average person
    activity_sigma: float = 1.0  # spread of the log-normal activity; 0 makes all equally busy
    most_sessions_per_day: float = 2.0  # of the busiest person, on average
    visits_per_session: float = 4.5  # items looked at, on average
    late_share: float = 0.3  # people who join during the period, not before it
    drift_share: float = 0.35  # people whom a new taste takes over; the others' weights wander
    zipf_exponent: float = 1.0  # an item's pull is 1 / (rank + zipf_shift) ** zipf_exponent
    zipf_shift: float = 6.0  # ranks by which the head of the curve is flattened
    taste_strength: float = 5.0  # a full match pulls e ** this times as much as none
    noise_share: float = 0.1  # visits guided by popularity alone
    trend_share: float = 0.05  # visits to what is talked about at the moment
    trend_days: float = 5.0  # how long something is talked about
    follow_share: float = 0.2  # visits to something with a maker or keyword of the one before
    mood_share: float = 0.75  # visits that stay with the session's mood among a person's tastes
    repeat_share: float = 0.1  # later visits to an item that are kept; they end at the click
    rating_share: float = 0.3  # clicks that are rated


class Crowd(NamedTuple):
    """The people."""

    ids: tuple[str, ...]
    start: Floats  # (people, tastes)
    end: Floats  # (people, tastes)
    joined: Floats  # (people,) seconds after the period's start
    sessions: Ints  # (people,) how many each has, >= 1


def draw_crowd(rng: np.random.Generator, config: AudienceConfig) -> Crowd:
    """Who they are: the showcase people first, then everybody else."""
    n, everyone = config.people, np.arange(config.people)
    share = np.array([taste.share for taste in TASTES])
    # Gumbel noise on log shares draws tastes without replacement, the common ones more often.
    ranked = np.argsort(-(np.log(share) + rng.gumbel(size=(n, len(TASTES)))), axis=1)
    count = rng.choice([1, 2, 3], size=n, p=[0.35, 0.4, 0.25])

    def weights() -> Floats:
        raw = -np.sort(-rng.gamma(2.0, size=(n, 3)), axis=1)  # strongest first
        raw[np.arange(3) >= count[:, None]] = 0
        mixture = np.zeros((n, len(TASTES)))
        mixture[everyone[:, None], ranked[:, :3]] = raw / raw.sum(axis=1, keepdims=True)
        return mixture

    start = weights()
    end = 0.6 * start + 0.4 * weights()  # the same tastes, shifted
    drifts = np.flatnonzero(rng.random(n) < config.drift_share)
    end[drifts] *= 0.3
    end[drifts, ranked[drifts, 3]] += 0.7  # a taste that the person did not have

    length = config.days * DAY_SECONDS
    joined = np.where(rng.random(n) < config.late_share, rng.random(n) * length, 0)
    sigma = config.activity_sigma
    activity = rng.lognormal(-(sigma**2) / 2, sigma, n)  # mean 1
    days = (length - joined) / DAY_SECONDS
    sessions = rng.poisson(
        np.minimum(activity * config.sessions_per_week / 7, config.most_sessions_per_day) * days
    )
    sessions = np.maximum(sessions, 1)

    names = [taste.name for taste in TASTES]
    for row, (user_id, taste) in enumerate(SHOWCASE.items()):
        start[row] = end[row] = np.arange(len(TASTES)) == names.index(taste)
        joined[row] = length - 3 * HOUR_SECONDS if user_id == "newcomer" else 0
        sessions[row] = 1 if user_id == "newcomer" else max(2, round(config.days / 5))
    ids = (*SHOWCASE, *(f"u{number:05d}" for number in range(1, n - len(SHOWCASE) + 1)))
    return Crowd(ids, start, end, joined, sessions)


class Sessions(NamedTuple):
    """When people come, one row for each session."""

    user: Ints  # (s,) ascending
    seconds: Floats  # (s,) after the period's start, ascending for each person
    mixture: Floats  # (s, tastes) what the person wants at that moment
    size: Ints  # (s,) visits


def draw_sessions(
    rng: np.random.Generator, config: AudienceConfig, crowd: Crowd, starts_at: int
) -> Sessions:
    """When they come: sessions of a person may still overlap, see `timetable`."""
    user = np.repeat(np.arange(config.people), crowd.sessions)
    hours = np.arange(int(np.ceil(config.days * 24)))
    since_epoch = starts_at / 1e6 / HOUR_SECONDS + hours
    weekday = (since_epoch // 24 + 3).astype(np.int64) % 7  # the epoch was a Thursday
    busy = np.array(BY_HOUR)[since_epoch.astype(np.int64) % 24] * np.array(_BY_WEEKDAY)[weekday]
    edges = np.minimum(np.r_[hours, hours[-1] + 1] * HOUR_SECONDS, config.days * DAY_SECONDS)
    arrived = np.r_[0, np.cumsum(busy * np.diff(edges))]  # arrivals up to each edge

    joined = np.interp(crowd.joined, edges, arrived)[user]
    seconds = np.interp(joined + rng.random(len(user)) * (arrived[-1] - joined), arrived, edges)
    newcomer = user == list(SHOWCASE).index("newcomer")
    seconds[newcomer] = config.days * DAY_SECONDS - 3 * HOUR_SECONDS
    order = np.lexsort((seconds, user))
    user, seconds = user[order], seconds[order]

    share = (seconds / (config.days * DAY_SECONDS))[:, None]
    mixture = (1 - share) * crowd.start[user] + share * crowd.end[user]
    size = np.minimum(rng.geometric(1 / config.visits_per_session, len(user)), 20)
    size[newcomer[order]] = 3
    return Sessions(user, seconds, mixture, size)


class Visits(NamedTuple):
    """What they look at, one row for each item in a session."""

    session: Ints  # (v,) ascending
    item: Ints  # (v,)
    repeated: NDArray[np.bool_]  # (v,) the person has visited the item before


def draw_visits(
    rng: np.random.Generator,
    config: AudienceConfig,
    items: Sequence[Item],
    match: NDArray[np.float32],
    sessions: Sessions,
) -> Visits:
    """What they look at, by taste, popularity, trend or curiosity; most repeats are left out."""
    session = np.repeat(np.arange(len(sessions.size)), sessions.size)
    prior = _prior(config, items)
    pull = np.vstack([prior * np.exp(config.taste_strength * match), prior])  # (tastes+1, n)

    until = np.cumsum(sessions.mixture, axis=1)
    until[:, -1] = 1
    mood = (rng.random(len(until))[:, None] > until).sum(axis=1)[session]
    other = (rng.random(len(session))[:, None] > until[session]).sum(axis=1)
    taste = np.where(rng.random(len(session)) < config.mood_share, mood, other)
    taste[rng.random(len(session)) < config.noise_share] = len(TASTES)  # popularity alone
    item = _draw(rng, pull, taste)

    windows = int(np.ceil(config.days / config.trend_days))
    talked_about = rng.choice(len(items), (windows, 3), p=np.sqrt(prior) / np.sqrt(prior).sum())
    window = (sessions.seconds[session] // (config.trend_days * DAY_SECONDS)).astype(np.int64)
    trending = np.flatnonzero(rng.random(len(session)) < config.trend_share)
    item[trending] = talked_about[window[trending], rng.integers(3, size=len(trending))]
    _follow(rng, config, items, item, _position(session))

    first = _first(sessions.user[session] * len(items) + item)
    again = _first(session * len(items) + item) & (rng.random(len(item)) < config.repeat_share)
    keep = first | again
    return Visits(session[keep], item[keep], ~first[keep])


def _first(keys: Ints) -> NDArray[np.bool_]:
    """Whether each key occurs for the first time."""
    first = np.zeros(len(keys), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def _prior(config: AudienceConfig, items: Sequence[Item]) -> Floats:
    """Popularity by rank within the kind, each kind as popular as its number of items."""
    prior = np.zeros(len(items))
    kinds = np.array([item.kind for item in items])
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        zipf = (np.arange(len(rows)) + 1 + config.zipf_shift) ** -config.zipf_exponent
        prior[rows] = zipf / zipf.sum() * len(rows) / len(items)
    return prior


def _draw(rng: np.random.Generator, pull: Floats, row: Ints) -> Ints:
    """One column for each of `row`, in proportion to that row's pull."""
    n = pull.shape[1]
    until = np.cumsum(pull, axis=1)
    until = until / until[:, -1:] + np.arange(len(pull))[:, None]  # row k climbs from k to k + 1
    found = np.searchsorted(until.ravel(), row + rng.random(len(row)))
    column: Ints = np.clip(found - row * n, 0, n - 1)
    return column


def _position(session: Ints) -> Ints:
    """The place of each visit in its session, from 0."""
    _, first, size = np.unique(session, return_index=True, return_counts=True)
    return np.arange(len(session)) - np.repeat(first, size)


def _follow(
    rng: np.random.Generator,
    config: AudienceConfig,
    items: Sequence[Item],
    item: Ints,
    position: Ints,
) -> None:
    """Replace some visits, in place, by one that shares a maker or keyword with the one before."""
    by_link: dict[tuple[str, str], list[int]] = {}
    for index, described in enumerate(items):
        for link in links(described):
            by_link.setdefault(link, []).append(index)
    shared = [members for members in by_link.values() if len(members) > 1]
    if not shared:
        return
    width = np.array([len(members) for members in shared])
    offset = np.cumsum(width) - width
    members = np.concatenate([np.array(row) for row in shared])  # items, link after link
    link_of = np.repeat(np.arange(len(shared)), width)[np.argsort(members, kind="stable")]
    degree = np.bincount(members, minlength=len(items))  # shared links of each item
    first = np.cumsum(degree) - degree

    chosen = (rng.random(len(item)) < config.follow_share) & (position > 0)
    for place in range(1, int(position.max()) + 1):  # each step needs the one before it
        here = np.flatnonzero(chosen & (position == place))
        here = here[degree[item[here - 1]] > 0]
        before = item[here - 1]
        link = link_of[first[before] + rng.integers(degree[before])]
        item[here] = members[offset[link] + rng.integers(width[link])]


class Outcomes(NamedTuple):
    """What comes of each visit; columns in the order of `CHAIN`."""

    happened: NDArray[np.bool_]  # (v, 5) which events of the chain took place
    delay: Floats  # (v, 5) seconds after the view
    stars: Floats  # (v,)
    gap: Floats  # (v,) seconds from the last event of the visit to the next view


def appetite(mixture: Floats) -> Floats:
    """A mixture scaled so that a person's strongest taste counts in full."""
    result: Floats = mixture / mixture.max(axis=-1, keepdims=True)
    return result


def draw_reactions(
    rng: np.random.Generator,
    config: AudienceConfig,
    match: NDArray[np.float32],
    sessions: Sessions,
    visits: Visits,
) -> Outcomes:
    """How they react: the better a match, the likelier a click, a like and many stars."""
    n = len(visits.item)
    wanted = appetite(sessions.mixture)[visits.session]  # (v, tastes)
    affinity = np.minimum(np.einsum("vt,vt->v", wanted, match.T[visits.item]), 1)
    pleasure = affinity + 0.12 * rng.standard_normal(n)  # no two people like quite the same

    clicks = rng.random(n) < click_chance(pleasure)
    likes = clicks & ~visits.repeated & (rng.random(n) < like_chance(pleasure))
    rates = clicks & ~visits.repeated & (rng.random(n) < config.rating_share)
    dismisses = ~clicks & ~visits.repeated & (rng.random(n) < 0.15 * (1 - affinity))
    happened = np.stack([np.ones(n, np.bool_), clicks, likes, rates, dismisses], axis=1)

    quality: Floats = 0.25 * rng.standard_normal((match.shape[1],))  # some items are simply better
    generosity = 0.3 * rng.standard_normal(config.people)
    stars = 1.3 + 3 * pleasure + quality[visits.item]
    stars += generosity[sessions.user[visits.session]] + 0.3 * rng.standard_normal(n)
    stars = np.clip(np.round(stars * 2) / 2, 0.5, 5)  # in halves

    click = rng.uniform(3, 30, n)
    like = click + rng.uniform(10, 120, n)
    rating = click + rng.uniform(125, 240, n)
    dismiss = rng.uniform(2, 20, n)
    delay = np.stack([np.zeros(n), click, like, rating, dismiss], axis=1)
    gap = np.minimum(2 + rng.exponential(np.where(clicks, 120, 25)), _LONGEST_GAP_SECONDS)
    return Outcomes(happened, delay, stars, gap)


def click_chance(pleasure: Floats) -> Floats:
    """How likely something that was looked at is chosen."""
    return _sigmoid(-2.3 + 4.2 * pleasure)


def like_chance(pleasure: Floats) -> Floats:
    """How likely something that was chosen is liked."""
    return _sigmoid(-3.4 + 4.2 * pleasure)


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-values))
    return result


def timetable(
    sessions: Sessions, visits: Visits, outcomes: Outcomes
) -> tuple[Floats, NDArray[np.bool_]]:
    """The second of each visit's view, and whether its session starts well after the last one."""
    last = np.max(outcomes.delay * outcomes.happened, axis=1)
    took = last + outcomes.gap
    before = np.cumsum(took) - took
    session, first, size = np.unique(visits.session, return_index=True, return_counts=True)
    view = sessions.seconds[visits.session] + before - np.repeat(before[first], size)

    opens = sessions.seconds[session]
    closes: Floats = opens + np.add.reduceat(took, first)
    user = sessions.user[session]
    apart = 2 * float(closes.max(initial=0)) + 1  # so that one person never delays the next
    busy_until = np.maximum.accumulate(closes + user * apart)
    free = np.r_[True, opens[1:] + user[1:] * apart >= busy_until[:-1] + _QUIET_SECONDS]
    return view, np.repeat(free, size)

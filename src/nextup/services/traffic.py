"""Traffic: simulated people in front of a running server, and what they and the server made of it.

They come along a day's curve, ask for their list, look at it from the top, react by their tastes,
and come again; some are new, some callers make mistakes. What people really want is known here, so
the report can say how much better the lists could have been.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from nextup.algorithms.audience.simulate import AudienceConfig, truth_of
from nextup.algorithms.audience.visitors import Curve, arrivals, deeds, looked_at, regret
from nextup.domain.errors import Conflict
from nextup.services.simulate import best_known_first
from nextup.services.traffic_report import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from nextup.algorithms.audience.behaviour import Floats
    from nextup.domain.items import Item
    from nextup.services.traffic_report import Report, Snapshot

    Watch = Callable[[Snapshot], None]

LOOK_SECONDS = 0.25  # between two looks at how things stand


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficConfig:
    """How much comes, and how it behaves."""

    seconds: float = 60.0
    sessions_per_second: float = 5.0
    curve: Curve = Curve.DAY
    cold_share: float = 0.1  # sessions of somebody who was never there
    mistake_share: float = 0.01  # sessions with a request that must be refused
    lists_per_session: float = 2.0
    places: int = 20  # of a list
    think_seconds: float = 0.2  # between two acts of a person, on average
    callers: int = 32  # sessions at a time


class Shown(NamedTuple):
    """A served list."""

    token: str | None
    level: str
    items: Sequence[str]
    sources: Sequence[str]  # that spoke most for each


class Shop(Protocol):
    """The server as these people see it. A call that fails raises an exception that says why."""

    def items(self) -> Sequence[Item]:
        """The whole catalogue."""
        ...

    def popular(self) -> Sequence[str]:
        """What everybody could be shown, best first."""
        ...

    def known(self, user_id: str) -> Collection[str]:
        """The items that somebody has consumed or dismissed, as far as they are remembered."""
        ...

    def show(self, user_id: str, places: int) -> Shown:
        """Somebody's list."""
        ...

    def tell(
        self, kind: str, user_id: str, item_id: str, value: float | None, token: str | None
    ) -> bool:
        """Something was done; `token` names the list that it was done with. Says whether it is
        news to the server."""
        ...

    def err(self, number: int) -> bool:
        """Ask something wrong, another thing for each number; says whether it was refused."""
        ...


class Visitor(NamedTuple):
    """Who comes."""

    user_id: str
    wants: Floats  # (items,) 0..1
    cold: bool


class Traffic:
    """A run against a shop. One run at a time."""

    def __init__(
        self,
        shop: Shop,
        config: TrafficConfig,
        audience: AudienceConfig,
        *,
        ends_at: datetime,
        seed: int,
    ) -> None:
        """The people are those of `nextup simulate` with the same audience, end and seed. Raises
        Conflict for a shop without items."""
        items = best_known_first(shop.items())
        if not items:
            raise Conflict("The server has no items.", cure="`nextup ingest sample` brings some.")
        self.tally = Tally()
        self._shop = shop
        self._config = config
        self._seed = seed
        self._name = token_hex(4)  # who is new in this run was in no earlier one
        self._truth = truth_of(items, audience, ends_at=ends_at, seed=seed)
        self._rows = {item.item_id: row for row, item in enumerate(items)}
        self._popular = [self._rows[one] for one in shop.popular() if one in self._rows]
        # some people come often, most now and then
        activity = np.random.default_rng(seed).lognormal(0, 1, len(self._truth.user_ids))
        self._reach = np.cumsum(activity / activity.sum())

    def run(self, watch: Watch | None = None) -> Report:
        """Until the last session has ended. `watch` is called a few times a second. An interrupt
        lets nobody new in, waits for those who are there, and is raised; `tally` has the rest."""
        config = self._config
        rng = np.random.default_rng([self._seed, 1])
        due = arrivals(rng, config.seconds, config.sessions_per_second, config.curve)
        started = time.monotonic()
        self.tally.begin()
        with ThreadPoolExecutor(config.callers, thread_name_prefix="visitor") as pool:
            under_way: set[Future[None]] = set()
            try:
                for number, moment in enumerate(due.tolist()):
                    self._pause_until(started + moment, watch)
                    under_way.add(pool.submit(self._session, number, started + moment))
                while under_way:
                    done, under_way = wait(under_way, LOOK_SECONDS, FIRST_COMPLETED)
                    for one in done:
                        one.result()  # a mistake in here is not the server's
                    self._told(watch)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return self.tally.report()

    def _pause_until(self, moment: float, watch: Watch | None) -> None:
        while (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))
            self._told(watch)

    def _told(self, watch: Watch | None) -> None:
        if watch is not None:
            watch(self.tally.snapshot())

    def _session(self, number: int, due: float) -> None:
        """One visit. Each has randomness of its own, whatever the others do meanwhile."""
        rng = np.random.default_rng([self._seed, 2, number])
        self.tally.came(time.monotonic() - due)
        visitor = self._visitor(rng, number)
        with self.tally.timed("history") as asked:
            known = asked.of(lambda: set(self._shop.known(visitor.user_id)))
        if known is not None:
            for _ in range(int(min(rng.geometric(1 / self._config.lists_per_session), 6))):
                if not self._look(rng, visitor, known):
                    break
        if rng.random() < self._config.mistake_share:
            with self.tally.timed("mistake") as asked:
                self.tally.refused(asked.of(lambda: self._shop.err(number)))
        self.tally.left()

    def _visitor(self, rng: np.random.Generator, number: int) -> Visitor:
        row = int(np.searchsorted(self._reach, rng.random() * self._reach[-1]))
        wants = self._truth.affinity([row], self._truth.ends_at)[0]
        if rng.random() < self._config.cold_share:
            return Visitor(f"cold-{self._name}-{number}", wants, cold=True)
        return Visitor(self._truth.user_ids[row], wants, cold=False)

    def _look(self, rng: np.random.Generator, visitor: Visitor, known: set[str]) -> bool:
        """Ask for a list, look at it and react; says whether there was one."""
        with self.tally.timed("list") as asked:
            shown = asked.of(lambda: self._shop.show(visitor.user_id, self._config.places))
        if shown is None:
            return False
        self._judge(visitor, shown, known)
        here = [(place, self._rows.get(item)) for place, item in enumerate(shown.items)]
        rows = [(place, row) for place, row in here if row is not None]
        seen = rows[: looked_at(rng, len(rows))] if rows else []
        places = [place for place, _ in seen]
        wanted = visitor.wants[[row for _, row in seen]]
        self.tally.saw([shown.sources[place] for place in places])
        for deed in deeds(rng, wanted):
            time.sleep(rng.exponential(self._config.think_seconds))
            place = places[deed.place]
            self._do(visitor, shown, place, deed.type.value, deed.value)
            known.add(shown.items[place])
        return True

    def _do(
        self, visitor: Visitor, shown: Shown, place: int, kind: str, value: float | None
    ) -> None:
        item_id = shown.items[place]
        with self.tally.timed("event") as asked:
            asked.of(lambda: self._shop.tell(kind, visitor.user_id, item_id, value, shown.token))
        if asked.answered:
            self.tally.did(kind, shown.sources[place])

    def _judge(self, visitor: Visitor, shown: Shown, known: set[str]) -> None:
        rows = [self._rows[item] for item in shown.items if item in self._rows]
        away = [self._rows[item] for item in known if item in self._rows]
        gone = set(away)
        instead = [row for row in self._popular if row not in gone][: len(rows)]
        missed, plain = (
            regret(visitor.wants, np.array(each, int), np.array(away, int))
            for each in (rows, instead)
        )
        self.tally.served(shown.level, missed, plain, cold=visitor.cold)

"""What a run of traffic comes to: counts, latencies, clicks by source, regret."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

CLICK = "click"
LONGEST = 160  # characters of a failure that are kept


class Latency(NamedTuple):
    """How long answers of one kind took, in milliseconds."""

    what: str
    answers: int
    p50: float
    p95: float
    p99: float
    longest: float


class Source(NamedTuple):
    """What came of the places that one source filled."""

    source: str
    looked_at: int
    clicks: int
    click_through: float


class Regret(NamedTuple):
    """How much more people would have wanted the best list there was than the one they saw."""

    who: str  # "known" or "cold"
    lists: int
    mean: float  # 0..1
    p95: float
    popular: float  # the mean, had they been shown what most people like


class Snapshot(NamedTuple):
    """How things stand."""

    seconds: float
    sessions: int
    present: int
    lists: int
    events: int
    failures: int
    list_p50: float  # milliseconds
    list_p99: float
    click_through: float


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run."""

    seconds: float
    sessions: int
    lists: int
    events: dict[str, int]  # by type
    latencies: list[Latency]
    sources: list[Source]
    levels: dict[str, int]  # lists, by who answered
    regret: list[Regret]
    mistakes: int
    refused: int  # of the mistakes; the rest was taken
    failures: dict[str, int]  # what went wrong that should not have, and how often
    late_p99: float  # seconds between when somebody was to come and when they could


@dataclass(slots=True)
class Asked:
    """One request: whether it was answered, and if not, why."""

    answered: bool = False
    failure: str = ""
    seconds: float = field(default=0.0)

    def of(self, ask: Callable[[], T]) -> T | None:
        """The answer; None where there was none, which is noted."""
        started = time.perf_counter()
        try:
            answer = ask()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"[:LONGEST]
            return None
        finally:
            self.seconds = time.perf_counter() - started
        self.answered = True
        return answer


class Tally:
    """Counts what all visitors do. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._late: list[float] = []
        self._looked_at: Counter[str] = Counter()
        self._clicks: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._levels: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._regret: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._left = self._mistakes = self._refused = 0

    def begin(self) -> None:
        """The clock starts."""
        self._started = time.monotonic()

    def came(self, late: float) -> None:
        """Somebody is there, so many seconds after they were due."""
        with self._lock:
            self._late.append(late)

    def left(self) -> None:
        """Somebody has gone."""
        with self._lock:
            self._left += 1

    @contextmanager
    def timed(self, what: str) -> Iterator[Asked]:
        """Note how long the request of the block took, or why it failed."""
        asked = Asked()
        yield asked
        with self._lock:
            if asked.answered:
                self._seconds[what].append(asked.seconds)
            else:
                self._failures[f"{what}: {asked.failure}"] += 1

    def served(self, level: str, regret: float, popular: float, *, cold: bool) -> None:
        """A list was shown; `popular` is the regret of what most people like in its place."""
        with self._lock:
            self._levels[level] += 1
            self._regret["cold" if cold else "known"].append((regret, popular))

    def saw(self, sources: Sequence[str]) -> None:
        """Places were looked at."""
        with self._lock:
            self._looked_at.update(sources)

    def did(self, kind: str, source: str) -> None:
        """An event was taken."""
        with self._lock:
            self._events[kind] += 1
            if kind == CLICK:
                self._clicks[source] += 1

    def refused(self, was: bool | None) -> None:
        """A caller made a mistake; None: there was no answer."""
        with self._lock:
            self._mistakes += 1
            self._refused += bool(was)

    def snapshot(self) -> Snapshot:
        """How things stand now."""
        with self._lock:
            p50, p99 = _percentiles(self._seconds["list"], 50, 99)
            return Snapshot(
                time.monotonic() - self._started,
                len(self._late),
                len(self._late) - self._left,
                self._levels.total(),
                self._events.total(),
                self._failures.total(),
                p50,
                p99,
                _share(self._clicks.total(), self._looked_at.total()),
            )

    def report(self) -> Report:
        """All there is to say."""
        with self._lock:
            return Report(
                seconds=round(time.monotonic() - self._started, 3),
                sessions=len(self._late),
                lists=self._levels.total(),
                events=dict(self._events.most_common()),
                latencies=[_latency(what, taken) for what, taken in self._seconds.items() if taken],
                sources=[
                    Source(source, seen, self._clicks[source], _share(self._clicks[source], seen))
                    for source, seen in self._looked_at.most_common()
                ],
                levels=dict(self._levels.most_common()),
                regret=[_regret(who, each) for who, each in sorted(self._regret.items())][::-1],
                mistakes=self._mistakes,
                refused=self._refused,
                failures=dict(self._failures.most_common()),
                late_p99=round(_percentiles(self._late, 99)[0] / 1000, 3),
            )


def _latency(what: str, taken: list[float]) -> Latency:
    p50, p95, p99, longest = _percentiles(taken, 50, 95, 99, 100)
    return Latency(what, len(taken), p50, p95, p99, longest)


def _regret(who: str, each: list[tuple[float, float]]) -> Regret:
    shown, popular = np.array(each).T
    p95 = float(np.percentile(shown, 95))
    means = (float(shown.mean()), p95, float(popular.mean()))
    return Regret(who, len(each), *(round(one, 4) for one in means))


def _percentiles(seconds: list[float], *which: float) -> list[float]:
    """In milliseconds; zeros of nothing."""
    if not seconds:
        return [0.0 for _ in which]
    return [round(float(one) * 1000, 2) for one in np.percentile(seconds, which)]


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0

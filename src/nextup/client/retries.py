"""When to try again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from nextup.client.problems import LimitReached, NextupProblem, Unavailable, Unreachable


@dataclass(frozen=True)
class Retries:
    """Exponential, with jitter, so that clients that failed together do not come back together.

    What Retry-After says is obeyed; if it says longer than `longest_seconds`, the error is
    raised instead of sleeping through it.
    """

    attempts: int = 5  # in all; 1: never again
    first_seconds: float = 0.1  # the longest first pause; each next one may be twice as long
    longest_seconds: float = 10.0  # of one pause
    chance: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def pause(self, attempt: int, error: Exception) -> float | None:
        """Seconds to wait after this attempt, counted from 1; None: do not try again."""
        if attempt >= self.attempts or not isinstance(
            error, LimitReached | Unavailable | Unreachable
        ):
            return None
        backoff = min(self.longest_seconds, self.first_seconds * 2.0 ** (attempt - 1))
        told = error.retry_after if isinstance(error, NextupProblem) else None
        if told is None:
            return self.chance.uniform(0.0, backoff)
        if told > self.longest_seconds:
            return None
        return told + self.chance.uniform(0.0, self.first_seconds)


NEVER = Retries(attempts=1)

"""How often something may happen: the generic cell rate algorithm, one number per key.

The number is the time at which the key's bucket will be full again. It needs no clean-up thread
and no window that jumps; a request costs one addition.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

MOST_KEYS = 20_000  # more are forgotten, first those that have waited long enough


class Rates:
    """Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._full_at: dict[Hashable, float] = {}
        self._counting = threading.Lock()

    def take(self, key: Hashable, *, per_second: float, burst: float) -> float:
        """Count one for the key. 0 if it may happen; otherwise nothing is counted, and after so
        many seconds it may. `burst` is how many may happen at once, at least 1."""
        now = self._clock()
        interval = 1.0 / per_second  # seconds that one takes
        with self._counting:
            full_at = max(self._full_at.get(key, now), now)
            wait = full_at - now - interval * (max(burst, 1.0) - 1.0)
            if wait > 1e-9:  # seconds; what is less is the rounding of large sums
                return wait
            self._full_at[key] = full_at + interval
            if len(self._full_at) > MOST_KEYS:
                self._forget_some(now)
        return 0.0

    def forget(self, key: Hashable) -> None:
        """As if it had never happened."""
        with self._counting:
            self._full_at.pop(key, None)

    def _forget_some(self, now: float) -> None:
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        while len(self._full_at) > MOST_KEYS // 2:
            self._full_at.pop(next(iter(self._full_at)))

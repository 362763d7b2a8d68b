"""How often something may happen: the generic cell rate algorithm, one number per key.

The number is the time at which the key's bucket will be full again. It needs no clean-up thread
and no window that jumps; a request costs one addition.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

NUMBERS = 1 << 16  # clients who share a number modulo this share a limit: none, for a long time
SHARED_BYTES = 8 * NUMBERS
MOST_KEYS = 20_000  # more are forgotten, first those that have waited long enough


class SharedTimes:
    """A time for each number, in memory that several processes share. Two of them at once may let
    one more in than is allowed; no lock is worth that one."""

    def __init__(self, shared: memoryview) -> None:
        """`shared` is writable, `SHARED_BYTES` long, and zero at first."""
        self._cells = shared.cast("d")

    def get(self, number: int, default: float) -> float:
        """The time, or the default where there is none yet."""
        return self._cells[number % NUMBERS] or default

    def __setitem__(self, number: int, at: float) -> None:
        self._cells[number % NUMBERS] = at


class Rates:
    """Safe to share between threads; with `shared` times between processes as well, whose keys
    are small numbers then."""

    def __init__(
        self, clock: Callable[[], float] = monotonic, *, shared: SharedTimes | None = None
    ) -> None:
        self._clock = clock
        self._shared = shared
        self._full_at: dict[Hashable, float] = {}
        self._counting = threading.Lock()

    def take(self, key: Hashable, *, per_second: float, burst: float) -> float:
        """Count one for the key. 0 if it may happen; otherwise nothing is counted, and after so
        many seconds it may. `burst` is how many may happen at once, at least 1."""
        now = self._clock()
        interval = 1.0 / per_second  # seconds that one takes
        with self._counting:
            times: Any = self._full_at if self._shared is None else self._shared
            # never later than after a whole burst: of a limit that was lower, nothing stays
            latest = now + interval * max(burst, 1.0)
            full_at = min(max(times.get(key, now), now), latest)
            wait: float = full_at - now - interval * (max(burst, 1.0) - 1.0)
            if wait > 1e-9:  # seconds; what is less is the rounding of large sums
                return wait
            times[key] = full_at + interval
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

"""How many requests are at work, how long another one would wait, and when that is too long."""

from __future__ import annotations

from time import monotonic

ALWAYS_AT_WORK = 48  # requests: what the threads do at once, and a few that wait for them
SMOOTHING = 1 / 32  # the say of the latest in the mean interval between two ends


class Overload:
    """For one event loop.

    The wait of a new request is estimated by Little's law: those before it, times the mean
    interval at which they end while there is work. Refusing costs little, so what is accepted
    ends in bounded time however much is sent; with fewer at work, everything is accepted again.
    """

    def __init__(self, most: int, wait_seconds: float) -> None:
        """At most `most` at once, and no wait beyond `wait_seconds`."""
        self._most = most
        self._wait_seconds = wait_seconds
        self.at_work = 0
        self._interval = 0.0  # seconds between two ends, while there is work
        self._ended_at: float | None = None  # monotonic; None: there was nothing at work since

    def wait(self) -> float:
        """How many seconds a new request would wait."""
        return self.at_work * self._interval

    def enter(self) -> bool:
        """Whether another request is accepted; `leave` must follow if it is."""
        if self.at_work >= self._most:
            return False
        if self.at_work >= ALWAYS_AT_WORK and self.wait() > self._wait_seconds:
            return False
        self.at_work += 1
        return True

    def leave(self) -> None:
        """An accepted request has ended."""
        now = monotonic()
        if self._ended_at is not None:
            self._interval += (now - self._ended_at - self._interval) * SMOOTHING
        self.at_work -= 1
        self._ended_at = now if self.at_work else None

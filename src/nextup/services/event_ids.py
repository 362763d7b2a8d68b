"""Ids for events that came without one."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING
from uuid import UUID

from nextup.domain.events import to_microseconds

if TYPE_CHECKING:
    from datetime import datetime

_LOW_BITS = 62
_RANDOM_BITS = 74  # what a UUID of version 7 has beside its milliseconds, version and variant
_VERSION = 7 << 76
_VARIANT = 2 << _LOW_BITS


class EventIds:
    """Mints ids that ascend as text: UUIDs of version 7 (RFC 9562).

    Ascending ids keep a database's index compact. Ids of one process ascend strictly, even within
    a millisecond and when the clock goes backwards; those of several are told apart by 74 random
    bits. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = -1  # milliseconds and random part of the last id, as one number

    def mint(self, now: datetime) -> str:
        """A new id, greater than all before it."""
        milliseconds = to_microseconds(now) // 1000
        # the upper half of the random part starts free, so that counting on cannot overflow soon
        fresh = (milliseconds << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS - 1)
        with self._lock:
            self._last = number = max(fresh, self._last + 1)
        high = (number >> _LOW_BITS) & 0xFFF
        low = number & ((1 << _LOW_BITS) - 1)
        return str(
            UUID(int=(number >> _RANDOM_BITS) << 80 | _VERSION | high << 64 | _VARIANT | low)
        )

"""Trending now: the live counters, decayed, as one array; kept for a moment because reading all
counters costs more than ranking."""

from __future__ import annotations

import threading
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nextup.algorithms.models.trending import decayed_counts
from nextup.domain.errors import BackendUnavailable
from nextup.ports.online_state import EVERYBODY, KeepsAnswers

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from numpy.typing import NDArray

    from nextup.ports.online_state import OnlineState
    from nextup.services.serving_model import ItemTable
    from nextup.settings import Trending

FRESH_SECONDS = 1.0
SHARE_OF_TIME = 20  # counters that take t seconds to read are read every 20 t at most
BUCKET_SECONDS = 3600
KEPT_WINDOWS = 8


class _Snapshot(NamedTuple):
    items: ItemTable
    scores: NDArray[np.float32]
    stamp: str  # of the state before it was read; empty where it gives none
    stale_at: float  # monotonic seconds


class LiveTrending:
    """Safe to share between threads: one reads the counters, the others use what is there."""

    def __init__(
        self, state: OnlineState, settings: Trending, clock: Callable[[], datetime]
    ) -> None:
        self._state = state
        self._settings = settings
        self._clock = clock
        self._snapshots: dict[float, _Snapshot] = {}
        self._reading = threading.Lock()
        self.followed = False  # whether a background thread calls `refresh`

    def scores(self, items: ItemTable, window_hours: float | None = None) -> NDArray[np.float32]:
        """Every item's decayed count, (n_items,). When the state is down, the last one known,
        and BackendUnavailable if there is none."""
        hours = window_hours or self._settings.window_days * 24.0
        last = self._last(items, hours)
        if last is not None and (self.followed or self._is_fresh(last) or self._reading.locked()):
            return last.scores
        return self._refresh(items, hours)

    def stamp(self, window_hours: float | None = None) -> str:
        """Up to where events are in `scores` for this window; empty where nobody knows."""
        last = self._snapshots.get(window_hours or self._settings.window_days * 24.0)
        return "" if last is None else last.stamp

    def refresh(self, items: ItemTable) -> None:
        """Read again what has become stale, so that nobody who asks has to wait for it; for a
        thread in the background, which sets `followed`."""
        for hours in {self._settings.window_days * 24.0, *self._snapshots}:
            self._refresh(items, hours)

    def _refresh(self, items: ItemTable, hours: float) -> NDArray[np.float32]:
        with self._reading:
            last = self._last(items, hours)  # another thread may have read it meanwhile
            if last is not None and self._is_fresh(last):
                return last.scores
            return self._read(items, hours, last)

    def _is_fresh(self, snapshot: _Snapshot) -> bool:
        return monotonic() < snapshot.stale_at

    def _last(self, items: ItemTable, hours: float) -> _Snapshot | None:
        snapshot = self._snapshots.get(hours)
        return snapshot if snapshot is not None and snapshot.items is items else None

    def _read(self, items: ItemTable, hours: float, last: _Snapshot | None) -> NDArray[np.float32]:
        started = monotonic()
        try:
            stamp = self._stamp_now()
            scores = self._count(items, hours)
        except BackendUnavailable:
            if last is None:
                raise
            scores, stamp = last.scores, last.stamp
        took = monotonic() - started
        if len(self._snapshots) >= KEPT_WINDOWS and hours not in self._snapshots:
            self._snapshots.pop(next(iter(self._snapshots)))
        stale_at = monotonic() + max(FRESH_SECONDS, SHARE_OF_TIME * took)
        self._snapshots[hours] = _Snapshot(items, scores, stamp, stale_at)
        return scores

    def _stamp_now(self) -> str:
        state = self._state
        return state.answer_stamp(EVERYBODY) if isinstance(state, KeepsAnswers) else ""

    def _count(self, items: ItemTable, hours: float) -> NDArray[np.float32]:
        now = self._clock()
        now_seconds = int(now.timestamp())
        until = now + timedelta(seconds=BUCKET_SECONDS)  # clients' clocks may be a little ahead
        counters = self._state.trending(now - timedelta(hours=hours), until)
        rows, times, weights = [], [], []
        for item_id, hourly in counters.items():
            row = items.index.get(item_id)
            if row is not None:
                rows += [row] * len(hourly)
                times += [int(hour.timestamp()) + BUCKET_SECONDS // 2 for hour, _ in hourly]
                weights += [weight for _, weight in hourly]
        return decayed_counts(
            np.array(rows, np.int32),
            np.minimum(np.array(times, np.int64), now_seconds),
            np.array(weights, np.float64),
            n_items=len(items),
            now=now_seconds,
            half_life_seconds=self._settings.half_life_hours * 3600,
        ).astype(np.float32)

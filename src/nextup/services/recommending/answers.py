"""Answers that were given a moment ago, to be given again as they are.

A kept answer is the very list that was served, with its token, so that it can be continued and
replayed. It stands while nothing has changed for the person, the same model is in service, and
for `recommend.cache_seconds` at most: trends move on, and other machines count for themselves.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from nextup.services.recommending.changes import Changes
    from nextup.services.serving_model import ServingModel

RENEWED_AT = 0.75  # of its time: from then on an answer is renewed behind a caller who gets it
RENEWAL_SECONDS = 1.0  # for which nobody else renews it
MOST_BYTES = 64 << 20  # of bodies that are kept; the oldest go first


class Moment(NamedTuple):
    """What an answer is made from, noted before it is made."""

    place: int
    stamp: int
    model: ServingModel
    taken_at: float  # monotonic seconds


class Answer(NamedTuple):
    """One that was given."""

    body: bytes
    headers: bytes  # their lines
    level: str
    moment: Moment


class Answers:
    """Safe to share between threads."""

    def __init__(self, changes: Changes, model: Callable[[], ServingModel], seconds: float) -> None:
        self._changes = changes
        self._model = model
        self._seconds = seconds
        self._kept: dict[Hashable, Answer] = {}
        self._renewals: dict[
            Hashable, float
        ] = {}  # until when it is being renewed, monotonic seconds
        self._bytes = 0
        self._changing = threading.Lock()

    def moment(self, stored_id: str) -> Moment:
        """To be taken before the stores are read for the person."""
        place = self._changes.place(stored_id)
        return Moment(place, self._changes.stamp(place), self._model(), monotonic())

    def keep(self, key: Hashable, answer: Answer) -> None:
        """Until something changes. An answer that is out of date already does no harm."""
        if self._seconds <= 0:
            return
        with self._changing:
            self._remove(key)
            self._kept[key] = answer
            self._renewals.pop(key, None)
            self._bytes += len(answer.body)
            while self._bytes > MOST_BYTES:
                self._remove(next(iter(self._kept)))

    def find(self, key: Hashable) -> Answer | None:
        """The answer, if it still stands."""
        found = self._kept.get(key)
        if found is None:
            return None
        place, stamp, model, taken_at = found.moment
        stands = self._changes.stamp(place) == stamp and self._model() is model
        if stands and monotonic() - taken_at < self._seconds:
            return found
        with self._changing:
            if self._kept.get(key) is found:
                self._remove(key)
        return None

    def renewal_is_due(self, key: Hashable, answer: Answer) -> bool:
        """Whether the caller, who has been given the answer, is to make a younger one behind it:
        it has not long to stand, and nobody else is at it."""
        now = monotonic()
        if now - answer.moment.taken_at < self._seconds * RENEWED_AT:
            return False
        if now < self._renewals.get(key, 0.0):
            return False
        self._renewals[key] = now + RENEWAL_SECONDS
        return True

    def _remove(self, key: Hashable) -> None:
        self._renewals.pop(key, None)
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.body)

"""What one person's history says about all items: the dearest part of a list, and the same for
every list that is asked for within a moment. A page with several shelves asks for it once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from nextup.services.recommending import sources
from nextup.services.recommending.history import in_rows, weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from nextup.algorithms.confidence import Confidences
    from nextup.algorithms.interactions import History
    from nextup.domain.recommendations import Touch
    from nextup.services.recommending.changes import Changes
    from nextup.services.recommending.sources import Source
    from nextup.services.serving_model import ServingModel
    from nextup.settings import Settings

SECONDS = 1.0  # that a taste is remembered, at most: ratings fade, and other machines write
MOST_PEOPLE = 64  # each is a number for every item and source


@dataclass(slots=True)
class Taste:
    """A person, to a model."""

    model: ServingModel
    past: Confidences
    history: History  # the past, in the model's rows
    _opinions: list[Source] | None = None

    @classmethod
    def of(
        cls, model: ServingModel, touches: Iterable[Touch], settings: Settings, now: datetime
    ) -> Taste:
        """What the touches say."""
        past = weigh(touches, settings, now)
        return cls(model, past, in_rows(model, past))

    def opinions(self) -> list[Source]:
        """The models' scores of all items for this person, computed when they are first asked for;
        nothing without a history."""
        if self._opinions is None:
            self._opinions = sources.personal(self.model, self.history)
        return self._opinions


class _Known(NamedTuple):
    taste: Taste
    stamp: int
    until: float  # monotonic seconds


class Tastes:
    """Remembers them while nothing changes for the person. Safe to share between threads."""

    def __init__(
        self, changes: Changes, stored_id: Callable[[str], str], seconds: float = SECONDS
    ) -> None:
        """`stored_id` tells what the counted changes call a person."""
        self._changes = changes
        self._stored_id = stored_id
        self._seconds = min(seconds, SECONDS)
        self._known: dict[str, _Known] = {}
        self._changing = threading.Lock()

    def of(self, user_id: str, model: ServingModel, make: Callable[[], Taste]) -> Taste:
        """The person's; `make` reads the stores where it is not remembered."""
        stamp = self._changes.stamp(self._changes.place(self._stored_id(user_id)))
        found = self._known.get(user_id)
        if found is not None and self._stands(found, stamp, model):
            return found.taste
        taste = make()
        if self._seconds > 0:
            self._keep(user_id, _Known(taste, stamp, monotonic() + self._seconds))
        return taste

    def forget(self, user_id: str) -> None:
        """Let go of the person's."""
        with self._changing:
            self._known.pop(user_id, None)

    def _stands(self, found: _Known, stamp: int, model: ServingModel) -> bool:
        return found.stamp == stamp and found.taste.model is model and monotonic() < found.until

    def _keep(self, user_id: str, known: _Known) -> None:
        with self._changing:
            self._known.pop(user_id, None)
            self._known[user_id] = known
            if len(self._known) > MOST_PEOPLE:
                del self._known[next(iter(self._known))]

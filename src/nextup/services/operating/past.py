"""The state of people as it was at an earlier moment, for looking back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextup.domain.events import to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from nextup.domain.events import LogRow, Position
    from nextup.domain.operations import ModelRecord
    from nextup.domain.recommendations import ServedList, Tally, Touch
    from nextup.ports.online_state import OnlineState


def model_then(models: Iterable[ModelRecord], moment: datetime) -> ModelRecord | None:
    """The model that was put in service last before the moment; of a model that was put in
    service more than once, only the last time is known."""
    earlier = [
        (model.promoted_at, model)
        for model in models
        if model.promoted_at is not None and model.promoted_at <= moment
    ]
    return max(earlier, key=lambda found: found[0], default=(None, None))[1]


class PastState:
    """An online state that ends at a moment. Nothing is written through it."""

    def __init__(self, state: OnlineState, moment: datetime) -> None:
        self._state = state
        self._moment = moment
        self._until = to_microseconds(moment)

    def history(self, user_id: str) -> list[Touch]:
        """What the person had done by then."""
        return [touch for touch in self._state.history(user_id) if touch.occurred_at <= self._until]

    def trending(
        self, since: datetime, until: datetime
    ) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """The counters up to then, as far as they are still kept."""
        return self._state.trending(since, min(until, self._moment))

    def position(self) -> Position:
        """Of the state of now."""
        return self._state.position()

    def served(self, token: str) -> ServedList | None:
        """As the state of now."""
        return self._state.served(token)

    def save_served(self, served: ServedList, expires_at: datetime) -> None:
        """Nothing is kept."""

    def apply(self, rows: Sequence[LogRow], position: Position) -> None:
        """Nothing is applied."""

    def load_histories(
        self,
        histories: Iterable[tuple[str, Sequence[Touch]]],
        position: Position,
        tallies: Iterable[Tally] = (),
    ) -> int:
        """Nothing is loaded."""
        return 0

    def erase(self, user_id: str) -> int:
        """Nothing is erased."""
        return 0

    def close(self) -> None:
        """The state of now stays open."""

"""What must be known about a person right now: history, served lists, and live counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from nextup.domain.events import LogRow, Position
from nextup.domain.recommendations import ServedList, Tally, Touch


class OnlineState(Protocol):
    """A view of the log that is up to date within milliseconds. Safe to share between threads.

    Everything here can be rebuilt: histories from the lake and the log, counters from the log.
    """

    def position(self) -> Position:
        """How far the log has been applied."""
        ...

    def apply(self, rows: Sequence[LogRow], position: Position) -> None:
        """Add events to their people's histories and to the counters, and move to `position`, in
        one transaction. A row that was applied before (by its offset) changes nothing."""
        ...

    def history(self, user_id: str) -> list[Touch]:
        """Everything the person did, in log order; empty for an unknown one."""
        ...

    def load_histories(
        self,
        histories: Iterable[tuple[str, Sequence[Touch]]],
        position: Position,
        tallies: Iterable[Tally] = (),
    ) -> int:
        """Put in what the log holds up to `position`, in bulk; returns how many people.

        `tallies` count the same events and become the counters. Touches that were applied from
        beyond the position stay, and are counted. The counters of a state that has read that far
        already are right and stay. Moves to `position` when the state stood before it.
        """
        ...

    def trending(
        self, since: datetime, until: datetime
    ) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """Per item its counters between the two: the hour each began and the weight in it."""
        ...

    def save_served(self, served: ServedList, expires_at: datetime) -> None:
        """Keep a served list; the same token replaces."""
        ...

    def served(self, token: str) -> ServedList | None:
        """The list, unless it is unknown or has expired."""
        ...

    def erase(self, user_id: str) -> int:
        """Forget the person: history and served lists. Returns how many records."""
        ...

    def close(self) -> None:
        """Release everything. Closing twice does nothing."""
        ...


@runtime_checkable
class SavesManyServed(Protocol):
    """Can keep many served lists at the price of one."""

    def save_many_served(self, lists: Sequence[tuple[ServedList, datetime]]) -> None:
        """Keep each until its time, all in one transaction; the same token replaces."""
        ...


EVERYBODY = ""
"""In place of a person: what an answer is about that is the same for all."""


@runtime_checkable
class KeepsAnswers(Protocol):
    """Keeps answers that were made from the state, for all who share it. Applying an event lets
    go, in the same transaction, of all that are about its person, and of those about everybody
    where the event is counted."""

    def answer_stamp(self, about: str) -> str:
        """What has been applied that concerns the person, or everybody; to be asked before the
        state is read to make an answer."""
        ...

    def keep_answer(
        self, about: str, name: str, answer: bytes, *, stamp: str, seconds: float
    ) -> bool:
        """Keep it for so long at most; returns whether it is kept. It is not where the stamp has
        changed: it may be out of date already."""
        ...

    def kept_answer(self, about: str, name: str) -> bytes | None: ...

    def forget_answers(self) -> None:
        """Let go of all; for changes that are no events."""
        ...

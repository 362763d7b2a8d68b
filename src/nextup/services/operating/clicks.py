"""Which source earned a click: the click names the served list, the list names the source."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from nextup.domain.errors import NextupError
from nextup.domain.events import EventType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextup.domain.events import LogRow
    from nextup.domain.recommendations import ServedList
    from nextup.ports.online_state import OnlineState

WAITING = 10_000  # clicks that may wait to be looked up; beyond, the oldest are not counted
AT_ONCE = 500  # looked up in one turn
ELSEWHERE = "elsewhere"  # the click was not on a place of the list, or the list has expired


class Clicks:
    """Notes clicks as they are applied, and looks their lists up later, off everybody's way."""

    def __init__(self, state: Callable[[], OnlineState], count: Callable[[str], None]) -> None:
        """`count` is told the source of each click."""
        self._state = state
        self._count = count
        self._waiting: deque[tuple[str, str]] = deque(maxlen=WAITING)

    def note(self, rows: Sequence[LogRow]) -> None:
        """Remember those that came from a served list. Costs next to nothing."""
        for row in rows:
            if row.type == EventType.CLICK and row.recommendation_id:
                self._waiting.append((row.recommendation_id, row.item_id))

    def settle(self) -> None:
        """Count some of those that wait; a state that does not answer is asked again later."""
        lists: dict[str, ServedList | None] = {}
        for _ in range(min(len(self._waiting), AT_ONCE)):
            token, item_id = self._waiting[0]
            try:
                if token not in lists:
                    lists[token] = self._state().served(token)
            except NextupError:
                return
            self._waiting.popleft()
            self._count(_source(lists[token], item_id))


def _source(served: ServedList | None, item_id: str) -> str:
    places = served.items if served else ()
    return next((place.source for place in places if place.item_id == item_id), ELSEWHERE)

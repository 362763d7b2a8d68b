"""What may be shown to this person at all, and what comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from nextup.algorithms.confidence import Confidences
    from nextup.services.recommending.request import Request
    from nextup.services.serving_model import ItemTable, Rows

SEEN, DISMISSED, UNAVAILABLE = "seen", "dismissed", "unavailable"
KIND, GENRES, EXCLUDED = "kind", "genres", "excluded"
PINNED, DIVERSIFIED = "pinned", "diversified"

NOBODY = np.empty(0, np.int32)


class Allowed:
    """The items that may be shown; remembers which rules took something away."""

    def __init__(self, items: ItemTable) -> None:
        self._items = items
        self.mask: NDArray[np.bool_] = items.available.copy()
        self.acted: list[str] = [] if self.mask.all() else [UNAVAILABLE]

    def drop(self, rule: str, item_ids: Iterable[str]) -> None:
        """Take these away."""
        rows = self._items.rows(item_ids)
        if self.mask[rows].any():
            self.mask[rows] = False
            self.acted.append(rule)

    def keep(self, rule: str, rows: Rows) -> None:
        """Take everything else away."""
        kept = np.zeros_like(self.mask)
        kept[rows] = self.mask[rows]
        if np.count_nonzero(kept) < np.count_nonzero(self.mask):
            self.acted.append(rule)
        self.mask = kept


def apply_rules(
    items: ItemTable, request: Request, past: Confidences, shown: Sequence[str]
) -> Allowed:
    """What is left of the catalogue. `shown` are earlier places of the same list."""
    allowed = Allowed(items)
    if request.kind is not None:
        allowed.keep(KIND, items.kinds.get(request.kind.casefold(), NOBODY))
    if request.genres:
        wanted = [items.genres.get(genre.casefold(), NOBODY) for genre in request.genres]
        allowed.keep(GENRES, np.concatenate(wanted))
    allowed.drop(SEEN, past.consumed)
    allowed.drop(DISMISSED, past.dismissed)
    allowed.drop(EXCLUDED, request.exclude)
    allowed.mask[items.rows(shown)] = False  # not a rule: a list names an item once
    return allowed


def pin(chosen: Rows, pinned: Rows, allowed: NDArray[np.bool_], depth: int) -> Rows:
    """Move pinned items to the front, in their order. A pin lifts; it lets nothing in that
    another rule keeps out."""
    first = np.array(list(dict.fromkeys(pinned[allowed[pinned]].tolist())), np.int32)
    if not len(first):
        return chosen
    rest = chosen[~np.isin(chosen, first)]
    return np.concatenate([first, rest])[:depth]

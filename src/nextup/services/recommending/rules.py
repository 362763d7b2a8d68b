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
KIND, GENRES, EXCLUDED, FILTER = "kind", "genres", "excluded", "filter"
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

    def keep(self, rule: str, rows: Rows | NDArray[np.bool_]) -> None:
        """Take everything else away; rows by number, or as a mask."""
        kept = np.zeros_like(self.mask)
        kept[rows] = self.mask[rows]
        if np.count_nonzero(kept) < np.count_nonzero(self.mask):
            self.acted.append(rule)
        self.mask = kept


def rule_against(
    items: ItemTable,
    request: Request,
    past: Confidences,
    item_id: str,
    fitting: NDArray[np.bool_] | None,
) -> str | None:
    """The first rule that keeps the item out of the list; None where none does."""
    row = items.index.get(item_id)
    if row is None:
        return None
    kind = request.kind is not None and row not in items.kinds.get(request.kind.casefold(), NOBODY)
    of_genre = [items.genres.get(genre.casefold(), NOBODY) for genre in request.genres]
    against = {
        UNAVAILABLE: not items.available[row],
        FILTER: fitting is not None and not fitting[row],
        KIND: kind,
        GENRES: bool(of_genre) and not any(row in rows for rows in of_genre),
        SEEN: not request.seen and item_id in past.consumed,
        DISMISSED: item_id in past.dismissed,
        EXCLUDED: item_id in request.exclude,
    }
    return next((rule for rule, acts in against.items() if acts), None)


def apply_rules(
    items: ItemTable,
    request: Request,
    past: Confidences,
    shown: Sequence[str],
    fitting: NDArray[np.bool_] | None = None,
) -> Allowed:
    """What is left of the catalogue. `shown` are earlier places of the same list, `fitting` are
    the items that the request's filter lets in."""
    allowed = Allowed(items)
    if request.only is not None:  # not a rule: nothing else was asked about
        among = np.zeros_like(allowed.mask)
        among[items.rows(request.only)] = True
        allowed.mask &= among
    if fitting is not None:
        allowed.keep(FILTER, fitting)
    if request.kind is not None:
        allowed.keep(KIND, items.kinds.get(request.kind.casefold(), NOBODY))
    if request.genres:
        wanted = [items.genres.get(genre.casefold(), NOBODY) for genre in request.genres]
        allowed.keep(GENRES, np.concatenate(wanted))
    if not request.seen:
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

"""The catalogue for those who keep it: leafing through it, and putting many items at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nextup.domain.filters import All, Compare, Op, folded, holds
from nextup.domain.tables import KIND
from nextup.ports.catalog import Found, Mark, SupportsBrowsing
from nextup.services.filter_language import parse_filter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextup.domain.filters import Filter
    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog

LEAST_READ = 200  # items read at once; a filter may leave few of them
LONGEST_READ = 2_000
MOST_READ = 200_000  # items looked at for one page; it may then be shorter, and goes on


class ItemPage(NamedTuple):
    """Some of the items that were asked for."""

    items: Sequence[Item]
    next: Mark | None  # where the following page begins; None: nothing is left


def browse(
    catalog: Catalog,
    text: str = "",
    *,
    kind: str | None = None,
    where: str = "",
    after: Mark | None = None,
    limit: int,
) -> ItemPage:
    """Items whose title contains the text, those that start with it first, that fulfil the
    filter. An item keeps its place however the catalogue changes, so pages repeat nothing.

    Raises InvalidInput for a filter that is none.
    """
    condition = _condition(kind, where)
    shown: list[Found] = []
    read = 0
    size = max(limit + 1, LEAST_READ if condition else 0)
    while len(shown) <= limit:
        batch = _read(catalog, text, condition, after, size)
        shown += [one for one in batch if condition is None or holds(condition, one.item)]
        read += len(batch)
        if len(batch) < size:
            break
        after = batch[-1].mark
        if read >= MOST_READ:
            return ItemPage([one.item for one in shown[:limit]], after)
        size = min(2 * size, LONGEST_READ)
    page = shown[:limit]
    return ItemPage([one.item for one in page], page[-1].mark if len(shown) > limit else None)


def _condition(kind: str | None, where: str) -> Filter | None:
    parts = [Compare(KIND, Op.EQUAL, kind)] if kind is not None else []
    asked = [parse_filter(where)] if where.strip() else []
    conditions = (*parts, *asked)
    return All(conditions) if conditions else None


def _read(
    catalog: Catalog, text: str, condition: Filter | None, after: Mark | None, limit: int
) -> Sequence[Found]:
    if isinstance(catalog, SupportsBrowsing):
        return catalog.browse_items(text, where=condition, after=after, limit=limit)
    found = sorted(_matching(catalog, folded(text), condition), key=lambda one: _order(one.mark))
    rest = [one for one in found if after is None or _order(one.mark) > _order(after)]
    return rest[:limit]


def _matching(catalog: Catalog, wanted: str, condition: Filter | None) -> Iterator[Found]:
    for item in catalog.all_items():
        title = folded(item.title)
        if wanted in title and (condition is None or holds(condition, item)):
            yield Found(Mark(title.startswith(wanted), title, item.item_id), item)


def _order(mark: Mark) -> tuple[bool, str, str]:
    return (not mark.starts, mark.title, mark.item_id)

"""Bronze into silver: typed, deduplicated, checked; only what is new, in bounded chunks.

Silver's position is the log's, so it is known at once how far each table has come. A row that
breaks a rule goes whole to bronze.quarantine, under the rule's name, and the good rows go on.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw

from nextup.domain.tables import COLUMNS, ITEM_ID, OFFSET, PARTITION, Table
from nextup.schemas.table_schemas import table_schema
from nextup.services.broken_rows import keep_broken_rows
from nextup.services.collect import SOURCE
from nextup.transforms import quality
from nextup.transforms.bronze_to_silver import interactions, log_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextup.domain.events import Position
    from nextup.domain.items import Item
    from nextup.ports.catalog import Catalog
    from nextup.ports.engine import Engine

    Report = Callable[[str, int, int], None]
    """Called as `report(what, done, total)`."""

_PAGE_ITEMS: Final = 50_000


def refine(
    engine: Engine,
    catalog: Catalog,
    *,
    batch_rows: int,
    report: Report | None = None,
) -> dict[str, int]:
    """Bring silver up to bronze and the catalogue; returns counts by name.

    `read` = `written` + `duplicates` + `quarantined`. A kill between any two writes loses and
    doubles nothing: run it again. Raises Conflict if another refiner is at work on the same lake.
    """
    items = refine_items(engine, catalog)
    return {"items": items, **refine_events(engine, batch_rows=batch_rows, report=report)}


def refine_items(engine: Engine, catalog: Catalog) -> int:
    """Replace silver.items by the catalogue as it is now; returns how many items."""
    items = catalog.all_items()
    pages = []
    while page := list(islice(items, _PAGE_ITEMS)):
        pages.append(engine.rows(Table.ITEMS, [_item_row(item) for item in page]))
    return engine.replace(Table.ITEMS, pages or engine.rows(Table.ITEMS, []))


def refine_events(
    engine: Engine, *, batch_rows: int, report: Report | None = None
) -> dict[str, int]:
    """Append what is new in bronze.events to silver.interactions."""
    names = ("read", "written", "duplicates", "quarantined", "unknown_items")
    total = Counter(dict.fromkeys(names, 0))
    goal = engine.position(Table.EVENTS, SOURCE)
    first = engine.position(Table.INTERACTIONS, SOURCE)
    for start, end in _windows(engine, first, goal, batch_rows):
        total.update(_refine_window(engine, start, end))
        if report is not None:
            report(Table.INTERACTIONS.value, _distance(first, end), _distance(first, goal))
    return dict(total)


def _windows(
    engine: Engine, start: Position, goal: Position, batch_rows: int
) -> Iterator[tuple[Position, Position]]:
    """Ranges of the log that hold at most `batch_rows` rows, one after the other."""
    while behind := {p: stop for p, stop in goal.items() if start.get(p, 0) < stop}:
        share = max(1, batch_rows // len(behind))
        firsts = _first_offsets(engine, start, behind)
        end = dict(start)
        for partition, stop in behind.items():
            end[partition] = min(firsts.get(partition, stop) + share, stop)
        yield start, end
        start = end


def _first_offsets(engine: Engine, start: Position, goal: Position) -> dict[str, int]:
    """Where each partition's rows begin: offsets have gaps where people were forgotten."""
    rows = log_window(engine.scan(Table.EVENTS), start, goal)
    found = engine.arrays(rows.group_by(PARTITION).agg(nw.col(OFFSET).min()))
    return {str(p): int(first) for p, first in zip(found[PARTITION], found[OFFSET], strict=True)}


def _refine_window(engine: Engine, start: Position, end: Position) -> dict[str, int]:
    schema = table_schema(Table.INTERACTIONS)
    chunk = engine.held(log_window(engine.scan(Table.EVENTS), start, end))
    fresh = engine.held(interactions(chunk, engine.scan(Table.INTERACTIONS)))
    figures = {n: column[0] for n, column in engine.arrays(quality.figures(fresh, schema)).items()}
    good, quarantined = fresh, 0
    if not all(result.passed for result in quality.results(schema, figures)):
        good = engine.held(quality.good(fresh, schema))
        quarantined = keep_broken_rows(engine, fresh, schema, chunk, end)
    items = engine.scan(Table.ITEMS)
    unknown = _number(engine, quality.dangling(good, ITEM_ID, items, ITEM_ID))
    written = engine.append(Table.INTERACTIONS, good, source=SOURCE, position=end, after=start)
    read = _number(engine, chunk.select(nw.len()))
    return {
        "read": read,
        "written": written,
        "duplicates": read - int(figures[quality.ROWS]),
        "quarantined": quarantined,
        "unknown_items": unknown,
    }


def _number(engine: Engine, frame: nw.LazyFrame[Any]) -> int:
    """The one value of a frame."""
    (column,) = engine.arrays(frame).values()
    return int(column[0])


def _distance(start: Position, end: Position) -> int:
    return sum(offset - start.get(partition, 0) for partition, offset in end.items())


def _item_row(item: Item) -> tuple[object, ...]:
    row = (
        item.item_id,
        item.kind,
        item.title,
        item.year,
        list(item.genres),
        list(item.makers),
        list(item.keywords),
        item.available,
    )
    assert len(row) == len(COLUMNS[Table.ITEMS])
    return row

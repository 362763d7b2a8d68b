"""Rows that break a table's rules: kept whole in bronze.quarantine, each exactly once."""

from __future__ import annotations

import json
import math
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from nextup.domain.events import from_microseconds
from nextup.domain.tables import (
    OCCURRED_AT,
    OFFSET,
    PARTITION,
    RECEIVED_AT,
    RULE,
    VALUE,
    Table,
)
from nextup.transforms import quality
from nextup.transforms.bronze_to_silver import log_window

if TYPE_CHECKING:
    import narwhals as nw

    from nextup.domain.events import Position
    from nextup.ports.engine import Engine
    from nextup.schemas.table_schemas import TableSchema

SOURCE: Final = "refine"  # bronze.quarantine keeps its position beside the log's


def keep_broken_rows(
    engine: Engine,
    rows: nw.LazyFrame[Any],
    schema: TableSchema,
    events: nw.LazyFrame[Any],
    end: Position,
) -> int:
    """Quarantine the rows that break a rule; returns how many there are.

    `events` are the rows of bronze that they come from: a record counts as rejected when it was
    received, so that a replay gives the same quarantine. Rows before the quarantine's position
    were kept by a run that was killed before it could write the good ones, and are not written
    again.
    """
    start = engine.position(Table.QUARANTINE, SOURCE)
    bad = engine.held(quality.bad(rows, schema, RULE))
    received = events.select(PARTITION, OFFSET, RECEIVED_AT)
    new = engine.arrays(
        log_window(bad, start, end).join(received, on=[PARTITION, OFFSET], how="inner")
    )
    records = [
        _quarantine_row(dict(zip(new, values, strict=True)), schema)
        for values in zip(*(column.tolist() for column in new.values()), strict=True)
    ]
    frame = engine.rows(Table.QUARANTINE, records)
    engine.append(Table.QUARANTINE, frame, source=SOURCE, position=end, after=start)
    return len(next(iter(engine.arrays(bad.select(OFFSET)).values())))


def _quarantine_row(record: dict[str, Any], schema: TableSchema) -> tuple[Any, ...]:
    rule, rejected_at = record.pop(RULE), record.pop(RECEIVED_AT)
    record[OCCURRED_AT] = from_microseconds(int(record[OCCURRED_AT])).isoformat()
    if record[VALUE] is not None and not math.isfinite(record[VALUE]):
        record[VALUE] = None if math.isnan(record[VALUE]) else str(record[VALUE])
    text = json.dumps(record, ensure_ascii=False)
    source = f"{schema.table} {record[PARTITION]}/{record[OFFSET]}"
    return (
        f"{Table.EVENTS}/{record[PARTITION]}",  # apart from the log's own rejected records
        record[OFFSET],
        sha256(f"{source}\n{text}".encode()).hexdigest(),
        source,
        text,
        rule,
        f"The event broke the rule {rule} of {schema.table}.",
        rejected_at,
        None,
    )

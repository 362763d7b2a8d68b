"""Explain what is wrong, and change nothing: in a file of events, and in the lake's tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nextup.domain.events import to_microseconds
from nextup.domain.tables import Table
from nextup.schemas.table_schemas import table_schema
from nextup.services.contracts import record_text
from nextup.transforms import quality

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from typing import IO

    import narwhals as nw

    from nextup.ports.engine import Engine
    from nextup.ports.lake import Lake
    from nextup.schemas.table_schemas import TableSchema
    from nextup.services.contracts import EventContract
    from nextup.transforms.quality import RuleResult

_READ_AT_ONCE: Final = 4_000_000  # bytes
_FAULTS: Final = 1000  # kept; all are counted


class Fault(NamedTuple):
    """One line that would go to quarantine."""

    line: int  # from 1
    rule: str
    reason: str
    record: str


@dataclass(slots=True)
class FileCheck:
    """How a file of events stands the contract."""

    rows: int = 0  # blank lines are none
    good: int = 0
    repeated: int = 0  # good rows whose event id an earlier row has; they count once
    broken: Counter[str] = field(default_factory=Counter)  # by rule
    faults: list[Fault] = field(default_factory=list)  # the first of them


class TableCheck(NamedTuple):
    """How a table of the lake stands its rules."""

    table: Table
    rows: int
    results: list[RuleResult]

    @property
    def passed(self) -> bool:
        """Whether every rule holds."""
        return all(result.passed for result in self.results)


def validate_events(stream: IO[bytes], contract: EventContract) -> FileCheck:
    """Check a file of events, one JSON object a line, without ingesting anything."""
    check, line, seen = FileCheck(), 1, set[str]()
    while lines := stream.readlines(_READ_AT_ONCE):
        numbered = [(at, raw) for at, raw in enumerate(lines, start=line) if raw.strip()]
        records = [raw for _, raw in numbered]
        places = [str(at) for at, _ in numbered]
        events, rejected = contract.explain_many(records, places)
        check.rows += len(records)
        check.good += len(events)
        for event in events:
            check.repeated += event.event_id in seen
            seen.add(event.event_id)
        for one in rejected:
            check.broken[one.rule] += 1
            if len(check.faults) < _FAULTS:
                text = record_text(one.record).rstrip("\r\n")
                check.faults.append(Fault(int(one.source), one.rule, one.reason, text))
        line += len(lines)
    return check


def validate_lake(
    engine: Engine, lake: Lake, clock: Callable[[], datetime]
) -> Iterator[TableCheck]:
    """Hold every table that was written against the rules of its schema, one after another."""
    for table in Table:
        if lake.version(table) is not None:
            yield _check_table(engine, table_schema(table), clock())


def _check_table(engine: Engine, schema: TableSchema, now: datetime) -> TableCheck:
    frame = engine.scan(schema.table)
    found = _one_row(engine, quality.figures(frame, schema))
    references = {
        column.name: _number(engine, frame, column.name, *column.references)
        for column in schema.columns
        if column.references is not None
    }
    repeated = None
    if schema.key:
        repeated = next(iter(_one_row(engine, quality.repeated_keys(frame, schema)).values()))
    newest = quality.newest(found)
    age = None if newest is None else (to_microseconds(now) - newest) / 1_000_000
    results = quality.results(
        schema, found, repeated=int(repeated or 0), references=references, age_seconds=age
    )
    return TableCheck(schema.table, int(found[quality.ROWS]), results)


def _number(engine: Engine, frame: nw.LazyFrame[Any], column: str, other: Table, name: str) -> int:
    dangling = quality.dangling(frame, column, engine.scan(other), name)
    return int(next(iter(_one_row(engine, dangling).values())))


def _one_row(engine: Engine, frame: nw.LazyFrame[Any]) -> dict[str, Any]:
    return {name: values[0] for name, values in engine.arrays(frame).items()}

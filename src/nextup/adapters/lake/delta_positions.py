"""How far a source has been written into a table, and which version a moment saw."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from deltalake import Transaction

from nextup.domain.errors import Conflict, NotFound
from nextup.domain.events import EPOCH, Position

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from nextup.domain.tables import Table

_PARTITIONS: Final = "nextup.partitions."  # + source: the table property with their names


def transactions(source: str, position: Position) -> list[Transaction]:
    """The position as what Delta stores with a commit."""
    return [Transaction(_app(source, partition), offset) for partition, offset in position.items()]


def remember_partitions(delta: DeltaTable, source: str, position: Position) -> None:
    """Keep the names of partitions that are new, before anything of them is written."""
    known = _partitions(delta, source)
    if unknown := set(position) - set(known):
        names = json.dumps(sorted({*known, *unknown}))
        delta.alter.set_table_properties({_PARTITIONS + source: names}, raise_if_not_exists=False)


def _app(source: str, partition: str) -> str:
    return f"{source}/{partition}"


def _partitions(delta: DeltaTable, source: str) -> list[str]:
    names = delta.metadata().configuration.get(_PARTITIONS + source, "[]")
    return [str(name) for name in json.loads(names)]


def stored_position(delta: DeltaTable, source: str) -> Position:
    """By partition; those that never were written are absent."""
    stored = ((p, delta.transaction_version(_app(source, p))) for p in _partitions(delta, source))
    return {partition: offset for partition, offset in stored if offset is not None}


def is_ahead(
    table: Table, stored: Position, position: Position | None, after: Position | None
) -> bool:
    """Whether these rows are still to be written. Raises Conflict if only some are."""
    if position is None:
        return True
    if all(stored.get(partition, 0) >= offset for partition, offset in position.items()):
        return False
    behind = any(stored.get(partition, 0) > offset for partition, offset in position.items())
    elsewhere = after is not None and any(
        stored.get(partition, 0) != after.get(partition, 0) for partition in position
    )
    if behind or elsewhere:
        raise Conflict(
            f"Somebody else has written to {table} from the same source meanwhile.",
            cure="Read the position again and go on from there.",
        )
    return True


def version_at(table: Table, delta: DeltaTable, moment: datetime) -> int | None:
    """The version in force then; None before the first. A clock that went backward does not
    confuse it: a version counts from the latest time written until then."""
    until = (moment.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)
    newest, found = 0, None
    commits = sorted((int(c["version"]), int(c["timestamp"])) for c in delta.history())
    for version, written in commits:
        newest = max(newest, written)
        if newest <= until:
            found = version
    if found is None and commits[0][0] > 0:
        raise NotFound(f"The versions of {table} of that time have been removed by maintenance.")
    return found

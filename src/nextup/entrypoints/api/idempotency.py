"""`Idempotency-Key`: a request that is sent again, because its answer was lost, counts once."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import Header

from nextup.domain.tables import EVENT_ID
from nextup.entrypoints.api.bodies import NO_CONTROL

if TYPE_CHECKING:
    from collections.abc import Sequence

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=NO_CONTROL,
        description="Events without an event_id get one made from the caller, this key, their "
        "place and their content: sent again, they are the same events.",
        examples=["order-4711"],
    ),
]


def named(records: Sequence[Any], client_id: str, key: str | None) -> list[Any]:
    """The records, each with an id that the same request would give it again. The log knows ids
    for as long as it keeps events, so a key holds for as long. The same key with another content
    names other events: nothing is lost by a careless caller."""
    if key is None:
        return list(records)
    return [_named(record, client_id, key, row) for row, record in enumerate(records)]


def _named(record: Any, client_id: str, key: str, row: int) -> Any:
    if not isinstance(record, dict) or EVENT_ID in record:
        return record
    try:
        content = msgspec.json.encode([client_id, key, row, record], order="sorted")
    except (ValueError, TypeError, RecursionError):  # what the contract will refuse
        return record
    return {**record, EVENT_ID: f"key-{blake2b(content, digest_size=16).hexdigest()}"}

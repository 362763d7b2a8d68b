"""Forget a person everywhere, and give a receipt.

The log comes first: whatever is interrupted later, no replay can bring the person back, and
erasing again finishes the work.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from nextup.domain import tables as t
from nextup.domain.errors import InvalidInput
from nextup.domain.tables import Table
from nextup.ports.event_log import NamesPeople, SupportsErasure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextup.ports.catalog import Catalog
    from nextup.ports.control import Control
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.lake import Lake
    from nextup.ports.online_state import OnlineState
    from nextup.ports.recommendation_store import RecommendationStore

FOLDER = "receipts"
PERSONAL = (  # every table with a user_id
    Table.EVENTS,
    Table.INTERACTIONS,
    Table.RATINGS,
    Table.TAGS,
    Table.USER_ITEM,
    Table.USER_VECTORS,
    Table.RECOMMENDATIONS,
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was removed, without naming whom: the hash lets the person's owner find it again."""

    receipt_id: str
    user_sha256: str
    erased_at: datetime
    removed: Mapping[str, int]  # records, by place
    old_versions_until: datetime  # when the lake's last version with the person is gone


def erase(
    user_id: str,
    *,
    event_log: EventLog,
    online_state: OnlineState,
    recommendation_store: RecommendationStore,
    lake: Lake,
    catalog: Catalog,
    control: Control,
    files: Files,
    keep: timedelta,
    beside: Callable[[str], Mapping[str, int]] = lambda _: {},
) -> Receipt:
    """Remove the person's events, history, lists and attributes; unknown people give zeros.
    `beside` removes them from other places.

    With `keep` of zero the lake's old versions go at once, for all tables.
    """
    if not user_id:
        raise InvalidInput("Whom to erase? The user id is empty.")
    with control.lock("pipeline"):  # a run under way could copy the person once more
        removed = {
            "event_log": event_log.erase(user_id) if isinstance(event_log, SupportsErasure) else 0,
            "online_state": online_state.erase(user_id),
            "recommendation_store": recommendation_store.erase(user_id),
            "catalog": int(catalog.delete_person(user_id)),
            **beside(user_id),
            **_erase_from_lake(lake, _in_tables(event_log, user_id)),
        }
        if not keep:
            lake.maintain(keep=keep)
    return _receipt(files, user_id, removed, keep)


def _in_tables(event_log: EventLog, user_id: str) -> str:
    return event_log.stored_id(user_id) if isinstance(event_log, NamesPeople) else user_id


def _erase_from_lake(lake: Lake, user_id: str) -> dict[str, int]:
    quoted = user_id.replace("'", "''")
    written = [table for table in PERSONAL if lake.version(table) is not None]
    removed = {table.value: lake.delete(table, f"{t.USER_ID} = '{quoted}'") for table in written}
    if lake.version(Table.QUARANTINE) is not None:
        named = msgspec.json.encode(user_id).decode().replace("'", "''")
        where = f"strpos({t.RECORD}, '{named}') > 0"
        removed[Table.QUARANTINE.value] = lake.delete(Table.QUARANTINE, where)
    return removed


def _receipt(files: Files, user_id: str, removed: Mapping[str, int], keep: timedelta) -> Receipt:
    erased_at = datetime.now(UTC)
    digest = hashlib.sha256(user_id.encode()).hexdigest()
    receipt = Receipt(
        f"{erased_at:%Y%m%dT%H%M%SZ}-{digest[:12]}", digest, erased_at, removed, erased_at + keep
    )
    with files.create(f"{FOLDER}/{receipt.receipt_id}.json") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(receipt), indent=2))
    return receipt

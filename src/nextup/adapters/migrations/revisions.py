"""The revisions of each part's tables, the first one first. The last is what this version needs."""

from __future__ import annotations

from typing import Final, NamedTuple

VERSION_TABLE: Final = "schema_versions"  # behind the tenant's prefix
COLUMN: Final = "version_num"  # as Alembic calls it


class Part(NamedTuple):
    """The tables of one port."""

    sign: str  # a table of the first revision; where it is, the part is
    revisions: tuple[str, ...]


PARTS: Final[dict[str, Part]] = {
    "event_log": Part("events", ("event_log_0001",)),
    "catalog": Part("items", ("catalog_0001",)),
    "recommendation_store": Part("recommendation_lists", ("recommendation_store_0001",)),
    "online_state": Part("online_position", ("online_state_0001",)),
    "control": Part("runs", ("control_0001", "control_0002")),
    "clients": Part("clients", ("clients_0001",)),
}

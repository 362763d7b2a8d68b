"""The tables of the event log in a SQL database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Float, MetaData, Table, Text

from nextup.adapters.sql import Id, Number
from nextup.domain import tables as t

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS: Final = "events"
REJECTED: Final = "rejected"


class LogTables:
    """The log's tables. Column order is that of LogRow and RejectedRow, without the partition."""

    def __init__(self, name: Callable[[str], str]) -> None:
        self.metadata = MetaData()
        self.events = Table(
            name(EVENTS),
            self.metadata,
            Column(t.OFFSET, Number, primary_key=True, autoincrement=False),
            Column(t.RECEIVED_AT, Number, nullable=False),
            Column(t.EVENT_ID, Id, nullable=False, unique=True),
            Column(t.TYPE, Text, nullable=False),
            # Without an index: it would cost every append a quarter of its speed for the sake
            # of `erase`, which is rare and can scan.
            Column(t.USER_ID, Id, nullable=False),
            Column(t.ITEM_ID, Id, nullable=False),
            Column(t.OCCURRED_AT, Number, nullable=False),
            Column(t.VALUE, Float(53)),
            Column(t.SESSION_ID, Text),
            Column(t.RECOMMENDATION_ID, Text),
            Column(t.CONTEXT, Text),
        )
        self.rejected = Table(
            name(REJECTED),
            self.metadata,
            Column(t.OFFSET, Number, primary_key=True, autoincrement=False),
            Column(t.REJECTED_ID, Id, nullable=False, unique=True),
            Column(t.SOURCE, Text, nullable=False),
            Column(t.RECORD, Text, nullable=False),
            Column(t.RULE, Text, nullable=False),
            Column(t.REASON, Text, nullable=False),
            Column(t.REJECTED_AT, Number, nullable=False),
        )
        # One row per table above. Its lock is what serialises writers where the database does
        # not do so by itself (PostgreSQL): offsets become visible in ascending order, so that
        # no reader can pass one that commits later. It also outlives erased events: offsets
        # are never given twice and received_at never goes back.
        self.heads = Table(
            name("log_heads"),
            self.metadata,
            Column("log", Id, primary_key=True),
            Column("next_offset", Number, nullable=False),
            Column("last_at", Number, nullable=False),
        )
        self.consumers = Table(
            name("log_consumers"),
            self.metadata,
            Column("consumer_group", Id, primary_key=True),
            Column(t.PARTITION, Id, primary_key=True),
            Column(t.OFFSET, Number, nullable=False),
        )

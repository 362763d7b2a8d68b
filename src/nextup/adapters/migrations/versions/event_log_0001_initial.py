"""The event log: events, rejected records, heads and consumers. The first revision."""

from __future__ import annotations

from sqlalchemy import Column, Float, Text

from nextup.adapters.migrations.tables import Id, Number, create_table, drop_table

revision = "event_log_0001"
down_revision = None
branch_labels = ("event_log",)


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "events",
        Column("offset", Number, primary_key=True, autoincrement=False),
        Column("received_at", Number, nullable=False),
        Column("event_id", Id, nullable=False, unique=True),
        Column("type", Text, nullable=False),
        Column("user_id", Id, nullable=False),
        Column("item_id", Id, nullable=False),
        Column("occurred_at", Number, nullable=False),
        Column("value", Float(53)),
        Column("session_id", Text),
        Column("recommendation_id", Text),
        Column("context", Text),
    )
    create_table(
        "log_consumers",
        Column("consumer_group", Id, primary_key=True),
        Column("partition", Id, primary_key=True),
        Column("offset", Number, nullable=False),
    )
    create_table(
        "log_heads",
        Column("log", Id, primary_key=True),
        Column("next_offset", Number, nullable=False),
        Column("last_at", Number, nullable=False),
    )
    create_table(
        "rejected",
        Column("offset", Number, primary_key=True, autoincrement=False),
        Column("rejected_id", Id, nullable=False, unique=True),
        Column("source", Text, nullable=False),
        Column("record", Text, nullable=False),
        Column("rule", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("rejected_at", Number, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables with all they hold."""
    drop_table("rejected", "log_heads", "log_consumers", "events")

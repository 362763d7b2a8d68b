"""Position, histories, counters and served lists. The first revision."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Text

from nextup.adapters.migrations.tables import Id, create_table, drop_table

revision = "online_state_0001"
down_revision = None
branch_labels = ("online_state",)


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "online_counters",
        Column("hour", BigInteger, primary_key=True, autoincrement=False),
        Column("item_id", Id, primary_key=True),
        Column("type", Id, primary_key=True),
        Column("times", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    create_table(
        "online_histories",
        Column("user_id", Id, primary_key=True),
        Column("partition", Text),
        Column("last_offset", BigInteger, nullable=False),
        Column("touches", LargeBinary, nullable=False),
    )
    create_table(
        "online_position",
        Column("slot", Integer, primary_key=True, autoincrement=False),
        Column("position", Text, nullable=False),
    )
    create_table(
        "online_served",
        Column("token", Id, primary_key=True),
        Column("user_id", Id, nullable=False, index=True),
        Column("expires_at", BigInteger, nullable=False, index=True),
        Column("list", Text, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables with all they hold."""
    drop_table("online_served", "online_position", "online_histories", "online_counters")

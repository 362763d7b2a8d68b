"""Published lists, their generations, and which is in service. The first revision."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Text

from nextup.adapters.migrations.tables import Id, create_table, drop_table

revision = "recommendation_store_0001"
down_revision = None
branch_labels = ("recommendation_store",)


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "recommendation_generations",
        Column("generation", Id, primary_key=True),
    )
    create_table(
        "recommendation_lists",
        Column("generation", Id, primary_key=True),
        Column("user_id", Id, primary_key=True),
        Column("items", Text, nullable=False),
    )
    create_table(
        "recommendation_service",
        Column("slot", Integer, primary_key=True, autoincrement=False),
        Column("generation", Id),
    )


def downgrade() -> None:
    """Drop the tables with all they hold."""
    drop_table("recommendation_service", "recommendation_lists", "recommendation_generations")

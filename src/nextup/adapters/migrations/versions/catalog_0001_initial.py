"""Items and people. The first revision."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Text

from nextup.adapters.migrations.tables import Id, Number, create_table, drop_table

revision = "catalog_0001"
down_revision = None
branch_labels = ("catalog",)


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "items",
        Column("item_id", Id, primary_key=True),
        Column("kind", Id, nullable=False, index=True),
        Column("title", Text, nullable=False),
        Column("year", Number),
        Column("genres", Text, nullable=False),
        Column("makers", Text, nullable=False),
        Column("keywords", Text, nullable=False),
        Column("available", Boolean, nullable=False),
        Column("attributes", Text, nullable=False),
        Column("title_folded", Id, nullable=False),
    )
    create_table(
        "people",
        Column("user_id", Id, primary_key=True),
        Column("attributes", Text, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables with all they hold."""
    drop_table("people", "items")

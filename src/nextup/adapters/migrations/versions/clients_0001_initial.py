"""Clients, their keys, their usage, and the revision of all. The first revision."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Text

from nextup.adapters.migrations.tables import Id, Number, create_table, drop_table, named

revision = "clients_0001"
down_revision = None
branch_labels = ("clients",)


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "client_revision",
        Column("id", Number, primary_key=True, autoincrement=False),
        Column("revision", Number, nullable=False),
    )
    create_table(
        "client_usage",
        Column("day", Number, primary_key=True, autoincrement=False),
        Column("client_id", Id, primary_key=True),
        Column("what", Id, primary_key=True),
        Column("times", Number, nullable=False),
    )
    create_table(
        "clients",
        Column("client_id", Id, primary_key=True),
        Column("number", Number, nullable=False, unique=True),
        Column("tenant", Id, nullable=False, index=True),
        Column("scopes", Text, nullable=False),
        Column("password_hash", Text, nullable=False),
        Column("per_second", Float(53), nullable=False),
        Column("burst", Number, nullable=False),
        Column("per_day", Number, nullable=False),
        Column("created_at", Number, nullable=False),
        Column("tokens_since", Number),
        Column("revoked_at", Number),
    )
    create_table(
        "signing_keys",
        Column("kid", Id, primary_key=True),
        Column("private", Text, nullable=False),
        Column("created_at", Number, nullable=False),
    )
    create_table(
        "client_keys",
        Column("key_id", Id, primary_key=True),
        Column(
            "client_id", Id, ForeignKey(f"{named('clients')}.client_id"), nullable=False, index=True
        ),
        Column("digest", Text, nullable=False),
        Column("note", Text, nullable=False),
        Column("created_at", Number, nullable=False),
        Column("revoked_at", Number),
    )


def downgrade() -> None:
    """Drop the tables with all they hold."""
    drop_table("client_keys", "signing_keys", "clients", "client_usage", "client_revision")

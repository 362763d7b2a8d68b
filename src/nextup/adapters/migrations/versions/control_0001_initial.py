"""Runs and steps, models, what is in service, generations, locks. The first revision."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Text

from nextup.adapters.migrations.tables import Id, Number, create_table, drop_table, named

revision = "control_0001"
down_revision = None
branch_labels = ("control",)


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "generations",
        Column("generation", Id, primary_key=True),
        Column("model_id", Id),
        Column("lists", Number, nullable=False),
        Column("published_at", Number, nullable=False),
    )
    create_table(
        "locks",
        Column("name", Id, primary_key=True),
        Column("token", Text, nullable=False),
        Column("host", Text, nullable=False),
        Column("place", Text, nullable=False),
        Column("pid", Number, nullable=False),
        Column("started", Text, nullable=False),
        Column("since", Number, nullable=False),
        Column("heartbeat_at", Number, nullable=False),
    )
    create_table(
        "models",
        Column("model_id", Id, primary_key=True),
        Column("created_at", Number, nullable=False),
        Column("component", Text, nullable=False),
        Column("metrics", Text, nullable=False),
        Column("lineage", Text, nullable=False),
        Column("promoted_at", Number),
        Column("verdict", Text, nullable=False),
        Column("passed", Boolean, nullable=False),
    )
    create_table(
        "runs",
        Column("run_id", Id, primary_key=True),
        Column("date", Text, nullable=False),
        Column("outcome", Text, nullable=False),
        Column("started_at", Number, nullable=False, index=True),
        Column("finished_at", Number),
    )
    create_table(
        "models_in_service",
        Column("place", Number, primary_key=True, autoincrement=False),
        Column("model_id", Id, ForeignKey(f"{named('models')}.model_id")),
    )
    create_table(
        "run_steps",
        Column("run_id", Id, ForeignKey(f"{named('runs')}.run_id"), primary_key=True),
        Column("step", Id, primary_key=True),
        Column("place", Number, nullable=False),
        Column("outcome", Text, nullable=False),
        Column("started_at", Number, nullable=False),
        Column("seconds", Float(53), nullable=False),
        Column("counts", Text, nullable=False),
        Column("message", Text, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables with all they hold."""
    drop_table("run_steps", "models_in_service", "runs", "models", "locks", "generations")

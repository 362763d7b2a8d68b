"""Which pipeline a run is of: there were none but the daily one."""

from __future__ import annotations

from sqlalchemy import Column, Text

from nextup.adapters.migrations.tables import add_column, drop_column

revision = "control_0002"
down_revision = "control_0001"
branch_labels = None


def upgrade() -> None:
    """Add the column."""
    add_column("runs", Column("pipeline", Text, nullable=False, server_default="nextup_daily"))


def downgrade() -> None:
    """Drop it: what other pipelines did counts as the daily one's."""
    drop_column("runs", "pipeline")

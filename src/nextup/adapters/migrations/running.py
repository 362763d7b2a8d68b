"""Alembic at work. It takes a moment to load, so only what has to migrate imports this."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from nextup.adapters.migrations.revisions import VERSION_TABLE
from nextup.adapters.migrations.tables import PREFIX

if TYPE_CHECKING:
    from sqlalchemy import Connection


def scripts() -> ScriptDirectory:
    """The files in `versions/`."""
    return ScriptDirectory(str(Path(__file__).parent))


def upgrade(connection: Connection, prefix: str, part: str, target: str = "head") -> None:
    """Take one part's tables to a revision of theirs, within the transaction of the caller."""
    steps = scripts()
    options: dict[str, Any] = {PREFIX: prefix}

    def plan(heads: Any, context: Any) -> Any:
        return steps._upgrade_revs(f"{part}@{target}", heads)

    with EnvironmentContext(Config(), steps, fn=plan) as environment:
        environment.configure(
            connection=connection,
            version_table=f"{prefix}{VERSION_TABLE}",
            **options,
        )
        environment.run_migrations()

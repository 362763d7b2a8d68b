"""What the recipe's tables are called, as the settings want it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nextup.recipes.platform_api.options import Options

NAMES: Final = "platform_names"
"""Among the options of a run of Alembic: the names that a revision fills in."""


def names_of(options: Options) -> dict[str, str]:
    """Each table behind its schema, in quotation marks: `user` may be a table's name."""
    return {
        what: f'"{options.database_schema}"."{getattr(options, what)}"'
        for what in ("movies", "users", "ratings", "clients")
    }

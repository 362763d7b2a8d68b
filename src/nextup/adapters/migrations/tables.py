"""What a migration says: table names get the tenant's prefix, types are those of the adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from alembic import op

from nextup.adapters.sql import Id, Number

if TYPE_CHECKING:
    from sqlalchemy import Column
    from sqlalchemy.schema import SchemaItem

__all__ = ["Id", "Number", "add_column", "create_table", "drop_column", "drop_table", "named"]

PREFIX: Final = "nextup_prefix"  # among the options of a run


def named(table: str) -> str:
    """The name that the table has for this tenant."""
    return f"{op.get_context().opts[PREFIX]}{table}"


def create_table(name: str, *columns: SchemaItem, **options: Any) -> None:
    """With the indexes that its columns ask for."""
    op.create_table(named(name), *columns, **options)


def add_column(table: str, column: Column[Any]) -> None:
    """To the rows that are there it has its default."""
    op.add_column(named(table), column)


def drop_column(table: str, name: str) -> None:
    """With what it holds."""
    op.drop_column(named(table), name)


def drop_table(*names: str) -> None:
    """Drop tables in this order."""
    for name in names:
        op.drop_table(named(name))

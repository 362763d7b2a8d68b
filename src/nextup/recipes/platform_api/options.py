"""The settings of this recipe alone: `[options]` in nextup.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from nextup.settings_servers import Section

SqlName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]


class Options(Section):
    """What things are called, and where files lie."""

    data_url: str = "file://data"  # simulation_data, raw, processed, external, no_injected_data
    client: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{1,62}$")] = (
        "simulation"  # whose people the daily files name, where a row does not say
    )
    database_schema: SqlName = "public"  # of PostgreSQL, where the four tables are
    movies: SqlName = "movies"  # the table of films
    users: SqlName = "users"  # the table of people and their vectors
    ratings: SqlName = "movies_users_rating"  # the table of ratings
    clients: SqlName = "clients"  # the table of clients
    backup_folder: str = "backup_db"  # where archives go
    backup_keep: PositiveInt = 7  # of them; older ones are removed

"""Tables are made, adopted and brought up to date, whatever version of Nextup made them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from tests.contract.backends import POSTGRESQL, SQLITE, Place, places

from nextup.adapters.migrations import running
from nextup.adapters.migrations.revisions import PARTS, VERSION_TABLE, Part
from nextup.adapters.sql import open_database
from nextup.adapters.sql_schema import Schema
from nextup.bootstrap import open_platform, sql_schemas
from nextup.domain.errors import ConfigurationError
from nextup.domain.items import Item
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from nextup.adapters.sql import Database

SECOND = """
from sqlalchemy import Column, Text
from alembic import op
from nextup.adapters.migrations.tables import named

revision = "catalog_0002"
down_revision = "catalog_0001"

def upgrade():
    op.add_column(named("people"), Column("colour", Text))
"""


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    opened = open_database(place.url, place.home, f"{place.tenant}_")
    yield opened
    opened.close()


@pytest.fixture
def second_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of Nextup whose catalogue has one column more."""
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps/catalog_0002_colour.py").write_text(SECOND)
    known = running.scripts()
    both = ScriptDirectory(known.dir, version_locations=[known.versions, str(tmp_path / "steps")])
    monkeypatch.setattr(running, "scripts", lambda: both)
    monkeypatch.setitem(PARTS, "catalog", Part("items", ("catalog_0001", "catalog_0002")))


def opened(place: Place, part: str) -> Any:
    if part != "clients":
        return place._open(part, {})
    settings = load_settings(place.home, control_url=place.url, tenant=place.tenant)
    platform = open_platform(settings)
    place._opened.append(platform)
    return platform.clients


def structure(database: Database, prefix: str, only: Collection[str] = ()) -> dict[str, Any]:
    """Tables whose names begin so: columns, keys and indexes, in comparable form. A server's
    tables without a prefix are many tests': of those `only` some are looked at."""
    found = {}
    with database.connect() as connection:
        inspector = inspect(connection)
        for table in inspector.get_table_names():
            if only and table not in only:
                continue
            if table.startswith(prefix) and not table.endswith(VERSION_TABLE):
                found[table.removeprefix(prefix)] = {
                    "columns": [
                        (c["name"], repr(c["type"]), c["nullable"], c["default"])
                        for c in inspector.get_columns(table)
                    ],
                    "primary": inspector.get_pk_constraint(table)["constrained_columns"],
                    "foreign": [
                        (key["constrained_columns"], key["referred_columns"])
                        for key in inspector.get_foreign_keys(table)
                    ],
                    "unique": [c["column_names"] for c in inspector.get_unique_constraints(table)],
                    "indexes": sorted(
                        (str(index["name"]).removeprefix(f"ix_{prefix}"), *index["column_names"])
                        for index in inspector.get_indexes(table)
                        if "duplicates_constraint" not in index
                    ),
                    "options": inspector.get_table_options(table),
                }
    return found


@pytest.mark.parametrize("part", list(PARTS))
def test_migrations_lead_to_what_adapters_make(place: Place, part: str) -> None:
    """The tables of an adapter that is opened anew, and those that all steps from the first one
    make, are the same."""
    place, other = place.another(), place.another()
    migrated = open_database(other.url, other.home, f"{other.tenant}_")
    Schema(migrated, part).upgrade()
    opened(place, part)
    prefix = "" if part == "clients" else f"{place.tenant}_"
    made = open_database(place.url, place.home, prefix)
    expected = structure(migrated, migrated.prefix)
    assert expected
    assert structure(made, prefix, only=() if prefix else expected) == expected
    migrated.close()
    made.close()


def test_the_list_of_revisions_is_that_of_the_files() -> None:
    """What is known without loading Alembic is what Alembic finds."""
    steps = running.scripts()
    for part, (_, revisions) in PARTS.items():
        lineage = [step.revision for step in steps.walk_revisions("base", f"{part}@head")]
        assert tuple(reversed(lineage)) == revisions
    assert len(steps.get_heads()) == len(PARTS)


def test_tables_without_a_note_are_adopted(place: Place, database: Database) -> None:
    """A database of a version that took no notes keeps its rows and gets its note."""
    place.catalog().put_items([Item("m1", title="Here before")])
    with database.begin() as connection:
        connection.execute(text(f"DROP TABLE {database.table_name(VERSION_TABLE)}"))
    found = place.catalog().item("m1")
    assert found is not None
    assert found.title == "Here before"
    assert Schema(database, "catalog").current() == "catalog_0001"


@pytest.mark.usefixtures("second_revision")
def test_tables_without_a_note_are_migrated(place: Place, database: Database) -> None:
    """They count as the first revision, from where all later steps are taken."""
    before = PARTS["catalog"]
    PARTS["catalog"] = Part("items", ("catalog_0001",))
    place.catalog().put_items([Item("m1")])
    PARTS["catalog"] = before
    with database.begin() as connection:
        connection.execute(text(f"DROP TABLE {database.table_name(VERSION_TABLE)}"))
    assert Schema(database, "catalog").upgrade() == "catalog_0001"
    assert Schema(database, "catalog").current() == "catalog_0002"
    assert columns(database, "people") == ["user_id", "attributes", "colour"]
    assert place.catalog().item("m1") == Item("m1")


def test_older_tables(place: Place, database: Database, request: pytest.FixtureRequest) -> None:
    """An embedded database is migrated when it is opened; a server waits for its operator, who
    migrates every tenant at once."""
    neighbour = place.another()
    for each in (place, neighbour):
        each.catalog().put_items([Item("m1")])
    request.getfixturevalue("second_revision")
    if place.url.startswith("sqlite"):
        assert place.catalog().item("m1") == Item("m1")
    else:
        with pytest.raises(ConfigurationError) as refused:
            place.catalog()
        assert "nextup db upgrade" in refused.value.cure
        assert columns(database, "people") == ["user_id", "attributes"]
        settings = load_settings(place.home, catalog_url=place.url)
        prefixes = {
            schema.prefix
            for schema in sql_schemas(settings)
            if schema.part == "catalog"
            and schema.prefix.startswith(place.tenant)
            and schema.upgrade() == "catalog_0001"
        }
        assert prefixes == {f"{place.tenant}_", f"{neighbour.tenant}_"}
        assert place.catalog().item("m1") == Item("m1")
    assert columns(database, "people") == ["user_id", "attributes", "colour"]


def test_newer_tables_are_left_alone(place: Place, database: Database) -> None:
    """An older Nextup refuses a database that a newer one migrated."""
    place.catalog()
    with database.begin() as connection:
        table = database.table_name(VERSION_TABLE)
        connection.execute(text(f"UPDATE {table} SET version_num = 'catalog_9999'"))
    with pytest.raises(ConfigurationError, match="newer version"):
        place.catalog()
    with pytest.raises(ConfigurationError, match="newer version"):
        Schema(database, "catalog").upgrade()


def test_ports_that_share_a_database_have_notes_of_their_own(
    place: Place, database: Database
) -> None:
    """Upgrading one says nothing of the other."""
    place.catalog()
    assert Schema(database, "catalog").current() == "catalog_0001"
    assert Schema(database, "event_log").current() is None
    place.event_log()
    assert Schema(database, "event_log").current() == "event_log_0001"
    assert Schema(database, "catalog").upgrade() == "catalog_0001"


OPENING = """
import sys
from pathlib import Path
from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.sql import open_database

for _ in range(2):
    SqlCatalog(open_database("sqlite:///file.db", Path(sys.argv[1]))).close()
print("alembic" in sys.modules)
"""


def test_opening_loads_no_alembic(tmp_path: Path) -> None:
    """Neither a new database nor a known one pays for migrations."""
    done = subprocess.run(
        [sys.executable, "-c", OPENING, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def columns(database: Database, table: str) -> list[str]:
    with database.connect() as connection:
        return [c["name"] for c in inspect(connection).get_columns(database.table_name(table))]

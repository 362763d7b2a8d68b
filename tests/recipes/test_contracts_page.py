"""The page of the data contracts is what `nextup contracts` prints for the film lakehouse."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from nextup.domain.events import EventType
from nextup.domain.tables import Table
from nextup.schemas.table_schemas import table_schema, use_cases
from nextup.services.contracts_document import contracts_document
from nextup.settings import Contracts
from nextup.settings_servers import KafkaLog

PAGE = Path(__file__).parents[2] / "docs" / "01_data_contracts.md"


def made() -> str:
    file = resources.files("nextup.recipes.film_lakehouse") / "nextup.toml"
    given = tomllib.loads(file.read_text(encoding="utf-8"))
    return contracts_document(Contracts(**given["contracts"]), KafkaLog(**given["kafka"]))


def test_the_page_is_made_from_the_schemas() -> None:
    """Whoever changes a schema prints the page anew: `nextup contracts > docs/01_data_contracts.md`
    in the recipe's folder."""
    assert PAGE.read_text(encoding="utf-8") == made()


def test_nothing_is_left_out() -> None:
    """Every table with its columns, every event, every use case, and what happens on failure."""
    text = made()
    for table in Table:
        assert f"### {table}\n" in text
        assert table_schema(table).on_failure in text
        assert table_schema(table).on_failure
    for kind in EventType:
        assert f"(`{kind.value}`)" in text
    for case in use_cases():
        assert f"| {case.name} |" in text
        assert set(case.changed_by) <= {kind.value for kind in EventType}

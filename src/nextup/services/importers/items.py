"""Anybody's own table of items, in CSV, JSON lines or Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nextup.domain.errors import InvalidInput
from nextup.domain.tables import ITEM_ID
from nextup.services.importers.delimited import Dialect
from nextup.services.importers.loading import Loading, nothing_to_tell
from nextup.services.importers.table import item_shape, only_file
from nextup.services.importers.tables import read_table, table_format
from nextup.services.manifests import slug

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextup.domain.items import Item
    from nextup.services.importers.loading import Destination, Progress
    from nextup.services.importers.report import IngestReport
    from nextup.services.importers.sources import Source

ITEM: Final = "item"  # what the id is called in a mapping, as for events


def ingest(
    source: Source,
    into: Destination,
    *,
    mapping: Mapping[str, str],
    kind: str,
    progress: Progress = nothing_to_tell,
) -> IngestReport:
    """Put the table's rows into the catalogue, in the place of those with the same ids.

    `mapping` says of `item`, of the item's other fields, or of an attribute, which column it is.
    Where it is empty, the columns are called as in the lake, and others are attributes; else only
    those that it names are read.
    """
    name = only_file(source)
    form = table_format(name)
    first = next(read_table(source, name, form, Dialect()))
    for role, column in mapping.items():
        if first.columns.columns and column not in first.columns.columns:
            raise InvalidInput(
                f"The table has no column '{column}' (mapped to {role}).",
                cure=f"It has {', '.join(first.columns.columns)}.",
            )
    dataset = slug(source.path.stem)
    loading = Loading(
        into,
        source,
        dataset=dataset,
        folder=f"bronze/{dataset}",
        item_kind=kind,
        progress=progress,
    )
    facts = loading.survey(name, header=form == "csv")
    loading.begin()
    shape = item_shape(kind)

    def mapped(cells: Mapping[str, str]) -> Item:
        if not mapping:
            return shape(cells)
        return shape({_field(role): cells[column] for role, column in mapping.items()})

    loading.items(facts, read_table(source, name, form, Dialect()), mapped)
    return loading.finish()


def _field(role: str) -> str:
    return ITEM_ID if role == ITEM else role

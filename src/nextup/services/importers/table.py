"""Anybody's own table of events, in CSV, JSON lines or Parquet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, cast

import polars as pl

from nextup.domain.errors import InvalidInput
from nextup.domain.events import EventType
from nextup.domain.items import Item
from nextup.domain.tables import (
    EVENT_ID,
    GENRES,
    ITEM_ID,
    KEYWORDS,
    KIND,
    MAKERS,
    TITLE,
    TYPE,
    USER_ID,
    YEAR,
)
from nextup.services.contract_frames import TIME_TEXT, VALUE_TEXT
from nextup.services.importers.delimited import Dialect
from nextup.services.importers.loading import UNKNOWN_ITEMS, Loading, nothing_to_tell
from nextup.services.importers.sources import Source
from nextup.services.importers.tables import LIST_SEPARATOR, read_table, table_format
from nextup.services.manifests import read_manifest, slug

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nextup.services.importers.loading import Destination, ItemShape, Progress, Shape
    from nextup.services.importers.report import IngestReport
    from nextup.services.importers.sources import FileFacts

    Policy = Literal["quarantine", "create"]

USER, THING, VALUE_ROLE, TYPE_ROLE, TIME, ID = "user", "item", "value", "type", "time", "event_id"
ROLES: Final = (USER, THING, VALUE_ROLE, TYPE_ROLE, TIME, ID)
"""What `--map role=column` can name."""

_TYPES = {kind.value for kind in EventType}
_ITEM_COLUMNS = (ITEM_ID, "id", "item")  # where an item file may keep its ids
_OWN_COLUMNS = {*_ITEM_COLUMNS, KIND, TITLE, YEAR, GENRES, MAKERS, KEYWORDS}


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How to read the table.

    `mapping` goes from ROLES to columns; `user` and `item` are needed. A `type` that is no column
    but an event type holds for all rows; without one, rows with a mapped `value` are ratings and
    others views. Without `time`, events happened on arrival.
    """

    mapping: Mapping[str, str]
    dataset: str | None = None  # part of every event id; None: from the file's name
    format: str | None = None  # csv, jsonl, parquet; None: from the file's name
    dialect: Dialect = field(default_factory=Dialect)
    kind: str = "item"  # of items that the import makes
    items: Path | None = None  # a table with a column `item_id`; its other columns as in the lake
    unknown_items: Policy | None = None  # None: see `ingest`

    def __post_init__(self) -> None:
        """Raises InvalidInput for a mapping that can't work."""
        odd = sorted(set(self.mapping) - set(ROLES))
        if odd:
            raise InvalidInput(
                f"'{odd[0]}' is nothing that a column can be mapped to.",
                cure=f"It can be {', '.join(ROLES)}.",
            )
        for role in (USER, THING):
            if not self.mapping.get(role):
                raise InvalidInput(
                    f"The mapping does not say which column is the {role}.",
                    cure=f"Add --map {role}=<column>.",
                )


def ingest(
    source: Source,
    into: Destination,
    options: TableOptions,
    *,
    progress: Progress = nothing_to_tell,
) -> IngestReport:
    """The table's rows into the log; the items of an item file, if any, into the catalogue first.

    Events of unknown items: as the options say; else as an interrupted import of the same file
    decided; else quarantine where there is an item file, or the catalogue has items of the kind
    already; else (nothing could be known yet) the items are made. The report says which.
    """
    name = only_file(source)
    form = table_format(name, options.format)
    dataset = slug(options.dataset or source.path.stem)
    loading = Loading(
        into,
        source,
        dataset=dataset,
        folder=f"bronze/{dataset}",
        item_kind=options.kind,
        progress=progress,
    )
    _refuse_unknown_columns(source, name, form, options)
    facts = loading.survey(name, events=True, header=form == "csv")
    _decide(loading, into, facts, options)
    loading.begin()
    if options.items is not None:
        _load_items(loading, options)
    rows = read_table(source, name, form, options.dialect)
    loading.events(facts, rows, shape_of(options.mapping))
    return loading.finish()


def shape_of(mapping: Mapping[str, str]) -> Shape:
    """How a chunk of the table becomes raw events."""

    def shape(columns: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
        def cells(role: str) -> pl.Series:
            column = mapping.get(role)
            if column is None or column not in columns.columns:
                return pl.Series([None] * len(numbers), dtype=pl.String)
            return columns[column]

        given = cells(TYPE_ROLE)
        constant = _constant_type(mapping, columns)
        frame = pl.DataFrame(
            {
                USER_ID: cells(USER),
                ITEM_ID: cells(THING),
                VALUE_TEXT: cells(VALUE_ROLE),
                TIME_TEXT: cells(TIME),
                EVENT_ID: cells(ID),
                TYPE: given,
            }
        )
        empty_as_none = [
            pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)
            for name in (VALUE_TEXT, EVENT_ID)
        ]
        # an empty cell in a mapped time column is a fault; "on arrival" would be a wrong time
        time = pl.col(TIME_TEXT).fill_null("") if TIME in mapping else pl.col(TIME_TEXT)
        kind = pl.col(TYPE) if constant is None else pl.lit(constant)
        return frame.with_columns(*empty_as_none, time.alias(TIME_TEXT), kind.alias(TYPE))

    return shape


def item_shape(kind: str) -> ItemShape:
    """How a row of an item file becomes an item. Columns that Nextup has no name for are kept."""

    def shape(cells: Mapping[str, str]) -> Item:
        found = {name: text for name, text in cells.items() if text}
        item_id = next((found[name] for name in _ITEM_COLUMNS if name in found), "")
        return Item(
            item_id,
            found.get(KIND, kind),
            found.get(TITLE, ""),
            _year(found.get(YEAR, "")),
            _entries(found.get(GENRES, "")),
            _entries(found.get(MAKERS, "")),
            _entries(found.get(KEYWORDS, "")),
            attributes={name: text for name, text in found.items() if name not in _OWN_COLUMNS},
        )

    return shape


def _constant_type(mapping: Mapping[str, str], columns: pl.DataFrame) -> str | None:
    wanted = mapping.get(TYPE_ROLE)
    if wanted is None:
        return (EventType.RATING if VALUE_ROLE in mapping else EventType.VIEW).value
    return wanted if wanted not in columns.columns and wanted in _TYPES else None


def only_file(source: Source) -> str:
    """The file's name. Raises InvalidInput for a folder or an archive with several."""
    names = source.names()
    if len(names) != 1:
        raise InvalidInput(
            f"{source.path} holds {len(names)} files.", cure="Give the one file with the events."
        )
    return names[0]


def _refuse_unknown_columns(source: Source, name: str, form: str, options: TableOptions) -> None:
    first = next(read_table(source, name, form, options.dialect))
    here = first.columns.columns
    for role, column in options.mapping.items():
        constant = role == TYPE_ROLE and column in _TYPES
        if here and column not in here and not constant:
            raise InvalidInput(
                f"The table has no column '{column}' (mapped to {role}).",
                cure=f"It has {', '.join(here)}.",
            )


def _decide(loading: Loading, into: Destination, facts: FileFacts, options: TableOptions) -> None:
    policy, why = _policy(loading, into, facts, options)
    what = "quarantined" if policy == "quarantine" else "created without a title"
    loading.decide_unknown_items(policy)
    loading.report.notes.append(f"Items that the catalogue lacks are {what}: {why}.")
    if TIME not in options.mapping:
        loading.report.notes.append("No column is mapped to time: events happened on arrival.")
    else:
        loading.report.notes.append("Times without a time zone are taken as UTC.")


def _policy(
    loading: Loading, into: Destination, facts: FileFacts, options: TableOptions
) -> tuple[Policy, str]:
    if options.unknown_items is not None:
        return options.unknown_items, "as asked"
    earlier = read_manifest(into.files, f"bronze/{loading.report.dataset}")
    same = earlier is not None and facts.sha256 in {file.sha256 for file in earlier.files}
    if earlier is not None and same and UNKNOWN_ITEMS in earlier.decisions:
        return cast("Policy", earlier.decisions[UNKNOWN_ITEMS]), "as when it was first imported"
    if into.contracts.unknown_items == "create":
        return "create", "by the settings"
    if options.items is not None:
        return "quarantine", "there is an item file"
    if into.catalog.count_items(options.kind):
        return "quarantine", f"the catalogue has items of the kind {options.kind!r}"
    return "create", f"the catalogue has no items of the kind {options.kind!r} yet"


def _load_items(loading: Loading, options: TableOptions) -> None:
    assert options.items is not None
    source = Source(options.items)
    name = only_file(source)
    form = table_format(name)
    first = next(read_table(source, name, form, options.dialect))
    if first.columns.columns and not set(_ITEM_COLUMNS) & set(first.columns.columns):
        raise InvalidInput(
            f"{options.items} has no column {ITEM_ID}.",
            cure=f"It has {', '.join(first.columns.columns)}.",
        )
    facts = loading.survey(name, header=form == "csv", source=source)
    loading.items(facts, read_table(source, name, form, options.dialect), item_shape(options.kind))


def _entries(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(LIST_SEPARATOR) if one.strip())


def _year(text: str) -> int | None:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return None

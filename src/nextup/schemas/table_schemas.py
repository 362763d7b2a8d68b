"""The lake's tables as `lakehouse/*.yml` describe them: read once, checked, and frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import yaml

from nextup.domain.errors import ConfigurationError
from nextup.domain.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYERS: Final = ("bronze", "silver", "gold")


class ColumnType(StrEnum):
    """What a column holds, in Delta's words."""

    STRING = "string"
    INTEGER = "integer"  # 32 bits
    LONG = "long"  # 64 bits
    FLOAT = "float"  # 32 bits
    DOUBLE = "double"  # 64 bits
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"  # microseconds, UTC
    STRINGS = "list<string>"
    FLOATS = "list<float>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column and what its values must satisfy. A rule says nothing about nulls."""

    name: str
    type: ColumnType
    description: str
    nullable: bool = False
    min: float | None = None  # inclusive
    max: float | None = None  # inclusive; with either bound, "not a number" is out of range
    one_of: tuple[str, ...] = ()  # empty: any value
    references: tuple[Table, str] | None = None  # the table and column that must hold the value


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest value of a time column may not be older than this."""

    column: str
    within: timedelta


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table: its columns in order, its layout on disk, and its rules."""

    table: Table
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]  # no two rows have the same
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()  # within a file
    min_rows: int = 0
    freshness: Freshness | None = None
    tolerate: Mapping[str, float] = field(
        default_factory=dict
    )  # share of rows that may fail a rule
    on_failure: str = ""  # what becomes of rows that break a rule, for a person

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)


def table_schema(table: Table) -> TableSchema:
    """The table's schema. Raises ConfigurationError, naming file and entry, for a bad file."""
    return table_schemas()[table]


@cache
def table_schemas() -> Mapping[Table, TableSchema]:
    """Every table's schema, in the order of the files."""
    schemas = {}
    for layer in LAYERS:
        name = f"lakehouse/{layer}_tables.yml"
        document = yaml.safe_load((files(__package__) / name).read_text(encoding="utf-8"))
        for schema in parse_tables(document, layer, name):
            schemas[schema.table] = schema
    if missing := [table.value for table in Table if table not in schemas]:
        raise ConfigurationError(f"No schema describes {', '.join(missing)}.")
    return schemas


@dataclass(frozen=True, slots=True)
class UseCase:
    """What tables and events are for."""

    name: str
    title: str
    route: str
    answers: str  # the question
    reads: tuple[Table, ...]
    changed_by: tuple[str, ...]  # types of events that make another answer
    kept: str  # where a made answer is kept, and until when


@cache
def use_cases() -> tuple[UseCase, ...]:
    """Every use case, in the order of the file. Raises ConfigurationError for a bad one."""
    name = "use_cases.yml"
    document = yaml.safe_load((files(__package__) / name).read_text(encoding="utf-8"))
    try:
        return tuple(
            UseCase(
                short,
                **{key: entry[key] for key in ("title", "route", "answers", "kept")},
                reads=tuple(map(Table, entry["reads"])),
                changed_by=tuple(map(str, entry["changed_by"])),
            )
            for short, entry in document.items()
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{name}: {error}.") from error


def parse_tables(document: Mapping[str, Any], layer: str, name: str) -> list[TableSchema]:
    """The tables of one file. Raises ConfigurationError for keys, types or columns unknown."""
    schemas = []
    for short, entry in document.items():
        where = f"{name}, {short}"
        try:
            schemas.append(_table(Table(f"{layer}.{short}"), dict(entry)))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{where}: {error}.") from error
    return schemas


def _table(table: Table, entry: dict[str, Any]) -> TableSchema:
    columns = tuple(_column(name, dict(rules)) for name, rules in entry.pop("columns").items())
    freshness = entry.pop("freshness", None)
    schema = TableSchema(
        table=table,
        description=entry.pop("description").strip(),
        columns=columns,
        key=tuple(entry.pop("key")),
        partition_by=tuple(entry.pop("partition_by", ())),
        sort_by=tuple(entry.pop("sort_by", ())),
        min_rows=int(entry.pop("min_rows", 0)),
        freshness=None if freshness is None else _freshness(dict(freshness)),
        tolerate=dict(entry.pop("tolerate", {})),
        on_failure=str(entry.pop("on_failure", "")).strip(),
    )
    _refuse_rest(entry)
    named = {*schema.key, *schema.partition_by, *schema.sort_by}
    if schema.freshness is not None:
        named.add(schema.freshness.column)
    if unknown := named - set(schema.names):
        raise ValueError(f"no column {', '.join(sorted(unknown))}")
    return schema


def _column(name: str, rules: dict[str, Any]) -> Column:
    reference = rules.pop("references", None)
    column = Column(
        name=name,
        type=ColumnType(rules.pop("type")),
        description=rules.pop("description").strip(),
        nullable=bool(rules.pop("nullable", False)),
        min=rules.pop("min", None),
        max=rules.pop("max", None),
        one_of=tuple(rules.pop("one_of", ())),
        references=None if reference is None else _reference(reference),
    )
    _refuse_rest(rules)
    return column


def _reference(text: str) -> tuple[Table, str]:
    table, _, column = text.rpartition(".")
    return Table(table), column


def _freshness(rules: dict[str, Any]) -> Freshness:
    freshness = Freshness(rules.pop("column"), timedelta(hours=float(rules.pop("within_hours"))))
    _refuse_rest(rules)
    return freshness


def _refuse_rest(entry: dict[str, Any]) -> None:
    if entry:
        raise ValueError(f"unknown key {', '.join(sorted(entry))}")

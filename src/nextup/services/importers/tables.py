"""Anybody's table as text columns in chunks, whatever its format."""

from __future__ import annotations

from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from nextup.domain.errors import CorruptData, InvalidInput
from nextup.services.contracts import parse_record, record_text
from nextup.services.event_schemas import Broken
from nextup.services.importers.delimited import Dialect, read_delimited
from nextup.services.importers.rows import CHUNK_CHARACTERS, Damaged, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.services.importers.sources import Source

LIST_SEPARATOR: Final = "|"  # between the entries of a list that is one text

_PARQUET_ROWS = 200_000  # read at once
_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def table_format(name: str, given: str | None = None) -> str:
    """`csv`, `jsonl` or `parquet`. Raises InvalidInput where it can't be known."""
    found = given or _FORMATS.get(PurePath(name).suffix.lower())
    if found not in {"csv", "jsonl", "parquet"}:
        raise InvalidInput(
            f"The format of {PurePath(name).name} is not known.",
            cure="Give its format: csv, jsonl or parquet.",
        )
    return found


def read_table(source: Source, name: str, form: str, dialect: Dialect) -> Iterator[Rows]:
    """Chunks of the table; at least one, which has all its columns even when it has no rows."""
    if form == "parquet":
        yield from _read_parquet(source.path)
        return
    with source.open(name) as stream:
        yield from read_delimited(stream, dialect, name) if form == "csv" else _read_json(stream)


def _read_json(stream: IO[bytes]) -> Iterator[Rows]:
    line = number = 1
    while lines := stream.readlines(CHUNK_CHARACTERS):
        objects: list[dict[str, Any]] = []
        numbers: list[int] = []
        starts: list[int] = []
        damaged: list[Damaged] = []
        for at, raw in enumerate(lines, start=line):
            if not raw.strip():
                continue
            parsed = parse_record(raw)
            if isinstance(parsed, Broken):
                text = record_text(raw.rstrip(b"\r\n"))
                damaged.append(Damaged(number, at, parsed.rule, parsed.reason, text))
            else:
                objects.append(parsed)
                numbers.append(number)
                starts.append(at)
            number += 1
        blank = len(lines) - len(objects) - len(damaged)
        line += len(lines)
        yield Rows(_json_columns(objects), numbers, starts, damaged, blank)
    if line == 1:
        yield Rows(pl.DataFrame(), (), ())


def _json_columns(objects: list[dict[str, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(name for one in objects for name in one)
    return pl.DataFrame(
        [pl.Series(name, [as_text(one.get(name)) for one in objects], pl.String) for name in names]
    )


def as_text(value: object) -> str | None:
    """A JSON value as a cell of a text column: whole floats as integers, lists joined."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return LIST_SEPARATOR.join(value)
    return msgspec.json.encode(value).decode()


def _read_parquet(path: Path) -> Iterator[Rows]:
    try:
        table = pl.scan_parquet(path)
        schema = table.collect_schema()
        wanted = [_text_column(name, kind) for name, kind in schema.items() if _is_flat(kind)]
        height = table.select(pl.len()).collect().item()
        for start in range(0, max(1, height), _PARQUET_ROWS):
            frame = table.slice(start, _PARQUET_ROWS).select(wanted).collect()
            rows = range(start + 1, start + 1 + frame.height)
            yield Rows(frame, rows, rows)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise CorruptData(
            f"{path} cannot be read as Parquet: {first}.", cure="Check the file, or its format."
        ) from error


def _is_flat(kind: pl.DataType) -> bool:
    if isinstance(kind, pl.List):
        return isinstance(kind.inner, pl.String)
    return not kind.is_nested() and not isinstance(kind, pl.Binary | pl.Object)


def _text_column(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.List):
        return column.list.join(LIST_SEPARATOR)
    if isinstance(kind, pl.Datetime):
        if kind.time_zone is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return column.dt.strftime("%Y-%m-%d %H:%M:%S%.6f")
    if kind.is_float():
        whole = column.cast(pl.Int64, strict=False)
        return (
            pl.when(whole.cast(kind) == column)
            .then(whole.cast(pl.String))
            .otherwise(column.cast(pl.String))
        )
    return column.cast(pl.String)

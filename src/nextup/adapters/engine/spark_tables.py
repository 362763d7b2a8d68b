"""Frames of Spark held against the tables' schemas, and written as files for a commit to adopt."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa
from deltalake.transaction import AddAction
from pyspark.sql import types
from pyspark.sql.functions import (
    col,
    count,
    count_if,
    lit,
    max,  # noqa: A004
    min,  # noqa: A004
    nullif,
    regexp_extract,
    url_decode,
)
from pyspark.sql.pandas.types import from_arrow_schema

from nextup.adapters.lake.frames import polars_schema
from nextup.domain.errors import InvalidInput
from nextup.schemas.table_schemas import ColumnType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import polars as pl
    from pyspark.sql import Column, DataFrame, Row, SparkSession

    from nextup.schemas.table_schemas import Column as SchemaColumn
    from nextup.schemas.table_schemas import TableSchema

TYPES: Final[Mapping[ColumnType, types.DataType]] = {
    ColumnType.STRING: types.StringType(),
    ColumnType.INTEGER: types.IntegerType(),
    ColumnType.LONG: types.LongType(),
    ColumnType.FLOAT: types.FloatType(),
    ColumnType.DOUBLE: types.DoubleType(),
    ColumnType.BOOLEAN: types.BooleanType(),
    ColumnType.DATE: types.DateType(),
    ColumnType.TIMESTAMP: types.TimestampType(),
    ColumnType.STRINGS: types.ArrayType(types.StringType()),
    ColumnType.FLOATS: types.ArrayType(types.FloatType()),
}
_WITH_BOUNDS: Final = (ColumnType.STRING, ColumnType.INTEGER, ColumnType.LONG, ColumnType.DATE)
_PATTERN: Final = re.compile(r"([*?\[\]{}\\])")
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"  # in the name of a folder
_FILE: Final = ("file_path", "file_size", "file_modification_time")
_ROWS: Final = "rows"


def spark_schema(schema: TableSchema) -> types.StructType:
    """The table's columns and types as Spark names them."""
    return types.StructType(
        [types.StructField(column.name, TYPES[column.type]) for column in schema.columns]
    )


def conformed(frame: DataFrame, schema: TableSchema) -> DataFrame:
    """The frame with the table's columns in their order; numbers get its widths.

    Raises InvalidInput where a column is missing, too many, or of another type; a column of
    nothing but nulls has any type.
    """
    wanted = spark_schema(schema)
    given = {field.name: field.dataType for field in frame.schema}
    if missing := [name for name in wanted.names if name not in given]:
        raise InvalidInput(f"{schema.table}: no column {', '.join(missing)}.")
    if extra := [name for name in given if name not in wanted.names]:
        raise InvalidInput(f"{schema.table} has no column {', '.join(extra)}.")
    for field in wanted:
        if not _fits(given[field.name], field.dataType):
            found, type_ = given[field.name].simpleString(), field.dataType.simpleString()
            raise InvalidInput(f"{schema.table}: {field.name} must be {type_}, not {found}.")
    return frame.select(*(col(field.name).cast(field.dataType) for field in wanted))


def _fits(given: types.DataType, wanted: types.DataType) -> bool:
    """Whether it is the same, nothing but nulls, or a number of another width."""
    if isinstance(given, types.ArrayType) and isinstance(wanted, types.ArrayType):
        return _fits(given.elementType, wanted.elementType)
    numbers = isinstance(given, types.NumericType) and isinstance(wanted, types.NumericType)
    return numbers or given == wanted or isinstance(given, types.NullType)


def read_files(spark: SparkSession, files: Sequence[str], schema: TableSchema) -> DataFrame:
    """The rows of these files of a table; columns that are newer than a file are null in it.

    Which files they are the table's log says, and whoever asks has read that. Spark's own reader
    of Delta tables would read it again, by a handful of jobs: seconds, whatever the table's size.
    """
    stored = types.StructType(
        [field for field in spark_schema(schema) if field.name not in schema.partition_by]
    )
    rows = spark.read.schema(stored).parquet(*map(literal_path, files))
    return rows.select(*(_stored(column, schema) for column in schema.columns))


def literal_path(path: str) -> str:
    """A path that Spark does not take for a pattern."""
    return _PATTERN.sub(r"\\\1", path)


def _stored(column: SchemaColumn, schema: TableSchema) -> Column:
    """A column of a file; that of a partition is in the names of folders only."""
    if column.name not in schema.partition_by:
        return col(column.name)
    path = regexp_extract(col("_metadata.file_path"), f"/{column.name}=([^/]*)/", 1)
    return nullif(url_decode(path), lit(_NO_VALUE)).cast(TYPES[column.type]).alias(column.name)


def from_polars(spark: SparkSession, frame: pl.DataFrame) -> DataFrame:
    """A frame of Spark with these rows, which are in memory here."""
    table = frame.to_arrow()
    fields = [field.with_type(_known(field.type)) for field in table.schema]
    table = table.cast(pa.schema(fields))
    told = None if table.num_rows else from_arrow_schema(table.schema)  # Connect asks for it
    return spark.createDataFrame(table, told)


def _known(type_: pa.DataType) -> pa.DataType:
    """The type that Spark has for what Polars calls otherwise."""
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_large_list(type_):
        return pa.list_(_known(type_.value_type))
    if pa.types.is_dictionary(type_):
        return _known(type_.value_type)
    if pa.types.is_unsigned_integer(type_):
        return pa.int64()
    return type_


def write_files(
    spark: SparkSession, frame: DataFrame, schema: TableSchema, uri: str
) -> tuple[list[AddAction], int]:
    """Write the rows into a new folder in the table's folder, sorted as the table is within each
    file; returns what a commit needs to know of the files, and how many rows there are.

    Nobody sees them before that. Raises InvalidInput where a column that always has a value is
    null. A partition is written by one task, so that it is one file.
    """
    token = f"files-{uuid4().hex}"
    place = f"{uri}/{token}"
    parted = frame.repartition(*schema.partition_by) if schema.partition_by else frame
    rows = parted.sortWithinPartitions(*schema.partition_by, *(schema.sort_by or schema.key))
    writer = rows.write.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    writer.parquet(place, partitionBy=list(schema.partition_by), compression="zstd")
    written = spark.read.schema(spark_schema(schema)).parquet(literal_path(place))
    found = _described(written, schema).toArrow().to_pylist()
    _require_values(found, schema)
    files = [_action(row, token, schema) for row in found]
    return files, sum(row[_ROWS] for row in found)


def _described(written: DataFrame, schema: TableSchema) -> DataFrame:
    """A row for each file: where and how large, its rows, its bounds, and what is null in it."""
    file = [col(f"_metadata.{name}").alias(name) for name in _FILE]
    return written.groupBy(*file).agg(
        count(lit(1)).alias(_ROWS), *_bounds(schema), *_absences(schema)
    )


def _bounds(schema: TableSchema) -> Iterator[Column]:
    """Of the columns by which rows are looked for."""
    for name in _bounded(schema):
        yield min(name).alias(f"min.{name}")
        yield max(name).alias(f"max.{name}")


def _bounded(schema: TableSchema) -> list[str]:
    wanted = {*schema.key, *schema.sort_by} - set(schema.partition_by)
    return [
        column.name
        for column in schema.columns
        if column.name in wanted and column.type in _WITH_BOUNDS
    ]


def _absences(schema: TableSchema) -> Iterator[Column]:
    for column in schema.columns:
        if not column.nullable:
            yield count_if(col(column.name).isNull()).alias(f"null.{column.name}")


def _require_values(found: list[dict[str, Any]], schema: TableSchema) -> None:
    for column in schema.columns:
        if any(row.get(f"null.{column.name}") for row in found):
            raise InvalidInput(f"{schema.table}: {column.name} may not be empty.")


def _action(row: Mapping[str, Any] | Row, token: str, schema: TableSchema) -> AddAction:
    path = token + row["file_path"].rpartition(token)[2]
    stats = {
        "numRecords": row[_ROWS],
        "minValues": _values(row, "min", schema),
        "maxValues": _values(row, "max", schema),
        "nullCount": {
            column.name: 0
            for column in schema.columns
            if not column.nullable and column.name not in schema.partition_by
        },
    }
    return AddAction(
        path=path,
        size=row["file_size"],
        partition_values=_partition(path),
        modification_time=int(row["file_modification_time"].timestamp() * 1000),
        data_change=True,
        stats=json.dumps(stats),
    )


def _values(row: Mapping[str, Any] | Row, of: str, schema: TableSchema) -> dict[str, Any]:
    found = {name: row[f"{of}.{name}"] for name in _bounded(schema)}
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in found.items()
        if value is not None
    }


def _partition(path: str) -> dict[str, str | None]:
    """By column, from the names of the folders: `received_on=2026-11-20`."""
    pairs = (part.partition("=") for part in path.split("/")[1:-1])
    return {
        name: None if value == _NO_VALUE else unquote(unquote(value)) for name, _, value in pairs
    }


def empty_frame(spark: SparkSession, schema: TableSchema) -> DataFrame:
    """No rows, with the table's columns."""
    return from_polars(spark, polars_schema(schema).to_frame())

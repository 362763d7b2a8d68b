"""The log's topics as Spark reads them: streams, ranges, and messages as rows of bronze.

Messages are read by the same functions as on the local engine, on the executors; and a message is
left out for the same reason: its id was seen within the `dedupe_events` messages before it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as sf

from nextup.adapters.event_log.kafka_messages import UNREADABLE, log_rows, rejected_rows
from nextup.domain import tables as t
from nextup.domain.events import Rejected
from nextup.domain.tables import Table
from nextup.schemas.table_schemas import ColumnType, table_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pyspark.sql import Column, DataFrame, SparkSession

    from nextup.domain.events import Position
    from nextup.settings_servers import KafkaLog

    Read = Callable[[Sequence[str], Sequence[int], Sequence[bytes]], Sequence[tuple[Any, ...]]]

_CONTENT: Final = "value"  # Spark's own name of what a message holds
_TOPIC_ERROR: Final = "unreadable"  # why a message is no row
_CONTENT_TEXT: Final = "content"  # of such a one
_DAY: Final = 86_400_000_000  # microseconds
_WIDTHS: Final = {ColumnType.LONG: pa.int64(), ColumnType.DOUBLE: pa.float64()}
_SQL: Final = {ColumnType.LONG: "bigint", ColumnType.DOUBLE: "double"}
_ALSO_NUMBERS: Final = {ColumnType.TIMESTAMP: ColumnType.LONG}  # microseconds on their way
_MADE_LATER: Final = frozenset({t.RECEIVED_ON, t.READMITTED_AT})  # no message has them


class Span(NamedTuple):
    """What lies between two offsets of a partition."""

    first: int
    end: int
    refused: bool = False  # whether there is something in it that is no event


@dataclass(frozen=True)
class Messages:
    """What the messages of a topic are."""

    table: Table
    name: str  # the column that tells a message sent twice
    read: Read


EVENTS: Final = Messages(Table.EVENTS, t.EVENT_ID, log_rows)
REJECTED: Final = Messages(Table.QUARANTINE, t.REJECTED_ID, rejected_rows)
MESSAGES: Final = {Table.EVENTS: EVENTS, Table.QUARANTINE: REJECTED}


def kafka_options(brokers: str, settings: KafkaLog, password: str, home: Path) -> dict[str, str]:
    """How Java's client reaches the brokers; certificates travel as text, for executors have no
    files of ours."""
    options = {
        "bootstrap.servers": brokers,
        "security.protocol": settings.security.upper(),
        "isolation.level": "read_committed",
    }
    if settings.security.startswith("sasl"):
        options |= {
            "sasl.mechanism": settings.mechanism,
            "sasl.jaas.config": _sign_in(settings, password),
        }
    if settings.security.endswith("ssl"):
        options |= _certificates(settings, home)
    return {f"kafka.{name}": value for name, value in options.items()}


def _sign_in(settings: KafkaLog, password: str) -> str:
    kind = "plain.PlainLoginModule"
    if settings.mechanism != "PLAIN":
        kind = "scram.ScramLoginModule"
    user, secret = (_quoted(text) for text in (settings.username, password))
    return f"org.apache.kafka.common.security.{kind} required username={user} password={secret};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _certificates(settings: KafkaLog, home: Path) -> dict[str, str]:
    options = {}
    if settings.ca_file:
        options["ssl.truststore.type"] = "PEM"
        options["ssl.truststore.certificates"] = (home / settings.ca_file).read_text()
    if settings.certificate_file:
        options["ssl.keystore.type"] = "PEM"
        options["ssl.keystore.certificate.chain"] = (home / settings.certificate_file).read_text()
        options["ssl.keystore.key"] = (home / settings.key_file).read_text()
        if settings.key_password:
            options["ssl.key.password"] = settings.key_password
    return options


class Topic:
    """One topic, its messages as rows."""

    def __init__(
        self,
        spark: SparkSession,
        name: str,
        messages: Messages,
        options: Mapping[str, str],
        window: int,
    ) -> None:
        """`window` is how many messages of a partition a repeated id is noticed within."""
        self._spark = spark
        self._options = dict(options) | {"failOnDataLoss": "false"}  # what retention took is gone
        self.name = name
        self.messages = messages
        self.window = window

    def stream(self, since: Mapping[int, int], most_messages: int) -> DataFrame:
        """New messages, as rows; from the offsets `since` where no checkpoint says otherwise."""
        reader = self._spark.readStream.format("kafka").options(**self._options)
        return self._rows(
            reader.option("subscribe", self.name)
            .option("startingOffsets", self._places(since))
            .option("maxOffsetsPerTrigger", str(most_messages))
            .load()
        )

    def between(self, spans: Mapping[str, Span]) -> DataFrame:
        """The messages of these spans, as rows; what retention has removed is not among them."""
        reader = self._spark.read.format("kafka").options(**self._options)
        frame = (
            reader.option("assign", json.dumps({self.name: [int(each) for each in spans]}))
            .option("startingOffsets", self._places({int(p): s.first for p, s in spans.items()}))
            .option("endingOffsets", self._places({int(p): s.end for p, s in spans.items()}))
            .load()
        )
        return self._rows(frame)

    def once(self, rows: DataFrame, since: Position) -> DataFrame:
        """The readable messages from `since` on, each once; what lies before is only compared."""
        named = rows.filter(sf.col(self.messages.name).isNotNull())
        order = Window.partitionBy(t.PARTITION, self.messages.name).orderBy(t.OFFSET)
        before = sf.lag(t.OFFSET).over(order)
        repeated = sf.coalesce(before >= sf.col(t.OFFSET) - self.window, sf.lit(False))
        fresh = named.withColumn(_TOPIC_ERROR, repeated).filter(
            ~sf.col(_TOPIC_ERROR) & (sf.col(t.OFFSET) >= _by_partition(since))
        )
        return _as_table(fresh.drop(_TOPIC_ERROR), self.messages.table)

    def refused(self, rows: DataFrame, since: Position) -> Iterator[Rejected]:
        """The messages from `since` on that are no events, told apart by where they lie."""
        found = rows.filter(
            sf.col(_TOPIC_ERROR).isNotNull() & (sf.col(t.OFFSET) >= _by_partition(since))
        ).select(t.PARTITION, t.OFFSET, _TOPIC_ERROR, _CONTENT_TEXT)
        for row in found.toLocalIterator():
            where = f"{self.name}/{row[t.PARTITION]}/{row[t.OFFSET]}"
            reason = f"The message is no event: {row[_TOPIC_ERROR]}."
            record = row[_CONTENT_TEXT]
            yield Rejected(where, where, record, "unreadable", reason, datetime.now(UTC))

    def _rows(self, frame: DataFrame) -> DataFrame:
        schema = table_schema(self.messages.table)
        wanted = [c for c in schema.columns if c.name not in _MADE_LATER]
        kinds = {c.name: _ALSO_NUMBERS.get(c.type, c.type) for c in wanted}
        arrow = pa.schema(
            [
                *((name, _WIDTHS.get(kind, pa.string())) for name, kind in kinds.items()),
                (_TOPIC_ERROR, pa.string()),
                (_CONTENT_TEXT, pa.string()),
            ]
        )
        columns = [f"`{name}` {_SQL.get(kind, 'string')}" for name, kind in kinds.items()]
        columns += [f"{_TOPIC_ERROR} string", f"{_CONTENT_TEXT} string"]
        places = frame.select(t.PARTITION, t.OFFSET, _CONTENT)
        return places.mapInArrow(_Reader(self.messages.read, arrow), ", ".join(columns))

    def _places(self, offsets: Mapping[int, int]) -> str:
        return json.dumps({self.name: {f"{number}": at for number, at in offsets.items()}})


@dataclass(frozen=True)
class _Reader:
    """Runs on the executors: messages in, rows out."""

    read: Read
    schema: pa.Schema

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            numbers, offsets, contents = (batch.column(n).to_pylist() for n in range(3))
            rows = self._rows([f"{number}" for number in numbers], offsets, contents)
            columns = zip(*rows, strict=True) if rows else ([] for _ in self.schema)
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(values, field.type)
                    for values, field in zip(columns, self.schema, strict=True)
                ],
                schema=self.schema,
            )

    def _rows(
        self, partitions: Sequence[str], offsets: Sequence[int], contents: Sequence[bytes]
    ) -> list[tuple[Any, ...]]:
        try:
            found = self.read(partitions, offsets, contents)
        except (*UNREADABLE, TypeError):  # one of them at least
            return [self._row(*one) for one in zip(partitions, offsets, contents, strict=True)]
        return [(*row, None, None) for row in found]

    def _row(self, partition: str, offset: int, content: bytes | None) -> tuple[Any, ...]:
        """A tombstone says nothing: only its place is known."""
        nothing = (partition, offset, *[None] * (len(self.schema) - 4))
        if content is None:
            return (*nothing, None, None)
        try:
            (row,) = self.read([partition], [offset], [content])
        except UNREADABLE as error:
            text = content.decode("utf-8", errors="backslashreplace")
            return (*nothing, f"{error}", text.replace("\0", "\\x00"))
        return (*row, None, None)


def spans_of(rows: DataFrame) -> dict[str, Span]:
    """By partition, from which message to which these reach."""
    offset, refused = sf.col(t.OFFSET), sf.col(_TOPIC_ERROR).isNotNull()
    found = rows.groupBy(t.PARTITION).agg(
        *(
            what.alias(name)
            for name, what in zip(
                Span._fields, (sf.min(offset), sf.max(offset) + 1, sf.bool_or(refused)), strict=True
            )
        )
    )
    return {
        row[t.PARTITION]: Span(*(row[name] for name in Span._fields)) for row in found.collect()
    }


def within(rows: DataFrame, spans: Mapping[str, Span]) -> DataFrame:
    """What lies in these spans."""
    inside = sf.lit(False)
    for partition, span in spans.items():
        at = sf.col(t.OFFSET)
        inside |= (sf.col(t.PARTITION) == partition) & (at >= span.first) & (at < span.end)
    return rows.filter(inside)


def _by_partition(position: Position) -> Column:
    """The offset where the row's partition begins; beyond everything where there is none."""
    at = sf.lit(1 << 62)
    for partition, offset in position.items():
        at = sf.when(sf.col(t.PARTITION) == partition, sf.lit(offset)).otherwise(at)
    return at


def _as_table(rows: DataFrame, table: Table) -> DataFrame:
    """With the table's columns and types."""
    schema = table_schema(table)
    made: dict[str, Column] = {
        t.RECEIVED_ON: sf.date_from_unix_date(sf.floor(sf.col(t.RECEIVED_AT) / _DAY).cast("int"))
        if t.RECEIVED_AT in rows.columns
        else sf.lit(None),
        t.READMITTED_AT: sf.lit(None).cast("timestamp"),
    }
    return rows.select(
        *(
            made[c.name].alias(c.name)
            if c.name in _MADE_LATER
            else sf.timestamp_micros(c.name).alias(c.name)
            if c.type is ColumnType.TIMESTAMP
            else sf.col(c.name)
            for c in schema.columns
        )
    )

"""Structured Streaming: the log's topics into bronze exactly once, and what follows from them.

A checkpoint says where a stream goes on after a restart; where the table stands is said by the
table itself, in the transaction that holds the rows. So a batch that is done again adds nothing, a
checkpoint may be old, lost or ahead, and the lake writer of another engine may take turns.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from functools import cached_property
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import functions as sf

from nextup.adapters.engine.spark_blocks import SparkBlocks
from nextup.adapters.engine.spark_core import for_hadoop
from nextup.adapters.engine.spark_stream_kafka import (
    EVENTS,
    MESSAGES,
    Span,
    spans_of,
    within,
)
from nextup.domain import tables as t
from nextup.domain.errors import BackendUnavailable, ConfigurationError, Conflict, NextupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

    from nextup.adapters.engine.spark_stream_kafka import Topic
    from nextup.adapters.engine.spark_stream_topics import LogTopics
    from nextup.domain.events import Position, Rejected
    from nextup.domain.tables import Table
    from nextup.ports.engine import Engine

    Start = Callable[[Callable[[DataFrame, int], None]], StreamingQuery]

log = logging.getLogger(__name__)

ATTEMPTS: Final = 20  # to get in between another writer's transactions
REFUSED_AT_ONCE: Final = 1_000
PATIENCE_SECONDS: Final = 60.0  # for a batch under way, before its stream is ended
LOOK_SECONDS: Final = 1


class SparkStream:
    """A query that goes on by itself. Safe to share between threads."""

    def __init__(self, start: Start | None) -> None:
        """`start` is given what to do with each batch; without it there is nothing to do."""
        self._failure: NextupError | None = None
        self._at_work = threading.Lock()
        self._closing = False
        self._start = start
        self._rows = 0
        self._work: Callable[[DataFrame], int] = lambda rows: 0
        self._query: StreamingQuery | None = None

    def begin(self, work: Callable[[DataFrame], int]) -> SparkStream:
        """Do this with each batch; it returns how many rows counted."""
        assert self._start is not None
        self._work = work
        self._query = self._start(self._batch)
        return self

    @property
    def rows(self) -> int:
        """How many counted so far."""
        return self._rows

    def check(self) -> bool:
        """Whether it is still at work. Raises what has ended it."""
        if self._query is None:
            return False
        error = None
        try:
            active = bool(self._query.isActive)
            error = None if active else self._query.exception()
        except (PySparkException, Py4JError, OSError) as lost:
            raise BackendUnavailable(f"Spark is gone: {_said(lost)}.") from lost
        if error is None or self._closing:
            return active
        if self._failure is not None:
            raise self._failure
        raise BackendUnavailable(
            f"Spark's stream ended: {_said(error)}.", cure="It goes on from its checkpoint."
        ) from error

    def wait(self, stop: threading.Event | None = None) -> int:
        """Until all that there is was done, or `stop` is set; returns how many rows counted."""
        while self.check() and not (stop is not None and stop.is_set()):
            with suppress(PySparkException, Py4JError):  # `check` says what it was
                self._query.awaitTermination(LOOK_SECONDS)  # type: ignore[union-attr]
        return self._rows

    def close(self) -> None:
        """End between two batches; one that takes very long is done again later."""
        query = self._query
        if self._closing or query is None:
            return
        self._closing = True
        waited = self._at_work.acquire(timeout=PATIENCE_SECONDS)
        try:
            with suppress(PySparkException, Py4JError, OSError):
                query.stop()
        finally:
            if waited:
                self._at_work.release()

    def _batch(self, rows: DataFrame, number: int) -> None:
        if not self._at_work.acquire(blocking=False):  # Spark waits for this, and `close` for Spark
            raise BackendUnavailable("The stream is being ended.")
        try:
            self._rows += self._work(rows)
        except NextupError as error:
            self._failure = error
            raise
        finally:
            self._at_work.release()


class SparkStreams(SparkBlocks):
    """The part of the Spark engine that follows topics: SupportsStreams."""

    def stream_to_lake(
        self,
        table: Table,
        *,
        source: str,
        reject: Callable[[Sequence[Rejected]], object],
        every_seconds: float | None,
    ) -> SparkStream:
        """As in the port. A batch has as many messages as the lake writer's, at most."""
        topic = self._topics.of(self._session, MESSAGES[table])
        stands = self.position(table, source)
        if every_seconds is None and self._topics.is_read(topic, stands):
            return SparkStream(None)
        writer = _LakeWriter(self, topic, source, reject)
        name = f"lake-{table.value}"
        return self._follow(topic, name, writer.write, every_seconds, stands)

    def stream_people(
        self,
        name: str,
        work: Callable[[Iterator[Mapping[str, Any]]], Mapping[str, int]],
        *,
        before: Callable[[], object],
        every_seconds: float | None,
    ) -> SparkStream:
        """As in the port."""
        topic = self._topics.of(self._session, EVENTS)

        def batch(rows: DataFrame) -> int:
            people = rows.select(t.USER_ID).filter(sf.col(t.USER_ID).isNotNull()).distinct()
            before()
            counted = self.sum_blocks(nw.from_native(people), t.USER_ID, work)
            return int(sum(counted.values()))

        return self._follow(topic, name, batch, every_seconds, {})

    # ---- inside

    def _follow(
        self,
        topic: Topic,
        name: str,
        work: Callable[[DataFrame], int],
        every_seconds: float | None,
        since: Position,
    ) -> SparkStream:
        most = self._settings.lake.batch_rows
        places = self._topics.places(topic, since)
        checkpoint = f"{self._checkpoints()}/{topic.name}/{name}"

        def start(batch: Callable[[DataFrame, int], None]) -> StreamingQuery:
            writer = (
                topic.stream(places, most)
                .writeStream.queryName(f"{topic.name} {name}")
                .option("checkpointLocation", checkpoint)
                .foreachBatch(batch)
            )
            if every_seconds is None:
                return writer.trigger(availableNow=True).start()
            return writer.trigger(processingTime=f"{every_seconds * 1000:.0f} milliseconds").start()

        with self._explained():
            return SparkStream(start).begin(work)

    @cached_property
    def _topics(self) -> LogTopics:
        """Imported now: who keeps the log elsewhere has no driver of Kafka."""
        if self._shared.is_remote:
            raise ConfigurationError(
                "Spark Connect runs no streams of this process.",
                cure="Set engine_url to the master itself, such as spark://host:7077.",
            )
        if not self._settings.event_log_url.startswith("kafka://"):
            raise ConfigurationError(
                "Spark follows an event log on Kafka only.",
                cure="Set event_log_url to kafka://host:9092/events, or engine_url to local://.",
            )
        found = import_module("nextup.adapters.engine.spark_stream_topics")
        topics: LogTopics = found.LogTopics(self._settings)
        return topics

    def _checkpoints(self) -> str:
        settings = self._settings
        place = settings.stream.checkpoints or f"{settings.lake_url.rstrip('/')}/_checkpoints"
        if place.startswith("file://") or "://" not in place:
            folder = (settings.home / place.removeprefix("file://")).absolute()
            return folder.as_uri()
        return for_hadoop(place)


class _LakeWriter:
    """One batch into one table, in one transaction with the position."""

    def __init__(
        self,
        engine: Engine,
        topic: Topic,
        source: str,
        reject: Callable[[Sequence[Rejected]], object],
    ) -> None:
        self._engine = engine
        self._topic = topic
        self._source = source
        self._reject = reject

    def write(self, batch: DataFrame) -> int:
        """Returns how many rows were added: none where all were there."""
        batch.persist()  # read from the brokers once
        try:
            spans = spans_of(batch)
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return self._write(batch, spans)
                except Conflict:  # another writer has moved on, and this one goes on from there
                    if attempt == ATTEMPTS:
                        raise
            raise AssertionError("unreachable")
        finally:
            batch.unpersist()

    def _write(self, batch: DataFrame, spans: Mapping[str, Span]) -> int:
        table = self._topic.messages.table
        stored = self._engine.position(table, self._source)
        start = {p: stored.get(p, 0) for p, span in spans.items() if span.end > stored.get(p, 0)}
        if not start:
            return 0
        mine = {p: spans[p] for p in start}
        rows = self._with_what_lies_before(batch, mine, start)
        if any(span.refused or span.first > start[p] for p, span in mine.items()):
            refused = self._topic.refused(rows, start)
            while some := list(islice(refused, REFUSED_AT_ONCE)):
                self._reject(some)
        return self._engine.append(
            table,
            nw.from_native(self._topic.once(rows, start)),
            source=self._source,
            position={p: spans[p].end for p in start},
            after=start,
        )

    def _with_what_lies_before(
        self, batch: DataFrame, spans: Mapping[str, Span], start: Position
    ) -> DataFrame:
        """The batch, what is missing between it and where the table stands, and as many messages
        before that as ids are compared with."""
        rows = within(batch, spans)
        wanted = {p: max(0, at - self._topic.window) for p, at in start.items()}
        missing = {
            p: Span(wanted[p], span.first) for p, span in spans.items() if wanted[p] < span.first
        }
        if any(span.end > start[p] for p, span in missing.items()):
            log.warning("A checkpoint of %s is ahead of its table; going back.", self._topic.name)
        return rows.unionByName(self._topic.between(missing)) if missing else rows


def _said(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0].strip().rstrip(".")

"""Where transformations run: the engine brings the frames, `transforms` says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from nextup.domain.events import Position, Rejected
from nextup.domain.tables import Table
from nextup.ports.lake import AsOf

if TYPE_CHECKING:
    import threading

    import narwhals as nw
    import numpy as np

    Block = Mapping[str, np.ndarray[Any, Any]]
    """Rows as columns in memory, as `Engine.arrays` gives them."""
    Blocks = Iterator[Block]
    """One after the other."""
    Column = Sequence[Any] | np.ndarray[Any, Any]
    Frames = nw.LazyFrame[Any] | Sequence[nw.LazyFrame[Any]]
    """One frame, or several whose rows follow each other."""


class Coded(NamedTuple):
    """Columns in memory, some of whose values are row numbers in a list of distinct values."""

    arrays: dict[str, np.ndarray[Any, Any]]  # a coded column is int32
    values: dict[str, np.ndarray[Any, Any]]  # of each coded column, ascending


class Engine(Protocol):
    """Reads and writes the lake's tables as lazy frames in one dialect, Narwhals."""

    name: str

    def scan(self, table: Table, as_of: AsOf = None) -> nw.LazyFrame[Any]: ...

    def position(self, table: Table, source: str) -> Position:
        """How far `source` has been written into the table; START if never."""
        ...

    def held(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """The same rows, computed now and once, for several uses; they must fit in memory."""
        ...

    def rows(self, table: Table, rows: Sequence[Sequence[Any]]) -> nw.LazyFrame[Any]:
        """A frame with the table's columns and types from plain rows; integers stand for
        times, in microseconds since the epoch."""
        ...

    def frame(self, columns: Mapping[str, Column]) -> nw.LazyFrame[Any]:
        """A small frame of plain columns that belong to no table; types are inferred."""
        ...

    def slices(self, table: Table, by: str, as_of: AsOf = None) -> Sequence[nw.LazyFrame[Any]]:
        """The table in disjoint parts, by ascending ranges of the text column `by`, each small
        enough to group or sort in memory; all rows of one value are in the same part. One part
        for an engine that spills to disk by itself."""
        ...

    def append(
        self,
        table: Table,
        frame: Frames,
        *,
        source: str,
        position: Position,
        after: Position | None = None,
    ) -> int:
        """Add rows and remember the source's position, in one transaction; returns how many: 0
        where the position was reached before. `after` as in `Lake.append`."""
        ...

    def replace(
        self,
        table: Table,
        frame: Frames,
        *,
        source: str = "",
        position: Position | None = None,
    ) -> int:
        """Put these rows in the place of all others, in one transaction; returns how many."""
        ...

    def arrays(self, frame: nw.LazyFrame[Any]) -> dict[str, np.ndarray[Any, Any]]:
        """The frame's columns in memory; times as int64 microseconds, days as int64 days since
        the epoch, text as objects, a null number as NaN."""
        ...

    def coded(self, frame: nw.LazyFrame[Any], *columns: str) -> Coded:
        """Like `arrays`, with the named text columns as numbers: a fraction of the memory."""
        ...

    def close(self) -> None: ...


class Kept(NamedTuple):
    """Where an engine keeps a model in its own form, beside giving it back."""

    place: str  # a folder, as an URL
    people: np.ndarray[Any, Any] | None = None  # int32, what each user is called there; None: as
    # they are numbered


class Factorization(NamedTuple):
    """What `SupportsFactorization` solves: touch t is (users[t], items[t]) and has values[t]."""

    users: np.ndarray[Any, Any]  # (nnz,) int32
    items: np.ndarray[Any, Any]  # (nnz,) int32
    values: np.ndarray[Any, Any]  # (nnz,) float32
    factors: int
    iterations: int
    regularization: float  # L2 weight per touch of a row
    alpha: float | None  # what a value of 1 adds to a touch's confidence of 1; None: explicit
    kept: Kept | None = None  # None: nowhere


@runtime_checkable
class SupportsFactorization(Protocol):
    """Trains factor models by itself, on as many machines as it has."""

    def factorize(
        self, problem: Factorization, seed: int
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Alternating least squares; the items that were touched, (n,), and their vectors,
        (n, factors) float32. The same problem and seed give the same but for rounding."""
        ...


@runtime_checkable
class SupportsBlocks(Protocol):
    """Runs Python where the rows are, on blocks that fit in memory.

    `work` gets the blocks of one part of the rows, one after the other: all rows with one value
    of the text column `by` are in one block, and its values ascend. It is sent to other
    processes, and a part that failed is done again from its beginning, maybe beside the first
    attempt: what it does outside must bear to be done twice.
    """

    def map_blocks(
        self,
        frame: nw.LazyFrame[Any],
        by: str,
        work: Callable[[Blocks], Iterable[Mapping[str, Column]]],
        table: Table,
    ) -> nw.LazyFrame[Any]:
        """A frame with the table's columns of what `work` gives; it runs each time it is read."""
        ...

    def sum_blocks(
        self,
        frame: nw.LazyFrame[Any],
        by: str,
        work: Callable[[Blocks], Mapping[str, int]],
    ) -> dict[str, int]:
        """Run `work` once for each part, now, and add up what it counted. Raises what it raised,
        translated, where a part fails again and again."""
        ...


class Stream(Protocol):
    """Work that goes on by itself. Safe to share between threads."""

    rows: int  # that counted so far

    def check(self) -> bool:
        """Whether it is still at work. Raises what has ended it."""
        ...

    def wait(self, stop: threading.Event | None = None) -> int:
        """Until all is done that was there when it began, or `stop` is set; returns how many rows
        counted. Raises what has ended it."""
        ...

    def close(self) -> None:
        """End it between two batches. Closing twice does nothing."""
        ...


@runtime_checkable
class SupportsStreams(Protocol):
    """Follows the topics of a log by itself, on as many machines as it has.

    With `every_seconds` a stream begins a batch so often, until it is closed; with None it ends
    when all that there was is done. Raises ConfigurationError where the log has no topics.
    """

    def stream_to_lake(
        self,
        table: Table,
        *,
        source: str,
        reject: Callable[[Sequence[Rejected]], object],
        every_seconds: float | None,
    ) -> Stream:
        """Bring the log's events, or its rejected records, into their table of bronze, each
        exactly once, from where the table stands. `reject` keeps what is no event; it may be told
        of the same record twice."""
        ...

    def stream_people(
        self,
        name: str,
        work: Callable[[Iterator[Block]], Mapping[str, int]],
        *,
        before: Callable[[], object],
        every_seconds: float | None,
    ) -> Stream:
        """For each batch of events: `before` here, then `work` where the engine works, on blocks
        of the people in them, as in `SupportsBlocks.sum_blocks`. From the log's beginning where
        this name never did anything; a batch that failed is done again."""
        ...


@runtime_checkable
class ReadsDatabases(Protocol):
    """Reads another program's SQL database over several connections at once."""

    def read_query(self, url: str, query: str, *, split_by: str, parts: int) -> nw.LazyFrame[Any]:
        """The query's rows, read in as many ranges of its whole-number column `split_by`. Raises
        BackendUnavailable, or InvalidInput for a query that the database refuses."""
        ...

    def divided(self, frame: nw.LazyFrame[Any], by: str, parts: int) -> Iterator[Block]:
        """The rows in so many parts, one after the other in memory: by the text column `by`, so
        that equal rows are divided in the same way each time. The frame is computed once."""
        ...


class Cell(StrEnum):
    """What a column of a CSV file holds."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    SECONDS = "seconds"  # since the epoch; read as a moment


@runtime_checkable
class ReadsCsv(Protocol):
    """Reads files of other programs where they lie."""

    def read_csv(
        self, urls: Sequence[str], columns: Mapping[str, Cell], *, line: str, row: str
    ) -> nw.LazyFrame[Any]:
        """The rows below the headers of CSV files. A cell that is missing or is no such thing is
        null. Two columns more: `line` ascends with the rows, with gaps, and `row` is the row as
        text."""
        ...


@runtime_checkable
class ReadsCounts(Protocol):
    """Reads files that say how often something was done, where they lie."""

    def read_counts(
        self, place: str, *, form: str, keys: Sequence[str], counted: Sequence[str]
    ) -> nw.LazyFrame[Any]:
        """The CSV or Parquet files in all folders of the folder `place`, an URL; one row for each
        unit of the counted columns.

        Its columns are `keys` as text, FOLDER (the name of the file's folder), COUNTED (which of
        the columns) and NUMBER (from 1). A row of a file that does not fit (an empty key, a count
        that is none or beyond MOST) is one row with a null in COUNTED.
        """
        ...

    def fingerprint(self, frame: nw.LazyFrame[Any]) -> int:
        """Equal for equal rows, in whatever order."""
        ...


FOLDER, COUNTED, NUMBER = "folder", "counted", "number"  # columns of `read_counts`
MOST = 100_000  # of one thing in one row: more is a mistake, not a habit

"""goodbooks-10k: ten thousand books, their ratings, and what people put on their to-read shelves.

Both editions are read. The first has 981,756 ratings, of which 2,278 repeat a person and a book:
they stay events, and the last one counts. The later one has six million and other column names.

The data set has no times. Each event gets one that is made up, always the same: a hash of person
and book spreads them evenly over the year 2016, so that a split by time is a fair sample and not
"the last books of the file"; among repeated pairs the later row gets the later time.

A to-read mark becomes a `view`: the person looked at the book and was interested; a verdict, such
as a `like`, can only follow the reading.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from nextup.domain.events import EventType, to_microseconds
from nextup.domain.items import Item
from nextup.domain.tables import ITEM_ID, TYPE, USER_ID
from nextup.services.contract_frames import TIME_TEXT, VALUE_TEXT
from nextup.services.importers.delimited import Dialect, one_column, read_delimited
from nextup.services.importers.loading import Loading, nothing_to_tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextup.services.importers.loading import (
        Destination,
        Origin,
        Progress,
    )
    from nextup.services.importers.report import IngestReport
    from nextup.services.importers.sources import Source

DATASET: Final = "goodbooks"
KIND: Final = "book"

_SPREAD_FROM = datetime(2016, 1, 1, tzinfo=UTC)
_SPREAD_SECONDS = 366 * 86_400  # 2016 was a leap year
_SALTS = {EventType.RATING: np.uint64(1), EventType.VIEW: np.uint64(2)}
_NOTES = (
    "The data set has no times: each event has a made-up one in 2016, from a hash of person and "
    "book; a later row of the same pair is later by microseconds.",
    "A to-read mark is a view: interest, not yet a verdict.",
)


def ingest(
    source: Source,
    into: Destination,
    *,
    origin: Origin | None = None,
    keep_files: bool = False,
    progress: Progress = nothing_to_tell,
) -> IngestReport:
    """Books into the catalogue; ratings and to-read marks into the log.

    Running it again adds nothing. An archive without `to_read.csv` is taken as it is.
    """
    loading = Loading(
        into,
        source,
        dataset=DATASET,
        folder=f"bronze/{DATASET}",
        item_kind=KIND,
        origin=origin,
        keep_files=keep_files,
        progress=progress,
    )
    books, ratings = source.need("books.csv"), source.need("ratings.csv")
    to_read = source.find("to_read.csv")
    book_facts = loading.survey(books)
    tables = [(ratings, rating_events)] + ([(to_read, to_read_events)] if to_read else [])
    facts = [loading.survey(name, events=True) for name, _ in tables]
    loading.report.notes.extend(_NOTES)
    loading.begin()
    with source.open(books) as stream:
        rows = read_delimited(stream, Dialect(), books)
        loading.items(book_facts, rows, book)
    for (name, shape), fact in zip(tables, facts, strict=True):
        with source.open(name) as stream:
            loading.events(fact, read_delimited(stream, Dialect(), name), shape)
    return loading.finish()


def rating_events(columns: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    """A chunk of `ratings.csv` as raw events."""
    return _events(columns, numbers, EventType.RATING, one_column(columns, "rating"))


def to_read_events(columns: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    """A chunk of `to_read.csv` as raw events."""
    return _events(columns, numbers, EventType.VIEW, None)


def _events(
    columns: pl.DataFrame, numbers: pl.Series, kind: EventType, values: pl.Series | None
) -> pl.DataFrame:
    users, books = one_column(columns, "user_id"), one_column(columns, "book_id")
    return pl.DataFrame(
        {USER_ID: users, ITEM_ID: books, TIME_TEXT: made_up_times(users, books, numbers, kind)}
    ).with_columns(
        pl.lit(kind.value).alias(TYPE),
        pl.lit(values if values is not None else None, pl.String).alias(VALUE_TEXT),
    )


def made_up_times(
    users: pl.Series, books: pl.Series, numbers: pl.Series, kind: EventType
) -> pl.Series:
    """Microseconds since the epoch, as text: the same for the same rows, today and in ten years.

    A pair has one second of 2016, however often it occurs; the row number follows it.
    """
    user = users.cast(pl.Int64, strict=False).fill_null(0).to_numpy().astype(np.uint64)
    book = books.cast(pl.Int64, strict=False).fill_null(0).to_numpy().astype(np.uint64)
    mixed = _scramble(_scramble(_scramble(user) ^ book) ^ _SALTS[kind])
    seconds = (mixed % np.uint64(_SPREAD_SECONDS)).astype(np.int64)
    start = to_microseconds(_SPREAD_FROM)
    return pl.Series(start + seconds * 1_000_000 + numbers.to_numpy()).cast(pl.String)


def _scramble(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread integers evenly over 64 bits; the finishing steps of the SplitMix64 generator."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def book(cells: Mapping[str, str]) -> Item:
    """A row of `books.csv` of either edition. Ratings name a book by its place, 1 to 10,000."""
    first = "id" in cells  # the first edition calls that `id`, and Goodreads' id `book_id`
    item_id = cells["id"] if first else cells.get("book_id", "")
    goodreads = cells.get("book_id" if first else "goodreads_book_id")
    return Item(
        item_id,
        KIND,
        cells.get("title") or cells.get("original_title") or "",
        _year(cells.get("original_publication_year", "")),
        makers=tuple(one.strip() for one in cells.get("authors", "").split(",") if one.strip()),
        attributes=_attributes(cells, goodreads),
    )


def _attributes(cells: Mapping[str, str], goodreads: str | None) -> dict[str, Any]:
    isbn = cells.get("isbn", "")
    found = {
        "goodreads_id": goodreads,
        "isbn": isbn.zfill(10) if isbn else None,  # spreadsheets ate its leading zeros
        "language": cells.get("language_code"),
        "original_title": cells.get("original_title"),
        "image_url": cells.get("image_url"),
    }
    return {name: value for name, value in found.items() if value}


def _year(text: str) -> int | None:
    """The year, negative before the common era; the file writes it as "2008.0"."""
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return None

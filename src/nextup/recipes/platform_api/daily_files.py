"""The daily files, row by row: films, ratings and events, and what is none of them.

A `.csv` with a column of titles holds films, one with a column of ratings holds ratings, in our
words or in MovieLens's; a `.jsonl` holds events as the API takes them, each with the client whose
people it names, where that is not the usual one. A row that cannot be read costs no other row.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from nextup.domain.events import EventType
from nextup.domain.items import Item
from nextup.domain.tables import EVENT_ID, ITEM_ID, OCCURRED_AT, TYPE, USER_ID, VALUE
from nextup.services.contracts import parse_record, record_text
from nextup.services.event_schemas import Broken
from nextup.services.importers.films import KIND, NO_GENRES, split_title

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

CLIENT: Final = "client_id"
LONGEST_ID: Final = 500  # characters, as in the event schemas
OURS: Final = {
    "movieId": "movie_id",
    "userId": "user_id",
    "clientId": CLIENT,
    "timestamp": "rated_at",
}
"""MovieLens's names of columns, and ours."""


class Film(NamedTuple):
    """A row that describes a film."""

    line: int
    row: object
    item: Item


class Act(NamedTuple):
    """A row in which somebody did something; whether that is an event, the contract says."""

    line: int
    row: object
    client_id: str
    record: dict[str, Any]


class Refused(NamedTuple):
    """A row that is nothing, with the rule that it breaks."""

    line: int
    row: object
    broken: Broken


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read."""

    client: str  # whose people a row names that does not say
    moment: datetime  # of what has no time of its own

    def rows(self, name: str, stream: BinaryIO) -> Iterator[Film | Act | Refused]:
        """Everything in the file of this name; lines count from 1."""
        if name.endswith(".jsonl"):
            yield from self._lines(stream)
        elif name.endswith(".csv"):
            yield from self._cells(stream)
        else:
            known = "Files are .csv or .jsonl."
            yield Refused(0, None, Broken("unknown_format", f"'{name}' cannot be read. {known}"))

    def _lines(self, stream: BinaryIO) -> Iterator[Act | Refused]:
        for number, line in enumerate(stream, start=1):
            text = line.rstrip(b"\r\n")
            if not text.strip():
                continue
            parsed = parse_record(text)
            if isinstance(parsed, Broken):
                yield Refused(number, record_text(text), parsed)
            else:
                yield self._act(number, parsed, dict(parsed))

    def _act(self, line: int, row: object, record: dict[str, Any]) -> Act | Refused:
        client = record.pop(CLIENT, None) or self.client
        if not isinstance(client, str):
            return Refused(line, row, Broken("unknown_client", "client_id is no text."))
        record.setdefault(OCCURRED_AT, self.moment.isoformat())
        record.setdefault(EVENT_ID, _named(client, record))
        return Act(line, row, client, record)

    def _cells(self, stream: BinaryIO) -> Iterator[Film | Act | Refused]:
        # a byte that is no UTF-8 spoils its own row only
        text = (line.decode("utf-8", "surrogateescape") for line in stream)
        reader = csv.reader(line.removeprefix("\ufeff") for line in text)
        try:
            header = [OURS.get(name.strip(), name.strip()) for name in next(reader, [])]
        except csv.Error as error:
            yield Refused(1, None, Broken("not_csv", f"The header cannot be read: {error}."))
            return
        shape = self._shape(header)
        if shape is None:
            said = ", ".join(header)[:200].encode("utf-8", "backslashreplace").decode()
            wanted = "movie_id and title, or user_id, movie_id and rating"
            yield Refused(1, said, Broken("unknown_columns", f"Wanted are {wanted}."))
            return
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                broken = Broken("not_csv", f"The line cannot be read: {error}.")
                yield Refused(reader.line_num, None, broken)
                continue
            if cells is None:
                return
            if cells:
                yield self._row(shape, reader.line_num, header, cells)

    def _shape(self, header: list[str]) -> Any:
        if "movie_id" in header and "title" in header:
            return _film
        return self._rating if {"user_id", "movie_id", "rating"} <= {*header} else None

    def _row(self, shape: Any, line: int, header: list[str], cells: list[str]) -> Any:
        if len(cells) != len(header):
            said = f"The row has {len(cells)} cells, the header {len(header)}."
            return Refused(line, _printable(cells), Broken("wrong_columns", said))
        if any("\udc80" <= letter <= "\udcff" for cell in cells for letter in cell):
            broken = Broken("bad_encoding", "The row is not UTF-8.")
            return Refused(line, _printable(cells), broken)
        row = dict(zip(header, cells, strict=True))
        return shape(line, row)

    def _rating(self, line: int, row: dict[str, str]) -> Act | Refused:
        at = _moment(row.get("rated_at", ""))
        record: dict[str, Any] = {
            TYPE: EventType.RATING.value,
            USER_ID: row["user_id"],
            ITEM_ID: row["movie_id"],
            VALUE: _number(row["rating"]),
        }
        if at:
            record[OCCURRED_AT] = at
        if row.get(EVENT_ID):
            record[EVENT_ID] = row[EVENT_ID]
        if row.get(CLIENT):
            record[CLIENT] = row[CLIENT]
        return self._act(line, row, record)


def _film(line: int, row: dict[str, str]) -> Film | Refused:
    title, year = split_title(row["title"])
    written = (row.get("year") or "").strip()
    if written.isdecimal():
        year = int(written)
    movie_id = row["movie_id"].strip()
    wrong = _wrong_film(movie_id, title, written, year)
    if wrong:
        return Refused(line, row, Broken("bad_film", wrong))
    names = (row.get("genres") or "").split("|")
    genres = tuple(name.strip() for name in names if name.strip() and name != NO_GENRES)
    return Film(line, row, Item(movie_id, KIND, title, year, genres))


def _wrong_film(movie_id: str, title: str, written: str, year: int | None) -> str:
    """What is wrong with it; nothing where it can be recommended."""
    if not movie_id or len(movie_id) > LONGEST_ID or not movie_id.isprintable():
        return "movie_id is empty, too long or not printable."
    if not title or not title.isprintable():
        return "title is empty or not printable."
    if (written and not written.isdecimal()) or not 0 < (year or 1) < 10_000:
        return f"year is no year: {written[:20]}."
    return ""


def _moment(text: str) -> str:
    """Seconds since the epoch, as MovieLens has them, or a time as it is; none: nothing."""
    text = text.strip()
    if not text.isdecimal():
        return text
    try:
        return datetime.fromtimestamp(int(text), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return text


def _number(text: str) -> float | str:
    """Text that is no number is left for the contract to refuse."""
    try:
        return float(text)
    except ValueError:
        return text


def _named(client: str, record: Mapping[str, Any]) -> str:
    """The same act has the same id in whatever file it comes, so that it counts once."""
    parts = [client, *(record.get(name) for name in (TYPE, USER_ID, ITEM_ID, VALUE, OCCURRED_AT))]
    return f"daily-{blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()}"


def _printable(cells: list[str]) -> list[str]:
    return [cell.encode("utf-8", "backslashreplace").decode() for cell in cells]

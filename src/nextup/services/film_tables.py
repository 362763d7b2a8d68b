"""MovieLens' files in bronze as tables: `silver.movies`, `silver.ratings`, `silver.tags`.

Rows that break a rule of their table's schema are left out and counted. The same row of a rating
or film file is refused by `nextup ingest`, which quarantines it; tags are read here alone, so that
bad ones are quarantined here.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
import polars as pl

from nextup.domain import tables as t
from nextup.domain.tables import COLUMNS, Table
from nextup.schemas.table_schemas import table_schema
from nextup.services.contract_frames import TIME_TEXT, VALUE_TEXT, with_values
from nextup.services.event_schemas import Broken
from nextup.services.importers.delimited import Dialect, one_column, read_delimited
from nextup.services.importers.films import TagCounts, film_shape, read_links
from nextup.transforms import quality

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nextup.domain.events import Rejected
    from nextup.ports.event_log import EventLog
    from nextup.ports.files import Files
    from nextup.ports.lake import Lake
    from nextup.services.contracts import EventContract
    from nextup.services.importers.rows import Rows
    from nextup.services.importers.sources import StoredSource
    from nextup.services.manifests import Manifest

MADE: Final = "_silver.json"  # beside the manifest: from which files the tables were made
TABLES: Final = (Table.MOVIES, Table.RATINGS, Table.TAGS)
ROWS_AT_ONCE: Final = 2_000_000  # of a table that are sorted in memory
_ROW: Final = "row"
_LINE: Final = "line"
_RULE: Final = "rule"
_UNKNOWN: Final = f"{t.ITEM_ID}.references"
_MOMENT: Final = pl.Datetime("us", "UTC")


def make_film_tables(
    source: StoredSource,
    manifest: Manifest,
    *,
    files: Files,
    lake: Lake,
    event_log: EventLog,
    contract: EventContract,
) -> dict[str, int]:
    """Replace the three tables, each in one transaction; returns their rows and what was left out.

    Does nothing where they were made from these very files.
    """
    told = {one.name: one.sha256 for one in manifest.files}
    rows = {one.name: one.rows for one in manifest.files}
    note = f"{source.path}/{MADE}"
    if _read_note(files, note) == told and all(lake.version(one) is not None for one in TABLES):
        return {"made": 0}
    movies, counts = _movies(source)
    lake.replace(Table.MOVIES, movies)
    with TemporaryDirectory(prefix="nextup-") as scratch:
        ratings = _Parts(Table.RATINGS, Path(scratch, "ratings"), movies, rows["ratings.csv"])
        for chunk in _rows(source, "ratings.csv"):
            counts["ratings_left_out"] += len(chunk.damaged) + ratings.add(_rating(chunk)).height
        counts["ratings"] = ratings.put_into(lake)
        tags = _Parts(Table.TAGS, Path(scratch, "tags"), movies, rows["tags.csv"])
        place = f"movielens-{told['tags.csv'][:8]}/tags.csv"
        for chunk in _rows(source, "tags.csv"):
            rejected = _rejected(contract, chunk, tags.add(_tag(chunk)), place)
            counts["tags_left_out"] += len(rejected)
            event_log.reject(rejected)
        counts["tags"] = tags.put_into(lake)
    with files.create(note) as stream:
        stream.write(json.dumps({"sha256": told, "rows": counts}, indent=2).encode() + b"\n")
    return {**counts, "made": 1}


class _Parts:
    """A table's good rows on disk, divided so that each part can be sorted in memory."""

    def __init__(self, table: Table, folder: Path, movies: pl.DataFrame, rows: int) -> None:
        self._schema = table_schema(table)
        self._folder = folder
        self._known = movies[t.ITEM_ID].implode()
        self._number = 1 + rows // ROWS_AT_ONCE
        self._chunks = 0
        for part in range(self._number):
            (folder / str(part)).mkdir(parents=True)

    def add(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Keep the rows that break no rule; returns the others, with the rule."""
        bad = quality.bad(nw.from_native(frame.lazy()), self._schema, _RULE).to_native().collect()
        rest = frame.join(bad.select(_ROW), on=_ROW, how="anti", maintain_order="left")
        known = rest[t.ITEM_ID].is_in(self._known)
        unknown = rest.filter(~known).with_columns(pl.lit(_UNKNOWN).alias(_RULE))
        good = rest.filter(known)
        part_of = good[t.USER_ID].hash() % self._number
        for part in range(self._number):
            file = self._folder / str(part) / f"{self._chunks:06d}.parquet"
            good.filter(part_of == part).write_parquet(file)
        self._chunks += 1
        left_out: pl.DataFrame = pl.concat([bad, unknown])
        return left_out

    def put_into(self, lake: Lake) -> int:
        """Of rows with one key the last counts. Returns how many there are now."""
        table, key = self._schema.table, list(self._schema.key)
        parts = [
            pl.scan_parquet(self._folder / str(part) / "*.parquet")
            .sort([*key, t.OCCURRED_AT, _ROW])
            .unique(subset=key, keep="last", maintain_order=True)
            .select(COLUMNS[table])
            for part in range(self._number)
        ]
        lake.replace(table, parts)
        return int(lake.scan(table).select(pl.len()).collect().item())


def _movies(source: StoredSource) -> tuple[pl.DataFrame, Counter[str]]:
    """The films, and how many rows there were beside them."""
    links = read_links(_rows(source, "links.csv"))
    shape = film_shape(TagCounts(), {})
    found: dict[str, tuple[Any, ...]] = {}
    read = 0
    for chunk in _rows(source, "movies.csv"):
        read += chunk.size
        for cells in chunk.columns.iter_rows(named=True):
            film = shape(cells)
            known = links.get(film.item_id, {})
            found[film.item_id] = (
                film.title,
                film.year,
                list(film.genres),
                known.get("imdb_id"),
                known.get("tmdb_id"),
            )
    types: list[Any] = [pl.String, pl.String, pl.Int32, pl.List(pl.String), pl.String, pl.Int64]
    frame = pl.DataFrame(
        [(item_id, *told) for item_id, told in found.items() if item_id],
        schema=dict(zip(COLUMNS[Table.MOVIES], types, strict=True)),
        orient="row",
    )
    fits = quality.good(nw.from_native(frame.lazy()), table_schema(Table.MOVIES))
    good: pl.DataFrame = fits.to_native().collect()
    return good, Counter({"movies": good.height, "movies_left_out": read - good.height})


def _rows(source: StoredSource, name: str) -> Iterator[Rows]:
    with source.open(name) as stream:
        yield from read_delimited(stream, Dialect(), name)


def _rating(chunk: Rows) -> pl.DataFrame:
    frame = _timed(chunk, one_column(chunk.columns, "rating"))
    return frame.rename({t.VALUE: t.RATING})


def _tag(chunk: Rows) -> pl.DataFrame:
    words = one_column(chunk.columns, "tag").str.strip_chars()
    filled = pl.select(pl.when(words != "").then(words).alias(t.TAG)).to_series()
    empty = pl.Series(VALUE_TEXT, [None] * len(words), pl.String)
    return _timed(chunk, empty).drop(t.VALUE).with_columns(filled)


def _timed(chunk: Rows, values: pl.Series) -> pl.DataFrame:
    """Person, film, value and time of each row, with its number and line."""
    columns = chunk.columns
    raw = pl.DataFrame(
        {
            t.USER_ID: one_column(columns, "userId"),
            t.ITEM_ID: one_column(columns, "movieId"),
            VALUE_TEXT: values,
            TIME_TEXT: one_column(columns, "timestamp"),
            _ROW: pl.Series(chunk.numbers, dtype=pl.Int64),
            _LINE: pl.Series(chunk.lines, dtype=pl.Int64),
        }
    )
    typed = with_values(raw, 0)
    ids = [
        pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)
        for name in (t.USER_ID, t.ITEM_ID)
    ]
    at = pl.col(t.OCCURRED_AT).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return typed.with_columns(*ids, at).drop(VALUE_TEXT, TIME_TEXT)


def _rejected(
    contract: EventContract, chunk: Rows, bad: pl.DataFrame, place: str
) -> Sequence[Rejected]:
    """What quarantine is told of tags: each row as it is in the file."""
    at_line = dict(zip(chunk.lines, chunk.columns.iter_rows(named=True), strict=True))
    found = [
        contract.reject(
            at_line[line], Broken(rule, f"{rule} does not hold for this tag."), f"{place}:{line}"
        )
        for line, rule in bad.select(_LINE, _RULE).iter_rows()
    ]
    damaged = [
        contract.reject(one.raw, Broken(one.rule, one.reason), f"{place}:{one.line}")
        for one in chunk.damaged
    ]
    return [*found, *damaged]


def _read_note(files: Files, name: str) -> Mapping[str, str]:
    """The hashes of the files that the tables were made from; none where nobody knows."""
    if not files.exists(name):
        return {}
    with files.open(name) as stream:
        try:
            told: dict[str, str] = json.loads(stream.read())["sha256"]
        except (ValueError, KeyError, TypeError):  # damaged: the tables are made again
            return {}
    return told

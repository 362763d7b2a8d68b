"""MovieLens, every edition from 100K (1998) to 32M (2024), as GroupLens or a mirror packed it."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

import polars as pl

from nextup.domain.errors import InvalidInput
from nextup.domain.events import EventType
from nextup.domain.tables import ITEM_ID, TYPE, USER_ID
from nextup.services.contract_frames import TIME_TEXT, VALUE_TEXT
from nextup.services.importers.delimited import Dialect, one_column, read_delimited
from nextup.services.importers.films import TagCounts, film_shape, genre_names, read_links
from nextup.services.importers.loading import Loading, nothing_to_tell
from nextup.services.manifests import slug

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextup.services.importers.loading import Destination, ItemShape, Origin, Progress
    from nextup.services.importers.report import IngestReport
    from nextup.services.importers.sources import FileFacts, Source

DATASET = "movielens"

RATINGS = ("ratings.csv", "rating.csv", "ratings.dat", "u.data")
_MOVIES = ("movies.csv", "movie.csv", "movies.dat", "u.item")
_TAGS = ("tags.csv", "tag.csv", "tags.dat")
_LINKS = ("links.csv", "link.csv")
_EXTRAS = ("genome-scores.csv", "genome_scores.csv", "genome-tags.csv", "genome_tags.csv")
_RATING_COLUMNS: tuple[str, ...] = ("userId", "movieId", "rating", "timestamp")
_TAG_COLUMNS = ("userId", "movieId", "tag", "timestamp")
_COLUMNS = {
    "ratings.dat": _RATING_COLUMNS,
    "u.data": _RATING_COLUMNS,
    "tags.dat": _TAG_COLUMNS,
    "movies.dat": ("movieId", "title", "genres"),
}


def ingest(
    source: Source,
    into: Destination,
    *,
    origin: Origin | None = None,
    keep_files: bool = False,
    papers: str = "",
    whole: bool = True,
    progress: Progress = nothing_to_tell,
) -> IngestReport:
    """Films into the catalogue, ratings into the log.

    Running it again adds nothing. `keep_files` also copies the raw files beside the manifest,
    among them the genome files, which nothing here reads. `papers` is the folder of the manifest,
    where it is not bronze's. What is not `whole` may lack films or ratings.
    """
    ratings = [source.need(*RATINGS)] if whole else _present(source, RATINGS)
    movies = source.need(*_MOVIES) if whole else source.find(*_MOVIES)
    loading = Loading(
        into,
        source,
        dataset=DATASET,
        folder=papers or f"bronze/{DATASET}/{slug(source.path.stem)}",
        item_kind="film",
        origin=origin,
        keep_files=keep_files,
        progress=progress,
    )
    surveyed = [loading.survey(name, events=True, header=_has_header(name)) for name in ratings]
    films = _survey_films(source, loading, movies) if movies else None
    if keep_files:
        for name in filter(None, map(source.find, _EXTRAS)):
            loading.survey(name)
    if films is None and not into.catalog.count_items():
        loading.decide_unknown_items("create")
    loading.report.notes.append("Times without a time zone are taken as UTC.")
    loading.begin()
    if films is not None and movies:
        facts, shape = films
        with source.open(movies) as stream:
            loading.items(
                facts, read_delimited(stream, movie_dialect(source, movies), movies), shape
            )
    for name, rating_facts in zip(ratings, surveyed, strict=True):
        with source.open(name) as stream:
            rows = read_delimited(stream, _dialect(name), name)
            loading.events(rating_facts, rows, rating_events)
    return loading.finish()


def files_of(source: Source) -> list[str]:
    """Those that an import of what is not whole would read, films first: tags and links are only
    read with their films."""
    movies = source.find(*_MOVIES)
    beside = [movies, source.find(*_TAGS), source.find(*_LINKS)] if movies else []
    return [*filter(None, beside), *_present(source, RATINGS)]


def require_readable(source: Source, name: str) -> None:
    """Look at the file's beginning. Raises InvalidInput or CorruptData for what is no text, has no
    usable header, or lacks a column."""
    last = name.rsplit("/", 1)[-1].lower()
    is_films = last in _MOVIES
    dialect = movie_dialect(source, name) if is_films else rating_dialect(name)
    columns = _RATING_COLUMNS
    if is_films or last in _TAGS:
        columns = ("movieId", "title" if is_films else "tag")
    elif last in _LINKS:
        columns = ("movieId", "imdbId", "tmdbId")
    with source.open(name) as stream:
        for rows in read_delimited(stream, dialect, name):
            for column in columns:
                one_column(rows.columns, column)
            return


def _present(source: Source, names: Sequence[str]) -> list[str]:
    return [found for name in names if (found := source.find(name)) is not None]


def _has_header(name: str) -> bool:
    return name.endswith(".csv")


def _survey_films(source: Source, loading: Loading, movies: str) -> tuple[FileFacts, ItemShape]:
    facts = loading.survey(movies, header=_has_header(movies))
    keywords, links = _read_tags(source, loading), _read_links(source, loading)
    return facts, film_shape(keywords, links)


def rating_events(columns: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    """A chunk of a rating file as raw events."""
    user, item, value, moment = (one_column(columns, name) for name in _RATING_COLUMNS)
    return pl.DataFrame(
        {USER_ID: user, ITEM_ID: item, VALUE_TEXT: value, TIME_TEXT: moment}
    ).with_columns(pl.lit(EventType.RATING.value).alias(TYPE))


def rating_dialect(name: str) -> Dialect:
    """How a rating file is written, by its name. Raises InvalidInput for one of no edition."""
    last = name.rsplit("/", 1)[-1].lower()
    if not last.endswith(".csv") and last not in _COLUMNS:
        raise InvalidInput(
            f"{name} is no rating file by its name.", cure=f"Known: *.csv, {', '.join(RATINGS)}."
        )
    return _dialect(name)


def _dialect(name: str, encoding: str = "utf-8") -> Dialect:
    last = name.rsplit("/", 1)[-1].lower()
    if last.endswith(".csv"):
        return Dialect(encoding=encoding)
    separator = "::" if last.endswith(".dat") else "\t"
    return Dialect(separator, None, encoding, _COLUMNS[last])


def movie_dialect(source: Source, name: str) -> Dialect:
    """How the film file is written; the old editions are in Latin-1, their header is known."""
    if name.endswith(".csv"):
        return Dialect()
    encoding = _encoding(source, name)
    if not name.lower().endswith("u.item"):
        return _dialect(name, encoding)
    names = ("movieId", "title", "released", "video", "url", *genre_names(source))
    return Dialect("|", None, encoding, names)


def _encoding(source: Source, name: str) -> str:
    """UTF-8 if the whole file is; else Latin-1, in which the editions before 10M were written."""
    decoder: Any = codecs.getincrementaldecoder("utf-8")()
    with source.open(name) as stream:
        try:
            while block := stream.read(1 << 16):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _read_tags(source: Source, loading: Loading) -> TagCounts:
    counts = TagCounts()
    name = source.find(*_TAGS)
    if name is not None:
        loading.survey(name, header=name.endswith(".csv"))
        with source.open(name) as stream:
            for rows in read_delimited(stream, _dialect(name), name):
                counts.add(one_column(rows.columns, "movieId"), one_column(rows.columns, "tag"))
    return counts


def _read_links(source: Source, loading: Loading) -> dict[str, dict[str, Any]]:
    name = source.find(*_LINKS)
    if name is None:
        return {}
    loading.survey(name)
    with source.open(name) as stream:
        return read_links(read_delimited(stream, _dialect(name), name))

"""Films as MovieLens describes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl

from nextup.domain.items import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nextup.services.importers.loading import ItemShape
    from nextup.services.importers.rows import Rows
    from nextup.services.importers.sources import Source

KIND = "film"
NO_GENRES = "(no genres listed)"

_KEYWORDS = 5  # a film's most given tags
_MOST_PAIRS = 1_500_000  # of film and tag, counted at once; some 100 MB
# "(1995)", and for series "(2006-2007)" or "(2016- )", with either dash
_TITLE = re.compile(
    r"^(?P<title>.+?)\s*\((?P<year>\d{4})(?:\s*[-\u2013]\s*\d{0,4})?\s*\)\s*$", re.DOTALL
)
_YEAR = re.compile(r"(\d{4})$")
_FLAGS = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_NO_FLAG = "unknown"


def split_title(text: str) -> tuple[str, int | None]:
    """The title without its year, and the year; some have none."""
    match = _TITLE.match(text.strip())
    return (match["title"], int(match["year"])) if match else (text.strip(), None)


def genre_names(source: Source) -> tuple[str, ...]:
    """The genres of the 100K edition, in the order of its flags."""
    name = source.find("u.genre")
    if name is None:
        return _FLAGS
    with source.open(name) as stream:
        lines = stream.read().decode("latin-1").splitlines()
    return tuple(line.split("|")[0] for line in lines if line.strip())


def film_shape(keywords: TagCounts, links: Mapping[str, Mapping[str, Any]]) -> ItemShape:
    """How a row of a film file becomes an item."""
    top = keywords.top()

    def shape(cells: Mapping[str, str]) -> Item:
        item_id = cells.get("movieId", "")
        title, year = split_title(cells.get("title", ""))
        return Item(
            item_id,
            KIND,
            title,
            year if year is not None else _release_year(cells.get("released", "")),
            _genres(cells),
            keywords=top.get(item_id, ()),
            attributes=links.get(item_id, {}),
        )

    return shape


def read_links(chunks: Iterable[Rows]) -> dict[str, dict[str, Any]]:
    """The films' ids at IMDb and TMDB, as attributes; empty ones are left out."""
    links: dict[str, dict[str, Any]] = {}
    for rows in chunks:
        for cells in rows.columns.iter_rows(named=True):
            known: dict[str, Any] = {}
            if cells.get("imdbId"):
                known["imdb_id"] = f"tt{cells['imdbId']}"
            if (cells.get("tmdbId") or "").isdecimal():
                known["tmdb_id"] = int(cells["tmdbId"])
            links[cells["movieId"]] = known
    return links


class TagCounts:
    """Which tags people gave to each film, counted without regard to case.

    Memory is bounded: when there are too many pairs of film and tag, those given once are
    forgotten, which cannot hurt a film that has five others.
    """

    def __init__(self) -> None:
        self._counts = pl.DataFrame(
            schema={"film": pl.String, "tag": pl.String, "count": pl.UInt32}
        )

    def add(self, films: pl.Series, tags: pl.Series) -> None:
        """Count a chunk."""
        tag = pl.col("tag").str.strip_chars().str.to_lowercase()
        fresh = pl.DataFrame({"film": films, "tag": tags}).with_columns(
            tag, pl.lit(1, pl.UInt32).alias("count")
        )
        both = pl.concat([self._counts, fresh.filter(pl.col("tag") != "")])
        self._counts = both.group_by("film", "tag").agg(pl.col("count").sum())
        if self._counts.height > _MOST_PAIRS:
            self._counts = self._counts.filter(pl.col("count") > 1)

    def top(self) -> dict[str, tuple[str, ...]]:
        """Each film's most given tags; ties in alphabetical order."""
        ordered = self._counts.sort(["count", "tag"], descending=[True, False])
        best = ordered.group_by("film", maintain_order=True).agg(pl.col("tag").head(_KEYWORDS))
        return {film: tuple(tags) for film, tags in best.iter_rows()}


def _genres(cells: Mapping[str, str]) -> tuple[str, ...]:
    if "genres" in cells:
        return tuple(name for name in cells["genres"].split("|") if name and name != NO_GENRES)
    return tuple(name for name, flag in cells.items() if flag == "1" and _is_genre(name))


def _is_genre(name: str) -> bool:
    return name not in {"movieId", "title", "released", "video", "url", _NO_FLAG}


def _release_year(text: str) -> int | None:
    match = _YEAR.search(text.strip())
    return int(match[1]) if match else None

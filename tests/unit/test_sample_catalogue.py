from __future__ import annotations

import csv
from collections import Counter
from importlib import resources

import pytest

from nextup.services.sample import sample_items

FILM_GENRES = (
    "Action, Adventure, Animation, Comedy, Crime, Documentary, Drama, Family, Fantasy, History, "
    "Horror, Music, Mystery, Romance, Science Fiction, Thriller, War, Western"
)
BOOK_GENRES = (
    "Adventure, Biography, Children, Classics, Comedy, Crime, Drama, Essays, Fantasy, "
    "Graphic Novel, Historical, History, Horror, Mystery, Philosophy, Poetry, Romance, Science, "
    "Science Fiction, Thriller, Young Adult"
)
GENRES = {"film": set(FILM_GENRES.split(", ")), "book": set(BOOK_GENRES.split(", "))}


@pytest.fixture(scope="module")
def items():
    return sample_items()


@pytest.mark.parametrize(("kind", "at_least"), [("film", 640), ("book", 430)])
def test_the_catalogue_is_large_enough_to_look_real(items, kind, at_least):
    """There are at least 640 films and 430 books, and nothing else."""
    assert sum(item.kind == kind for item in items) >= at_least
    assert {item.kind for item in items} == {"film", "book"}


def test_nothing_occurs_twice(items):
    """Neither an id nor a work (kind, title and first maker) is repeated."""
    assert len({item.item_id for item in items}) == len(items)
    works = Counter((item.kind, item.title.casefold(), item.makers[0]) for item in items)
    assert [work for work, count in works.items() if count > 1] == []


def test_ids_are_slugs_of_kind_title_and_year(items):
    """An id is its kind, a colon, lowercase ASCII words and the year, so it survives any URL."""
    for item in items:
        kind, _, slug = item.item_id.partition(":")
        assert kind == item.kind
        assert slug.isascii()
        assert slug.replace("-", "").isalnum()
        assert slug == slug.lower()
        era = f"{-item.year}bc" if item.year < 0 else str(item.year)
        assert slug.endswith(f"-{era}")


@pytest.mark.parametrize("kind", ["film", "book"])
def test_genres_come_from_a_fixed_vocabulary(items, kind):
    """Every item has one to four different genres that its kind knows."""
    for item in (item for item in items if item.kind == kind):
        assert 1 <= len(item.genres) <= 4
        assert len(set(item.genres)) == len(item.genres)
        assert set(item.genres) <= GENRES[kind], item.item_id


@pytest.mark.parametrize("kind", ["film", "book"])
def test_no_genre_is_an_empty_shelf(items, kind):
    """Every genre of the vocabulary has at least twelve items."""
    count = Counter(genre for item in items if item.kind == kind for genre in item.genres)
    assert {genre: count[genre] for genre in GENRES[kind] if count[genre] < 12} == {}


def test_keywords_are_few_and_lowercase(items):
    """Every item has three to five different lowercase keywords without stray spaces."""
    for item in items:
        assert 3 <= len(item.keywords) <= 5
        assert len(set(item.keywords)) == len(item.keywords)
        assert all(word and word == word.strip().lower() for word in item.keywords), item.item_id


def test_years_are_plausible(items):
    """Films begin with the cinema, books with writing, and nothing is from the future."""
    first = {"film": 1895, "book": -1600}
    assert all(first[item.kind] <= item.year <= 2025 for item in items)


def test_decades_and_makers_are_spread(items):
    """No decade holds a fifth of the films, and no maker a fiftieth of the items."""
    films = [item for item in items if item.kind == "film"]
    decades = Counter(item.year // 10 for item in films)
    assert len(decades) >= 11
    assert max(decades.values()) < len(films) / 5
    makers = Counter(maker for item in items for maker in item.makers)
    assert makers.most_common(1)[0][1] < len(items) / 50


def test_best_known_items_come_first(items):
    """The order is the popularity: works that everybody knows are in the first twentieth."""
    for kind, known in {
        "film": {"film:the-godfather-1972", "film:titanic-1997", "film:jaws-1975"},
        "book": {"book:nineteen-eighty-four-1949", "book:the-hobbit-1937", "book:dune-1965"},
    }.items():
        ids = [item.item_id for item in items if item.kind == kind]
        assert known <= set(ids[: len(ids) // 20])


@pytest.mark.parametrize("name", ["films.csv", "books.csv"])
def test_files_are_plain_csv(name):
    """The files are UTF-8 with one line for each row, complete and without outer spaces."""
    text = (resources.files("nextup") / "sample" / name).read_bytes().decode("utf-8")
    lines = text.splitlines()
    rows = list(csv.DictReader(lines))
    assert len(rows) == len(lines) - 1
    for row in rows:
        assert list(row) == ["item_id", "title", "year", "makers", "genres", "keywords"]
        assert all(value and value == value.strip() for value in row.values()), row

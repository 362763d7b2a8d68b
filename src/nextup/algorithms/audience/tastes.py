"""Named tastes: what a horror fan, a reader of the classics or a family likes, in words.

A taste is a handful of weights over what a catalogue says of its items: kind, genres, keywords,
makers, decade. `matches` turns tastes and items into numbers between 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nextup.domain.items import Item


def _weights(weight: float, names: str) -> dict[str, float]:
    return {name.strip(): weight for name in names.split(",")}


@dataclass(frozen=True, slots=True)
class Taste:
    """Weights add up over everything an item is, and the sum is cut to 0..1.

    So 1.0 on a genre means "any of these will do", and a negative weight is a dislike.
    """

    name: str
    share: float  # how common the taste is, relative to the others
    genres: Mapping[str, float]
    keywords: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    makers: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    decades: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    kinds: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({})
    )  # factor, else 1

    def features(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Every weight with the feature it is for; kinds are factors and not among them."""
        for name in ("genres", "keywords", "makers"):
            for value, weight in getattr(self, name).items():
                yield (name, value), weight
        for decade, weight in self.decades.items():
            yield ("decade", str(decade)), weight


_FILMS = MappingProxyType({"book": 0.35})  # reads now and then
_BOOKS = MappingProxyType({"film": 0.35})  # watches now and then

TASTES: tuple[Taste, ...] = (
    Taste(
        "horror fan",
        1.0,
        {"Horror": 0.9, "Mystery": 0.15, "Thriller": 0.1, "Family": -0.8, "Comedy": -0.2},
        _weights(0.2, "vampire, ghosts, haunted house, monster, possession, serial killer, witch"),
        _weights(0.2, "John Carpenter, Stephen King, Dario Argento, Shirley Jackson"),
    ),
    Taste(
        "sci-fi fan",
        1.3,
        {"Science Fiction": 0.85, "Fantasy": 0.1, "Romance": -0.2, "Western": -0.2},
        _weights(0.2, "space travel, artificial intelligence, robots, time travel, android, alien"),
        _weights(0.2, "Philip K. Dick, Ursula K. Le Guin, Denis Villeneuve, Ridley Scott"),
    ),
    Taste(
        "reader of classics",
        1.1,
        {"Classics": 0.75, "Drama": 0.1, "Historical": 0.15, "Children": -0.3, "Horror": -0.1},
        _weights(0.15, "russia, england, france, marriage, family saga"),
        _weights(0.2, "Jane Austen, Leo Tolstoy, Fyodor Dostoevsky, Charles Dickens"),
        {1810: 0.1, 1840: 0.1, 1850: 0.1, 1860: 0.15, 1870: 0.15, 1880: 0.1},
        _BOOKS,
    ),
    Taste(
        "family evenings",
        1.3,
        {"Family": 0.75, "Children": 0.7, "Animation": 0.3, "Horror": -1.0, "Crime": -0.7}
        | _weights(-0.5, "Thriller, War"),
        _weights(0.2, "talking animals, magic, christmas, friendship, childhood"),
        _weights(0.15, "Hayao Miyazaki, Pete Docter, Roald Dahl, Astrid Lindgren"),
    ),
    Taste(
        "world cinema",
        0.8,
        {"Drama": 0.2, "Family": -0.2},
        _weights(0.6, "japan, france, italy, sweden, iran, south korea, india, china, hong kong")
        | _weights(
            0.6, "spain, mexico, brazil, argentina, germany, denmark, poland, russia, taiwan"
        )
        | _weights(0.6, "senegal, turkey, hungary, czechoslovakia, greece, finland, norway"),
        _weights(0.2, "Akira Kurosawa, Federico Fellini, Ingmar Bergman, Wong Kar-wai"),
        kinds=MappingProxyType({"book": 0.25}),
    ),
    Taste(
        "golden age of cinema",
        0.6,
        {"Romance": 0.1, "Mystery": 0.1, "Music": 0.1, "Comedy": 0.1},
        makers=_weights(0.3, "Alfred Hitchcock, Billy Wilder, Howard Hawks, Charlie Chaplin"),
        decades={1920: 0.7, 1930: 0.8, 1940: 0.85, 1950: 0.75, 1960: 0.2},
        kinds=MappingProxyType({"book": 0.1}),
    ),
    Taste(
        "crime and mystery",
        1.2,
        {"Crime": 0.55, "Mystery": 0.55, "Thriller": 0.3, "Family": -0.6, "Fantasy": -0.3},
        _weights(0.2, "detective, murder, mafia, heist, serial killer, police, deduction"),
        _weights(0.2, "Agatha Christie, Raymond Chandler, Alfred Hitchcock, Martin Scorsese"),
    ),
    Taste(
        "romantics",
        1.0,
        {"Romance": 0.85, "Comedy": 0.1, "Music": 0.1, "Horror": -0.7, "War": -0.2},
        _weights(0.2, "lost love, marriage, wedding, first love, paris"),
        _weights(0.2, "Jane Austen, Richard Linklater, Nora Ephron, Sally Rooney"),
    ),
    Taste(
        "comedy nights",
        1.1,
        {"Comedy": 0.85, "Romance": 0.05, "War": -0.3, "Horror": -0.4, "History": -0.2},
        _weights(0.2, "satire, absurd, parody, disguise, farce"),
        _weights(0.2, "Terry Pratchett, Douglas Adams, P. G. Wodehouse, Edgar Wright"),
    ),
    Taste(
        "action blockbusters",
        1.3,
        {"Action": 0.75, "Adventure": 0.25, "Thriller": 0.15, "Music": -0.3},
        _weights(0.2, "superhero, chase, spy, kung fu, terrorists, revenge"),
        _weights(0.15, "James Cameron, John Woo, George Miller, Christopher Nolan"),
        {1980: 0.05, 1990: 0.1, 2000: 0.1, 2010: 0.1, 2020: 0.1},
        _FILMS,
    ),
    Taste(
        "fantasy worlds",
        1.2,
        {"Fantasy": 0.8, "Adventure": 0.1, "Crime": -0.3, "War": -0.1},
        _weights(0.2, "magic, dragon, quest, wizard, elves, magical realism, fairy tale"),
        _weights(0.2, "J. R. R. Tolkien, Ursula K. Le Guin, Terry Pratchett, Guillermo del Toro"),
    ),
    Taste(
        "history and war",
        0.8,
        {"War": 0.6, "History": 0.6, "Historical": 0.55, "Fantasy": -0.5, "Comedy": -0.3},
        _weights(0.2, "world war i, world war ii, ancient rome, revolution, napoleonic wars"),
    ),
    Taste(
        "documentaries and science",
        0.7,
        {"Documentary": 0.9, "Science": 0.9, "Biography": 0.4, "History": 0.2, "Fantasy": -0.5},
        _weights(0.2, "nature, evolution, physics, mathematics, true story, space travel"),
        _weights(0.2, "Carl Sagan, Werner Herzog, Oliver Sacks"),
    ),
    Taste(
        "westerns",
        0.4,
        {"Western": 1.0, "Adventure": 0.1, "Science Fiction": -0.3},
        _weights(0.3, "duel, bounty hunter, frontier, cowboys"),
        _weights(0.2, "Sergio Leone, John Ford, Clint Eastwood, Cormac McCarthy"),
    ),
    Taste(
        "music and poetry",
        0.5,
        {"Music": 0.75, "Poetry": 0.85, "Horror": -0.3, "War": -0.2},
        _weights(0.25, "jazz, opera, dance, concert, musician, song"),
    ),
    Taste(
        "big ideas",
        0.6,
        {"Philosophy": 0.9, "Essays": 0.8, "Science": 0.3, "Biography": 0.2, "Romance": -0.2},
        _weights(0.2, "existentialism, ethics, politics, society, feminism"),
        kinds=_BOOKS,
    ),
    Taste(
        "comics and anime",
        0.8,
        {"Graphic Novel": 0.95, "Animation": 0.45},
        _weights(0.35, "anime, superhero, manga, cyberpunk"),
        _weights(0.2, "Hayao Miyazaki, Satoshi Kon, Alan Moore, Osamu Tezuka"),
    ),
    Taste(
        "young adult",
        0.8,
        {"Young Adult": 0.9, "Romance": 0.05, "Philosophy": -0.3},
        _weights(0.35, "coming of age, high school, boarding school, first love"),
    ),
    Taste(
        "new releases",
        1.0,
        {"Drama": 0.15, "Thriller": 0.1, "Science Fiction": 0.1},
        decades={2000: 0.15, 2010: 0.55, 2020: 0.85},
    ),
    Taste(
        "quiet dramas",
        0.9,
        {"Drama": 0.35, "Action": -0.5, "Science Fiction": -0.3, "Fantasy": -0.3},
        _weights(0.35, "grief, loneliness, family, memory, marriage, old age, mother and daughter"),
        decades={1970: 0.1, 1980: 0.1, 1990: 0.1, 2000: 0.1, 2010: 0.1, 2020: 0.1},
    ),
)


def matches(tastes: Sequence[Taste], items: Sequence[Item]) -> NDArray[np.float32]:
    """How well each item suits each taste, 0..1: (tastes, items).

    An item without genres, keywords, makers or year suits nobody in particular: 0.
    """
    columns: dict[tuple[str, str], NDArray[np.float32]] = {}
    kinds: dict[str, NDArray[np.float32]] = {}
    for row, taste in enumerate(tastes):
        for feature, weight in taste.features():
            columns.setdefault(feature, np.zeros(len(tastes), np.float32))[row] += weight
        for kind, factor in taste.kinds.items():
            kinds.setdefault(kind, np.ones(len(tastes), np.float32))[row] = factor
    result = np.zeros((len(items), len(tastes)), np.float32)
    for index, item in enumerate(items):
        for feature in _features(item):
            if feature in columns:
                result[index] += columns[feature]
        if item.kind in kinds:
            result[index] *= kinds[item.kind]
    return np.ascontiguousarray(np.clip(result, 0, 1).T)


def links(item: Item) -> Iterator[tuple[str, str]]:
    """What leads a curious person from one item to the next: its makers and keywords."""
    yield from (("makers", maker) for maker in item.makers)
    yield from (("keywords", keyword) for keyword in item.keywords)


def _features(item: Item) -> Iterator[tuple[str, str]]:
    yield from (("genres", genre) for genre in item.genres)
    yield from links(item)
    if item.year is not None:
        yield ("decade", str(item.year // 10 * 10))

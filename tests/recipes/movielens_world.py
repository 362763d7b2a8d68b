"""A small MovieLens: people who keep to one of three kinds of films, as files of both spellings."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

KINDS: Final = ("Horror", "Romance", "Western")
FILMS: Final = 45  # film n is of kind n modulo 3
PEOPLE: Final = 120  # person n likes kind n modulo 3
RATED: Final = 10  # films by each
START: Final = datetime(2015, 1, 1, tzinfo=UTC)

Row = tuple[int, int, float, datetime]


def ratings(people: range, *, seed: int) -> list[Row]:
    """Good ones for films of a person's kind, a bad one for another."""
    chance = random.Random(seed)
    rows = []
    for person in people:
        own = [film for film in range(1, FILMS + 1) if film % 3 == person % 3]
        liked = [(film, chance.choice((4.0, 4.5, 5.0))) for film in chance.sample(own, RATED - 1)]
        for film, stars in [*liked, (own[0] % FILMS + 1, 1.0)]:
            rows.append((person, film, stars, START + timedelta(minutes=chance.randrange(10**6))))
    return sorted(rows, key=lambda row: row[3])


def write_films(file: Path) -> None:
    """As a mirror spells it."""
    lines = [f'{n},"Film {n} ({1980 + n % 30})",{KINDS[n % 3]}|Drama' for n in range(1, FILMS + 1)]
    file.write_text("movieId,title,genres\n" + "\n".join(lines) + "\n")


def write_ratings(file: Path, rows: list[Row], *, text_times: bool) -> None:
    """Times as text, or in seconds."""
    lines = ["userId,movieId,rating,timestamp"]
    for person, film, stars, at in rows:
        when = f'"{at:%Y-%m-%d %H:%M:%S}"' if text_times else f"{at.timestamp():.0f}"
        lines.append(f"{person},{film},{stars},{when}")
    file.write_text("\n".join(lines) + "\n")

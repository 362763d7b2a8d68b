"""The sample catalogue that ships with Nextup: real films and books, facts only."""

from __future__ import annotations

import csv
from importlib import resources

from nextup.domain.items import Item

_FILES = {"film": "films.csv", "book": "books.csv"}


def sample_items() -> list[Item]:
    """All films, then all books; within each kind the best known come first."""
    return [item for kind, name in _FILES.items() for item in _read(kind, name)]


def _read(kind: str, name: str) -> list[Item]:
    lines = (resources.files("nextup") / "sample" / name).read_text(encoding="utf-8").splitlines()
    return [
        Item(
            row["item_id"],
            kind,
            row["title"],
            int(row["year"]),
            genres=tuple(row["genres"].split("|")),
            makers=tuple(row["makers"].split("|")),
            keywords=tuple(row["keywords"].split("|")),
        )
        for row in csv.DictReader(lines)
    ]

"""Rows of a file, in chunks: what was read of them, and what could not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHUNK_CHARACTERS = 3_000_000  # read at once: some 100,000 to 200,000 ratings


class Damaged(NamedTuple):
    """A row that is no row at all: nothing in it can be told apart."""

    number: int
    line: int
    rule: str
    reason: str
    raw: str


class Rows(NamedTuple):
    """Consecutive rows. Every row of the file has a number, the damaged ones too."""

    columns: pl.DataFrame  # all text, named as in the file
    numbers: Sequence[int]  # of each row of `columns`, from 1
    lines: Sequence[int]  # where each begins, from 1
    damaged: Sequence[Damaged] = ()
    blank_lines: int = 0

    @property
    def size(self) -> int:
        """How many rows of the file these are."""
        return self.columns.height + len(self.damaged)


def text_frame(names: Sequence[str], rows: Iterable[Sequence[str | None]]) -> pl.DataFrame:
    """A frame of text columns from rows of equal length."""
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pl.DataFrame(
        [pl.Series(name, cells, pl.String) for name, cells in zip(names, columns, strict=True)]
    )

"""Columns of Polars as arrays in memory, in the way that the port promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence


class Codebook:
    """Numbers texts in the order in which they come."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._codes: dict[str, int] = {}

    def coded(self, batch: pl.DataFrame) -> pl.Series:
        """The column of the batch as numbers."""
        texts = batch[self._column]
        distinct = texts.unique().drop_nulls()
        numbers = [self._codes.setdefault(text, len(self._codes)) for text in distinct]
        return texts.replace_strict(distinct, numbers, default=None, return_dtype=pl.Int32)

    def ascending(self, codes: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        """The codes as ranks, and the texts by rank."""
        texts = pl.Series(self._column, list(self._codes), pl.String)
        order = texts.arg_sort()
        rank = np.empty(len(order), np.int32)
        rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
        return rank[codes], texts.gather(order).to_numpy().astype(object)


def array_of(column: pl.Series) -> np.ndarray[Any, Any]:
    """Times as microseconds and days as days since the epoch, text as objects."""
    if isinstance(column.dtype, (pl.Datetime, pl.Date)):
        column = column.to_physical().cast(pl.Int64)
    if column.dtype == pl.String:
        return _shared_text(column)
    return column.to_numpy()


def _shared_text(column: pl.Series) -> np.ndarray[Any, Any]:
    """Text as objects; equal texts are one object, so that a million rows cost pointers."""
    distinct = column.unique().drop_nulls()
    codes = column.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64)
    texts = np.array([*distinct, None], object)
    return np.asarray(texts[codes.fill_null(len(distinct)).to_numpy()])


def frame_of(rows: Sequence[Sequence[Any]], schema: pl.Schema) -> pl.DataFrame:
    """Plain rows with these types; integers stand for times and, since the epoch, for days."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pl.DataFrame(
        [
            _series(name, values, dtype)
            for (name, dtype), values in zip(schema.items(), columns, strict=True)
        ]
    )


def _series(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    if isinstance(dtype, (pl.Datetime, pl.Date)) and _are_integers(values):
        physical = pl.Int32 if isinstance(dtype, pl.Date) else pl.Int64
        return pl.Series(name, values, physical).cast(dtype)
    return pl.Series(name, values, dtype)


def _are_integers(values: Sequence[Any]) -> bool:
    first = next((value for value in values if value is not None), None)
    return isinstance(first, int)

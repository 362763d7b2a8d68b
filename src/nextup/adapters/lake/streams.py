"""Lazy frames, one after the other, as one stream of batches that never all are in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from polars.io.plugins import register_io_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl

_BATCH_ROWS: Final = 131_072


class BatchStream:
    """The rows of some lazy frames as an Arrow stream; `error` is what ended it early.

    The reader of an Arrow stream only learns an error's text, so the error itself is kept here.
    """

    def __init__(
        self,
        parts: Sequence[pl.LazyFrame],
        schema: pl.Schema,
        check: Callable[[pl.DataFrame], None],
    ) -> None:
        self._parts = parts
        self._schema = schema
        self._check = check
        self.error: BaseException | None = None

    def batches(self) -> Any:
        """An object with the Arrow stream interface, to be read once."""
        source = register_io_source(self._read, schema=self._schema)
        return source.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True)

    def _read(
        self,
        columns: list[str] | None,
        predicate: pl.Expr | None,
        rows: int | None,
        size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del columns, predicate, rows, size  # nobody asks for less than everything
        try:
            for part in self._parts:
                for batch in part.collect_batches(chunk_size=_BATCH_ROWS, engine="streaming"):
                    self._check(batch)
                    yield batch
        except BaseException as error:
            self.error = error
            raise

"""Plain files of counts, read by the executors where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import narwhals as nw
from pyspark.sql import functions as sf

from nextup.adapters.engine.spark_core import SparkCore
from nextup.ports.engine import COUNTED, FOLDER, MOST, NUMBER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

_PATH: Final = "_metadata.file_path"
_LARGEST: Final = 2**63  # positions are whole numbers below it


class SparkCounts(SparkCore):
    """The part of the Spark engine that reads files of counts: ReadsCounts."""

    def read_counts(
        self, place: str, *, form: str, keys: Sequence[str], counted: Sequence[str]
    ) -> nw.LazyFrame[Any]:
        """As in the port. All columns of a CSV are read as text, so that a damaged row is told
        from an absent one."""
        with self._explained():
            rows = self._files(f"{place}/*/*.{form}", form, [*keys, *counted])
            counts = {name: sf.expr(f"try_cast(`{name}` AS int)") for name in counted}
            fit = _all(
                [*(sf.coalesce(sf.length(name), sf.lit(0)) > 0 for name in keys)],
                [sf.coalesce(count.between(0, MOST), sf.lit(False)) for count in counts.values()],
            )
            told = rows.withColumn(FOLDER, sf.element_at(sf.split(sf.col(_PATH), "/"), -2))
            good = told.filter(fit).select(*keys, FOLDER, _each(counts))
            units = good.filter("each.n > 0").select(
                *keys,
                FOLDER,
                sf.col("each.name").alias(COUNTED),
                sf.explode(sf.sequence(sf.lit(1), sf.col("each.n"))).alias(NUMBER),
            )
            nothing = sf.lit(None).cast("string").alias(COUNTED)
            bad = told.filter(~fit).select(*keys, FOLDER, nothing, sf.lit(1).alias(NUMBER))
            return nw.from_native(units.unionByName(bad))

    def fingerprint(self, frame: nw.LazyFrame[Any]) -> int:
        """As in the port."""
        rows: DataFrame = frame.to_native()
        with self._explained():
            each = sf.xxhash64(*rows.columns).cast("decimal(38,0)")
            (found,) = rows.agg(sf.sum(each), sf.count("*")).collect()
        return int(int(found[0] or 0) * 31 + int(found[1])) % _LARGEST

    def _files(self, pattern: str, form: str, columns: Sequence[str]) -> DataFrame:
        if form == "csv":
            schema = ", ".join(f"`{name}` string" for name in columns)
            return self._session.read.schema(schema).csv(pattern, header=True, escape='"')
        texts = [sf.col(name).cast("string").alias(name) for name in columns]
        return self._session.read.parquet(pattern).select(*texts, sf.col("_metadata"))


def _all(*conditions: Sequence[Column]) -> Column:
    together = sf.lit(True)
    for several in conditions:
        for one in several:
            together = together & one
    return together


def _each(counts: dict[str, Column]) -> Column:
    """A row for each of the counts."""
    pairs = [sf.struct(sf.lit(name).alias("name"), n.alias("n")) for name, n in counts.items()]
    return sf.explode(sf.array(*pairs)).alias("each")

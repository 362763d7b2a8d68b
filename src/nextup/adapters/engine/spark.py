"""Spark: the same transformations where the data is, on as many machines as there are."""

from __future__ import annotations

from nextup.adapters.engine.spark_als import SparkFactorization
from nextup.adapters.engine.spark_counts import SparkCounts
from nextup.adapters.engine.spark_csv import SparkCsv
from nextup.adapters.engine.spark_jdbc import SparkDatabases
from nextup.adapters.engine.spark_stream import SparkStreams


class SparkEngine(SparkFactorization, SparkStreams, SparkDatabases, SparkCsv, SparkCounts):
    """All that Spark does here, in one class. Safe to share between threads."""

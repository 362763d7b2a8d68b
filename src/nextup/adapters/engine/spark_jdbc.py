"""Other programs' databases, read by Spark over JDBC: several ranges at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import narwhals as nw
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import functions as sf

from nextup.adapters.engine.spark_connect import lend_jar
from nextup.adapters.engine.spark_core import SparkCore
from nextup.domain.errors import BackendUnavailable, ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from pyspark.sql import DataFrame

PORT: Final = 5432
FETCHED_AT_ONCE: Final = 10_000  # rows; without it the driver holds a whole part
_REFUSED: Final = ("syntax error", "does not exist", "permission denied", "operator does not")
_AS: Final = "extracted"  # what the query is called in the statement around it


class SparkDatabases(SparkCore):
    """The part of the Spark engine that reads databases: ReadsDatabases."""

    _lent = False  # the driver, to a server of Spark Connect

    def read_query(self, url: str, query: str, *, split_by: str, parts: int) -> nw.LazyFrame[Any]:
        """As in the port. Ranges of equal width, between the least and the greatest number."""
        options = jdbc_options(url)
        with self._explained():
            self._lend_driver()
        reader = self._session.read.format("jdbc").options(**options)
        name = f'"{split_by}"'
        rows = f"({query}) AS {_AS}"
        bounds = f"SELECT min({name}) AS least, max({name}) AS greatest FROM {rows}"  # noqa: S608 - a name is quoted
        try:
            least, greatest = reader.option("query", bounds).load().collect()[0]
            source = self._session.read.format("jdbc").options(**options)
            source = source.option("dbtable", rows)
            if least is not None and greatest > least and parts > 1:
                source = (
                    source.option("partitionColumn", name)
                    .option("lowerBound", str(least))
                    .option("upperBound", str(greatest + 1))
                    .option("numPartitions", str(parts))
                )
            return nw.from_native(source.load())
        except (PySparkException, Py4JError) as error:
            raise explained(error, url) from error

    def _lend_driver(self) -> None:
        """On Spark Connect, once."""
        if self._shared.is_remote and not self._lent:
            lend_jar(self._session, self._settings, "postgresql")
            self._lent = True

    def divided(
        self, frame: nw.LazyFrame[Any], by: str, parts: int
    ) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        """As in the port. A text's part depends on the text alone."""
        native: DataFrame = frame.to_native()
        native.persist()
        try:
            for part in range(parts):
                mine = sf.pmod(sf.xxhash64(by), sf.lit(parts)) == part
                yield self.arrays(nw.from_native(native.filter(mine)))
        except (PySparkException, Py4JError) as error:
            raise explained(error, "") from error
        finally:
            native.unpersist()


def jdbc_options(url: str) -> dict[str, str]:
    """`postgresql://user:password@host:port/database?sslmode=...` in JDBC's words. Raises
    ConfigurationError for what is no such URL."""
    parts = urlsplit(url)
    if parts.scheme.split("+")[0] != "postgresql" or not parts.hostname:
        raise ConfigurationError(
            "history.url: it names no PostgreSQL database.",
            cure="Write postgresql://user:password@host:5432/database.",
        )
    options = {**dict(parse_qsl(parts.query)), "options": "-c TimeZone=UTC"}
    place = f"{parts.hostname}:{parts.port or PORT}{parts.path}"
    return {
        "url": f"jdbc:postgresql://{place}?{urlencode(options)}",
        "driver": "org.postgresql.Driver",
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "fetchsize": str(FETCHED_AT_ONCE),
    }


def explained(error: BaseException, url: str) -> BackendUnavailable | InvalidInput:
    """Spark's error in our words; what the server said follows its own "ERROR:"."""
    place = urlsplit(url).hostname or "the database"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = next((line for line in lines if "ERROR: " in line or "FATAL: " in line), "")
    for mark in ("FATAL: ", "ERROR: "):
        said = said.rpartition(mark)[2]
    if any(words in said for words in _REFUSED):
        return InvalidInput(
            f"{place} refuses the query: {said}.", cure="Check the names in [history]."
        )
    return BackendUnavailable(
        f"{place} cannot be read: {said or _first(lines)}.",
        cure="Check that it runs, and NEXTUP_HISTORY__URL.",
    )


def _first(lines: list[str]) -> str:
    found = next((line for line in lines if "PSQLException" in line), lines[0] if lines else "")
    return found.rpartition("PSQLException: ")[2].rstrip(".")

"""Factor models trained by Spark's MLlib, over as many executors as there are."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

from nextup.adapters.engine.spark_core import SparkCore
from nextup.domain.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.ports.engine import Factorization

_TOUCHES_PER_BLOCK: Final = 500_000  # of the matrix: some seconds of an iteration
_FEWEST_BLOCKS: Final = 2
_ITERATIONS_PER_CHECKPOINT: Final = 3  # longer plans overflow the stack of a JVM that reads them
_alone: Final = threading.Lock()  # the folder for checkpoints is the whole process's
_USER, _ITEM, _VALUE = "user", "item", "value"


class SparkFactorization(SparkCore):
    """The part of the Spark engine that trains: SupportsFactorization."""

    def factorize(
        self, problem: Factorization, seed: int
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """How the matrix is cut depends on its size alone: a larger cluster finds the same.

        An executor that is lost takes shuffle files with it; Spark makes them again from the last
        checkpoint. One training at a time in this process: the others wait.
        """
        kept = problem.kept
        users = problem.users
        if kept is not None and kept.people is not None:
            users = kept.people[users]
        columns = [users, problem.items, problem.values.astype(np.float32)]
        with _alone, self._explained(), self._training_folder():
            touches = self._session.createDataFrame(pa.table(columns, [_USER, _ITEM, _VALUE]))
            fitted = _als(problem, seed).fit(touches)
            if kept is not None:
                fitted.write().overwrite().save(kept.place)
            return _vectors(fitted.itemFactors.toArrow(), problem.factors)

    @contextmanager
    def _training_folder(self) -> Iterator[None]:
        """A folder that all executors reach, of the settings or beside the lake's tables; gone at
        the end. On Spark Connect it is the server's: `spark.checkpoint.dir`."""
        if not isinstance(self._session, SparkSession):
            yield
            return
        context = self._session.sparkContext
        lake = self._place(Table.USER_VECTORS).rsplit("/", 2)[0]
        place = self._settings.spark.training_folder or f"{lake}/_training"
        folder = f"{place.rstrip('/')}/{uuid4().hex}"
        context.setCheckpointDir(folder)
        try:
            yield
        finally:
            path = context._jvm.org.apache.hadoop.fs.Path(folder)  # type: ignore[union-attr]
            path.getFileSystem(context._jsc.hadoopConfiguration()).delete(path, True)


def _als(problem: Factorization, seed: int) -> ALS:
    blocks = max(_FEWEST_BLOCKS, len(problem.values) // _TOUCHES_PER_BLOCK)
    return ALS(
        rank=problem.factors,
        maxIter=problem.iterations,
        regParam=problem.regularization,
        implicitPrefs=problem.alpha is not None,
        alpha=1.0 if problem.alpha is None else problem.alpha,
        userCol=_USER,
        itemCol=_ITEM,
        ratingCol=_VALUE,
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        seed=seed,
        checkpointInterval=_ITERATIONS_PER_CHECKPOINT,
    )


def _vectors(found: pa.Table, factors: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    items = found["id"].to_numpy()
    flat = found["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = flat.astype(np.float32, copy=False).reshape(-1, factors)
    order = np.argsort(items)
    return items[order], vectors[order]

"""The libraries that ours is trained against: each a function that makes a fit of so many epochs.

All minimise the same objective, but for Spark, which scales its L2 weight by a row's touches.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from nextup.algorithms.models.als import ImplicitALS

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextup.algorithms.interactions import Interactions

    Vectors = tuple[np.ndarray, np.ndarray]
    Fit = Callable[[int], Vectors]

OUR_RELAXATION = ImplicitALS().relaxation  # 1 would be exact alternation
UNOBSERVED = 0.1  # weight of an unseen pair beside a seen one's 1.1
SPARK_MEMORY = "10g"  # of the one process that is driver and executor


def ours(
    train: Interactions,
    factors: int,
    l2: float,
    threads: int,
    relaxation: float = OUR_RELAXATION,
) -> Fit:
    def fit(epochs: int) -> Vectors:
        config = ImplicitALS(
            factors=factors,
            regularization=l2,
            unobserved_weight=UNOBSERVED,
            frequency_exponent=0.0,
            confidence=True,
            iterations=epochs,
            relaxation=relaxation,
            threads=threads,
        )
        model = config.fit(train, seed=1)
        return model.user_factors, model.item_factors

    return fit


def implicit(train: Interactions, factors: int, l2: float, threads: int) -> Fit:
    from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    matrix = as_matrix(train) * np.float32(1 + 1 / UNOBSERVED)  # its unit: an unseen pair's weight

    def fit(epochs: int) -> Vectors:
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=l2 / UNOBSERVED,
            alpha=1.0,
            iterations=epochs,
            num_threads=threads,
            random_state=1,
        )
        with threadpool_limits(1, "blas"):  # as it asks for: its own threads call BLAS
            model.fit(matrix, show_progress=False)
        return model.user_factors, model.item_factors

    return fit


def irspack(train: Interactions, factors: int, l2: float, threads: int) -> Fit:
    from irspack import IALSRecommender  # noqa: PLC0415

    matrix = as_matrix(train)
    logging.getLogger("irspack").setLevel(logging.ERROR)
    no_bar = contextlib.redirect_stderr(io.StringIO())

    def fit(epochs: int) -> Vectors:
        model = IALSRecommender(
            matrix,
            n_components=factors,
            alpha0=UNOBSERVED,
            reg=l2,
            nu=0.0,
            loss_type="ORIGINAL",
            solver_type="CG",
            n_threads=threads,
            train_epochs=epochs,
            random_seed=1,
        )
        with contextlib.redirect_stdout(io.StringIO()), no_bar:
            model.learn()
        return model.get_user_embedding(), model.get_item_embedding()

    return fit


def spark(train: Interactions, factors: int, l2: float, threads: int) -> Fit:
    """MLlib on as many cores; the data is read and cached before the clock starts."""
    import polars as pl  # noqa: PLC0415
    from pyspark.ml.recommendation import ALS  # noqa: PLC0415
    from pyspark.sql import SparkSession  # noqa: PLC0415

    session = (
        SparkSession.builder.master(f"local[{threads}]")
        .config("spark.driver.memory", SPARK_MEMORY)
        .config("spark.ui.enabled", "false")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "touches.parquet"
        columns = {"user": train.users(), "item": train.items, "rating": train.weights}
        pl.DataFrame(columns).write_parquet(file)
        touches = session.read.parquet(str(file)).repartition(threads).cache()
        touches.count()
    mean_touches = len(train) * (1 / train.n_users + 1 / train.n_items) / 2
    weight = 1 / UNOBSERVED  # a seen pair's weight is 1 + alpha

    def fit(epochs: int) -> Vectors:
        model = ALS(
            rank=factors,
            maxIter=epochs,
            regParam=l2 / UNOBSERVED / mean_touches,
            alpha=weight,
            implicitPrefs=True,
            numUserBlocks=threads,
            numItemBlocks=threads,
            seed=1,
            userCol="user",
            itemCol="item",
            ratingCol="rating",
        ).fit(touches)
        return (
            _spark_vectors(model.userFactors, train.n_users, factors),
            _spark_vectors(model.itemFactors, train.n_items, factors),
        )

    return fit


def _spark_vectors(frame: object, rows: int, factors: int) -> np.ndarray:
    vectors = np.zeros((rows, factors), np.float32)
    for row in frame.toLocalIterator():
        vectors[row["id"]] = row["features"]
    return vectors


def as_matrix(train: Interactions) -> csr_matrix:
    return csr_matrix(
        (train.weights, train.items, train.indptr), shape=(train.n_users, train.n_items)
    )


MAKERS: dict[str, Callable[[Interactions, int, float, int], Fit]] = {
    "implicit": implicit,
    "irspack": irspack,
    "spark": spark,
}

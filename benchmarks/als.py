"""Training: seconds to the NDCG@100 that `implicit` ends with after 15 iterations.

The same objective for all (Hu et al., constant regularisation), two threads, each library with
its fastest solver. Of ours and of irspack the fewest epochs that reach the quality are searched
first, then everybody is timed in turns.

    python -m benchmarks.als [--data goodbooks gowalla 5 20] [--factors 64 128 256] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment

import numpy as np
from scipy.sparse import csr_matrix

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.lists import topk
from nextup.algorithms.models.als import ImplicitALS

if TYPE_CHECKING:
    from collections.abc import Callable

UNOBSERVED = 0.1  # weight of an unseen pair beside a seen one's 1.1
REGULARIZATION = {"gowalla 1M": 0.5}  # where quality still rises after many epochs
USUAL_REGULARIZATION = 5.0
EPOCHS_TRIED = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40)
IMPLICIT_ITERATIONS = 15
EVALUATED_PEOPLE = 10_000
GOALS = {"implicit": {64: 12.0, 128: 9.0, 256: 7.0}, "irspack": {64: 6.0, 128: 6.0, 256: 6.0}}
SMALL = 2_000_000  # touches; below, a third of the goals


def ours(train: Interactions, factors: int, l2: float, threads: int) -> Callable[[int], object]:
    def fit(epochs: int) -> tuple[np.ndarray, np.ndarray]:
        config = ImplicitALS(
            factors=factors,
            regularization=l2,
            unobserved_weight=UNOBSERVED,
            frequency_exponent=0.0,
            confidence=True,
            iterations=epochs,
            threads=threads,
        )
        model = config.fit(train, seed=1)
        return model.user_factors, model.item_factors

    return fit


def implicit_als(
    train: Interactions, factors: int, l2: float, threads: int
) -> Callable[[int], object]:
    from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    matrix = _matrix(train) * np.float32(1 + 1 / UNOBSERVED)  # its unit is an unseen pair's weight

    def fit(epochs: int) -> tuple[np.ndarray, np.ndarray]:
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


def irspack_als(
    train: Interactions, factors: int, l2: float, threads: int
) -> Callable[[int], object]:
    from irspack import IALSRecommender  # noqa: PLC0415

    matrix = _matrix(train)
    logging.getLogger("irspack").setLevel(logging.ERROR)
    no_bar = contextlib.redirect_stderr(io.StringIO())

    def fit(epochs: int) -> tuple[np.ndarray, np.ndarray]:
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


def _matrix(train: Interactions) -> csr_matrix:
    return csr_matrix(
        (train.weights, train.items, train.indptr), shape=(train.n_users, train.n_items)
    )


def quality(vectors: tuple[np.ndarray, np.ndarray], data: harness.Split) -> float:
    """NDCG@100 over the first people with something to find; the order of people is random."""
    people = np.flatnonzero(np.diff(data.test.indptr))[:EVALUATED_PEOPLE]
    seen, test = (_rows(part, people) for part in (data.train, data.test))
    users, items = (np.asarray(side, np.float32) for side in vectors)
    return harness.ndcg(topk.best_products(users[people], items, 100, seen=seen).items, test)


def _rows(touches: Interactions, people: np.ndarray) -> Interactions:
    spans = [slice(*touches.indptr[person : person + 2]) for person in people]
    items = np.concatenate([touches.items[span] for span in spans])
    indptr = np.cumsum([0] + [span.stop - span.start for span in spans])
    empty = np.zeros(len(items), np.float32)
    return Interactions(indptr, items, empty, empty.astype(np.int64), touches.n_items)


def fewest_epochs(fit: Callable[[int], object], data: harness.Split, target: float) -> int | None:
    """The shortest training that reaches the target; None where 40 epochs are not enough."""
    for epochs in EPOCHS_TRIED:
        if quality(fit(epochs), data) >= target:
            return epochs
    return None


def compare(data: harness.Split, factors: int, options: argparse.Namespace) -> list[harness.Row]:
    makers = {"implicit": implicit_als, "irspack": irspack_als}
    l2 = REGULARIZATION.get(data.name, USUAL_REGULARIZATION)
    fits = {"ours": ours(data.train, factors, l2, options.threads)}
    for name in options.rivals:
        try:
            fits[name] = makers[name](data.train, factors, l2, options.threads)
        except ImportError:
            harness.say(f"{name} is not installed: left out")
    if "implicit" in fits:
        target = quality(fits["implicit"](IMPLICIT_ITERATIONS), data)
    else:
        target = quality(fits["ours"](10), data) * 0.995
    epochs = {"implicit": IMPLICIT_ITERATIONS}
    for name in fits.keys() - {"implicit"}:
        epochs[name] = fewest_epochs(fits[name], data, target)
    harness.say(f"{data.name} k={factors}: NDCG@100 {target:.4f}, epochs {epochs}")
    if epochs["ours"] is None:
        harness.say("ours does not reach that quality in 40 epochs")
        return []
    seconds = harness.alternate(
        {name: lambda n=name: fits[n](epochs[n]) for name in fits if epochs[name]},
        options.rounds,
        cpu_time=options.cpu_time,
    )
    share = 1 if len(data.train) > SMALL else 1 / 3
    return [
        harness.row(
            f"train {data.name}, k = {factors}, seconds to NDCG@100 {target:.4f} vs {name}",
            seconds["ours"],
            seconds[name],
            name,
            round(GOALS[name].get(factors, 6.0) * share, 2),
        )
        for name in seconds
        if name != "ours"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["goodbooks", "gowalla", "5"])
    parser.add_argument("--factors", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--rivals", nargs="*", default=["implicit", "irspack"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="processor, not wall seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name in options.data:
        if not (name.isdigit() or harness.DATA.exists()):
            harness.say(f"{name}: no {harness.DATA}, left out")
            continue
        data = harness.data_set(name)
        for factors in options.factors:
            rows += compare(data, factors, options)
    harness.report(rows, as_json=options.json)


if __name__ == "__main__":
    main()

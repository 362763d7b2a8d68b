"""Training: seconds to the NDCG@100 that `implicit` ends with after 15 iterations.

The same objective for all (Hu et al., constant regularisation), two threads, each library with
its fastest solver. Of ours and of irspack the fewest epochs that reach the quality are searched
first, then everybody is timed in turns. Spark MLlib is too slow to be searched: it is timed for as
many iterations as exact alternation takes, which is what it does; ours without over-relaxation
tells how many these are, but never more than implicit's 15, or than `--spark-most`: with fewer it
has not yet come to the quality, and the ratio is a lower bound.

    python -m benchmarks.als [--data goodbooks gowalla] [--sizes 5 20 100] [--factors 64 128 256]
                             [--rivals implicit irspack spark] [--record] [--json]

`--sizes` are generated sets of MovieLens-20M's shape, in millions of touches. Without arguments it
ends within a quarter of an hour on two cores; 20 takes an hour and 100 several.
"""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment

import numpy as np
from benchmarks import _als_rivals as rivals

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.lists import topk

if TYPE_CHECKING:
    from collections.abc import Callable

REGULARIZATION = {"gowalla 1M": 0.5}  # where quality still rises after many epochs
USUAL_REGULARIZATION = 5.0
EPOCHS_TRIED = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40)
IMPLICIT_ITERATIONS = 15
EVALUATED_PEOPLE = 10_000
GOALS = {
    "implicit": {64: 12.0, 128: 9.0, 256: 7.0},
    "irspack": {64: 6.0, 128: 6.0, 256: 6.0},
    "spark": {64: 100.0, 128: 100.0, 256: 100.0},
}
SMALL = 2_000_000  # touches; below, a third of the goals


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


def l2_of(data: harness.Split) -> float:
    """The L2 weight that all share."""
    return REGULARIZATION.get(data.name, USUAL_REGULARIZATION)


def contestants(
    data: harness.Split, factors: int, options: argparse.Namespace
) -> dict[str, rivals.Fit]:
    """Ours and every rival that is installed."""
    l2 = l2_of(data)
    fits = {"ours": rivals.ours(data.train, factors, l2, options.threads)}
    for name in options.rivals:
        try:
            fits[name] = rivals.MAKERS[name](data.train, factors, l2, options.threads)
        except ImportError:
            harness.say(f"{name} is not installed: left out")
    return fits


def epochs_of_each(
    fits: dict[str, rivals.Fit],
    data: harness.Split,
    target: float,
    factors: int,
    options: argparse.Namespace,
) -> dict[str, int | None]:
    """How many epochs each takes to the quality; None: it does not reach it."""
    epochs: dict[str, int | None] = {"ours": fewest_epochs(fits["ours"], data, target)}
    if "implicit" in fits:
        epochs["implicit"] = IMPLICIT_ITERATIONS
    if "irspack" in fits:
        epochs["irspack"] = fewest_epochs(fits["irspack"], data, target)
    if "spark" in fits:
        plain = rivals.ours(data.train, factors, l2_of(data), options.threads, relaxation=1.0)
        exact = fewest_epochs(plain, data, target)
        epochs["spark"] = min(exact or options.spark_most, options.spark_most)
    return epochs


def timed(
    fits: dict[str, rivals.Fit], epochs: dict[str, int | None], options: argparse.Namespace
) -> dict[str, float]:
    """The median seconds of each that reaches the quality, run in turns."""
    runs = {name: lambda n=name: fits[n](epochs[n]) for name in fits if epochs[name]}
    return harness.alternate(runs, options.rounds, cpu_time=options.cpu_time)


def reference(
    fits: dict[str, rivals.Fit], data: harness.Split, options: argparse.Namespace
) -> tuple[float, dict[str, float]]:
    """The quality to reach, and what that training took, which need not run twice for one round."""
    if "implicit" not in fits:
        return quality(fits["ours"](10), data) * 0.995, {}
    made: list[tuple[np.ndarray, np.ndarray]] = []
    run = {"implicit": lambda: made.append(fits["implicit"](IMPLICIT_ITERATIONS))}
    seconds = harness.alternate(run, 1, cpu_time=options.cpu_time)
    return quality(made[0], data), seconds if options.rounds == 1 else {}


def compare(data: harness.Split, factors: int, options: argparse.Namespace) -> list[harness.Row]:
    fits = contestants(data, factors, options)
    target, known = reference(fits, data, options)
    epochs = epochs_of_each(fits, data, target, factors, options)
    harness.say(f"{data.name} k={factors}: NDCG@100 {target:.4f}, epochs {epochs}")
    if epochs["ours"] is None:
        harness.say("ours does not reach that quality in 40 epochs")
        return []
    others = {name: fit for name, fit in fits.items() if name not in known}
    seconds = known | timed(others, epochs, options)
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
    parser.add_argument("--data", nargs="*", default=["goodbooks", "gowalla"])
    parser.add_argument("--sizes", nargs="*", type=int, default=[5], help="generated millions")
    parser.add_argument("--factors", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--rivals", nargs="*", default=list(rivals.MAKERS))
    parser.add_argument("--spark-most", type=int, default=IMPLICIT_ITERATIONS)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="processor, not wall seconds")
    harness.add_output_options(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name in [*options.data, *map(str, options.sizes)]:
        if not (name.isdigit() or harness.DATA.exists()):
            harness.say(f"{name}: no {harness.DATA}, left out")
            continue
        data = harness.data_set(name)
        for factors in options.factors:
            rows += compare(data, factors, options)
    harness.publish(rows, options)


if __name__ == "__main__":
    main()

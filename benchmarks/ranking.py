"""Ranking: everyone's top 100, one person's list, and folding one person in.

    python -m benchmarks.ranking [--people 20000] [--items 27000] [--factors 64 128 256] [--json]

The rival of ranking everyone is the plain matrix product of the same shapes, which selects
nothing, and `implicit` where it is installed. Vectors are trained, not random: how far an item's
norm and a person's taste go decides what can be skipped.
"""

from __future__ import annotations

import argparse
import timeit
import warnings

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment

import numpy as np
from scipy.sparse import csr_matrix

from nextup.algorithms.interactions import History, Interactions
from nextup.algorithms.lists import topk
from nextup.algorithms.models.als import FactorModel, ImplicitALS

LIMIT = 100
FOLD_IN_GOALS = {64: 20e-6, 128: 40e-6, 256: 60e-6}  # seconds for a history of 100 items
ONE_PERSON_GOAL = 2e-3  # seconds for 60,000 items with rules
BLOCK = 2048  # people in a block of the plain product: its result stays in the cache's reach


def everyone(train: Interactions, model: FactorModel, options: argparse.Namespace) -> list:
    users, items = np.ascontiguousarray(model.user_factors), model.item_factors
    product = np.empty((BLOCK, len(items)), np.float32)

    def sgemm() -> None:
        for first in range(0, len(users), BLOCK):
            block = users[first : first + BLOCK]
            np.matmul(block, items.T, out=product[: len(block)])

    def ours() -> None:
        topk.best_products(users, items, LIMIT, seen=train, threads=options.threads)

    contestants = {"ours": ours, "sgemm": sgemm}
    goals = {"sgemm": 1.0, "implicit": 5.0}
    try:
        from implicit.cpu.topk import topk as implicit_topk  # noqa: PLC0415
    except ImportError:
        harness.say("implicit is not installed: left out")
    else:
        seen = csr_matrix(
            (train.weights, train.items, train.indptr), shape=(train.n_users, train.n_items)
        )
        contestants["implicit"] = lambda: implicit_topk(
            items, users, LIMIT, filter_query_items=seen, num_threads=options.threads
        )
    seconds = harness.alternate(contestants, options.rounds, cpu_time=options.cpu_time)
    shape = f"{len(users)} x {len(items)}, k = {model.factors}"
    return [
        harness.row(
            f"top {LIMIT} of everyone, {shape} vs {name}",
            seconds["ours"],
            seconds[name],
            name,
            goals[name],
        )
        for name in ("sgemm", "implicit")
        if name in seconds
    ]


def one_person(factors: int, options: argparse.Namespace) -> list:
    rng = np.random.default_rng(0)
    history = History(
        np.sort(rng.choice(60_000, 100, replace=False)).astype(np.int32),
        np.ones(100, np.float32),
        np.arange(100),
    )
    others = Interactions.from_pairs(
        rng.integers(0, 4000, 600_000),
        rng.integers(0, 60_000, 600_000),
        n_users=4000,
        n_items=60_000,
    )
    model = ImplicitALS(factors=factors, iterations=2, threads=options.threads).fit(others)
    pinned_out = rng.choice(60_000, 500, replace=False).astype(np.int32)

    def fold_in() -> None:
        model.user_vector(history)

    def shelf() -> None:
        scores = model.score(history)
        topk.best(scores, LIMIT, excluded=np.concatenate((history.items, pinned_out)))

    clock = timeit.default_timer
    taken = min(timeit.repeat(fold_in, timer=clock, number=200, repeat=20)) / 200
    listed = min(timeit.repeat(shelf, timer=clock, number=5, repeat=20)) / 5
    goal = FOLD_IN_GOALS.get(factors, FOLD_IN_GOALS[256])
    return [
        harness.row(f"fold in 100 items, k = {factors}, best of 20", taken, goal, "the goal", 1.0),
        harness.row(
            f"score 60,000 items with rules, k = {factors}, best of 20",
            listed,
            ONE_PERSON_GOAL,
            "the goal",
            1.0,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="5", help="goodbooks, gowalla or generated millions")
    parser.add_argument("--factors", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--people", type=int, default=20_000, help="ranked, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="processor, not wall seconds")
    harness.add_output_options(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    train = harness.data_set(options.data).train
    end = train.indptr[min(options.people, train.n_users)]
    ranked = Interactions(
        train.indptr[: options.people + 1],
        train.items[:end],
        train.weights[:end],
        train.times[:end],
        train.n_items,
    )
    rows = []
    for factors in options.factors:
        model = ImplicitALS(factors=factors, iterations=4, threads=options.threads).fit(ranked)
        rows += everyone(ranked, model, options)
        rows += one_person(factors, options)
    harness.publish(rows, options)


if __name__ == "__main__":
    main()

"""How training grows with the data: `python -m benchmarks.growth [--json]`.

Each size is generated in one process and trained in another, whose memory is that of training
alone. Time per interaction is held against that of the smallest size (a ratio of 1 is linear
growth); peak memory, the interactions included but not the interpreter and its libraries, against
three times the interactions' own arrays.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment

import numpy as np

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models.als import ImplicitALS

EPOCHS = 3
ALLOWANCE = 3.0  # peak memory may be so many times the interactions' own
LINEAR = 0.9  # a ratio that noise cannot tell from linear growth
PARTS = ("indptr", "items", "weights", "times")


def generate(millions: int, folder: Path) -> None:
    """Interactions as plain arrays in files."""
    train = harness.generated(millions).train
    for part in PARTS:
        np.save(folder / part, getattr(train, part))
    np.save(folder / "n_items", train.n_items)


def measure(folder: Path, factors: int, threads: int) -> dict[str, float]:
    """Load and train: how long it took, and how much memory the process got for it."""
    ImplicitALS(factors=factors, iterations=1).fit(
        Interactions.from_pairs([0, 1], [0, 1], n_users=2, n_items=2)
    )  # brings in what is brought in lazily
    before = _peak()
    indptr, items, weights, times = (np.load(folder / f"{part}.npy") for part in PARTS)
    train = Interactions(indptr, items, weights, times, int(np.load(folder / "n_items.npy")))
    started = time.perf_counter()
    ImplicitALS(factors=factors, iterations=EPOCHS, threads=threads).fit(train)
    seconds = time.perf_counter() - started
    own = sum(part.nbytes for part in (indptr, items, weights, times))
    return {"seconds": seconds, "peak": _peak() - before, "own": own, "touches": len(train)}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_processes(millions: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth"]
    command += ["--factors", str(options.factors), "--threads", str(options.threads)]
    with tempfile.TemporaryDirectory() as folder:
        made = [*command, "--folder", folder, "--generate", str(millions)]
        subprocess.run(made, check=True)
        measured = [*command, "--folder", folder]
        done = subprocess.run(measured, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", nargs="+", type=int, default=[1, 5, 20])
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="one size in this process, for the benchmark")
    parser.add_argument("--generate", type=int, help="only write the folder, for the benchmark")
    harness.add_output_options(parser)
    options = parser.parse_args()
    if options.generate:
        generate(options.generate, options.folder)
        return
    if options.folder:
        print(json.dumps(measure(options.folder, options.factors, options.threads)))
        return
    rows, first = [], 0.0
    for millions in options.millions:
        harness.say(f"growth: {millions} M")
        found = in_processes(millions, options)
        each = found["seconds"] / found["touches"] * 1e9
        first = first or each
        rows += [
            harness.row(
                f"nanoseconds per touch, {millions} M", each, first, "the smallest size", LINEAR
            ),
            harness.row(
                f"peak bytes for training, {millions} M",
                found["peak"],
                ALLOWANCE * found["own"],
                f"{ALLOWANCE:g} times the interactions",
                1.0,
            ),
        ]
    harness.publish(rows, options)


if __name__ == "__main__":
    main()

"""How training grows with the data: `python -m benchmarks.growth [--json]`.

Each size is trained in a process of its own. Time per interaction is held against that of the
smallest size (a ratio of 1 is linear growth), peak memory against three times the interactions'
own arrays.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

from benchmarks import _harness as harness

from nextup.algorithms.models.als import ImplicitALS

EPOCHS = 3
ALLOWANCE = 3.0  # peak memory may be so many times the interactions' own
LINEAR = 0.9  # a ratio that noise cannot tell from linear growth


def measure(millions: int, factors: int, threads: int) -> dict[str, float]:
    """Generate, then train: how long it took, and the most memory the process ever had."""
    train = harness.generated(millions).train
    started = time.perf_counter()
    als = ImplicitALS(
        factors=factors, iterations=EPOCHS, warm_up=0, threads=threads, keep_users=False
    )
    als.fit(train)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    own = sum(part.nbytes for part in (train.indptr, train.items, train.weights, train.times))
    return {"seconds": seconds, "peak": peak, "own": own, "touches": len(train)}


def in_a_process(millions: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", "--measure", str(millions)]
    command += ["--factors", str(options.factors), "--threads", str(options.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", nargs="+", type=int, default=[1, 5, 20])
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure", type=int, help="one size in this process, for the benchmark")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.factors, options.threads)))
        return
    rows, first = [], 0.0
    for millions in options.millions:
        harness.say(f"growth: {millions} M")
        found = in_a_process(millions, options)
        each = found["seconds"] / found["touches"] * 1e9
        first = first or each
        rows += [
            harness.row(
                f"nanoseconds per touch, {millions} M", each, first, "the smallest size", LINEAR
            ),
            harness.row(
                f"peak bytes, {millions} M",
                found["peak"],
                ALLOWANCE * found["own"],
                f"{ALLOWANCE:g} times the interactions",
                1.0,
            ),
        ]
    harness.report(rows, as_json=options.json)


if __name__ == "__main__":
    main()

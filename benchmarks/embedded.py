"""The embedded platform as a whole: `python -m benchmarks.embedded [--json]`.

Real commands in processes of their own, on a fresh folder: the start of the command line, and the
way from a data set's file to ranked lists for everybody. Held against the budgets that the project
gave itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import _harness as harness

BUDGETS = {"ml-latest-small": 10.0, "goodbooks-10k": 60.0}  # seconds from file to lists for all
START_BUDGET = 0.3  # seconds for `nextup --help`
COMMANDS = {"ml-latest-small": "movielens", "goodbooks-10k": "goodbooks"}


def nextup(*arguments: str) -> None:
    """Run the real command; raises CalledProcessError when it fails."""
    code = "from nextup.entrypoints.cli.app import main; main()"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.DEVNULL)


def start(rounds: int) -> harness.Row:
    contestants = {
        "help": lambda: nextup("--help"),
        "python": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
    }

    def timed(run: object) -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    best = {name: min(timed(run) for _ in range(rounds)) for name, run in contestants.items()}
    harness.say(f"start: python itself takes {best['python']:.3f} s")
    return harness.row("nextup --help", best["help"], START_BUDGET, "the budget", 1.0)


def to_lists(name: str) -> list[harness.Row]:
    """Import, then the whole pipeline with its gate."""
    with tempfile.TemporaryDirectory() as folder:
        nextup("init", folder)
        started = time.perf_counter()
        nextup("ingest", COMMANDS[name], str(harness.DATA / f"{name}.zip"), "-C", folder)
        imported = time.perf_counter()
        nextup("pipeline", "run", "-C", folder)
        done = time.perf_counter()
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    harness.say(f"{name}: import {imported - started:.1f} s, {size / 1e6:,.0f} MB on disk")
    what = f"{name}: from the import to lists for all"
    return [harness.row(what, done - imported, BUDGETS[name], "the budget", 1.0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [start(options.rounds)]
    for name in options.data:
        if (harness.DATA / f"{name}.zip").exists():
            rows += to_lists(name)
        else:
            harness.say(f"{name} is not in {harness.DATA.name}; left out")
    harness.report(rows, as_json=options.json)


if __name__ == "__main__":
    main()

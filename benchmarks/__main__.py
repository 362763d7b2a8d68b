"""Every benchmark, one after the other, into benchmarks/RESULTS.md: `make bench`.

A missed goal is shown like a met one. `--quick` takes small sizes and one round, to see that
everything runs; its figures are not written down.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
PARTS: dict[str, list[str]] = {
    "embedded": [],
    "api": [],
    "als": [],
    "ranking": [],
    "growth": [],
    "quality": [],
    "reranking": [],
    "stores": [],
    "web": [],
    "engines": [],
}
QUICK: dict[str, list[str]] = {
    "embedded": ["--data", "ml-latest-small", "--rounds", "2"],
    "api": ["--seconds", "2", "--rounds", "1"],
    "als": ["--data", "1", "--factors", "64", "--rounds", "1"],
    "ranking": ["--data", "1", "--factors", "64", "--rounds", "1", "--people", "2000"],
    "growth": ["--millions", "1", "2"],
    "stores": ["--entries", "50000", "--events", "20000", "--reads", "300", "--rounds", "1"],
    "web": ["--rounds", "1", "--people", "300"],
    "engines": ["--millions", "1", "--alone", "0"],
}
HEADER = (
    "| what | ours | rival | rival's name | ratio | goal | met |",
    "|---|---|---|---|---|---|---|",
)
PACKAGES = ("nextup", "numpy", "scipy", "polars", "deltalake", "implicit", "irspack", "lightgbm")


def run(part: str, arguments: list[str]) -> list[dict[str, object]]:
    """One benchmark in a process of its own; its rows."""
    print(f"== {part}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"benchmarks.{part}", "--json", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return list(json.loads(done.stdout))


def page(results: dict[str, list[dict[str, object]]]) -> str:
    """The results as Markdown, by command, with what is needed to judge them."""
    lines = [
        "# Benchmarks",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {_processor()}, "
        f"Python {platform.python_version()}, {_versions()}.",
        "",
        "`make bench` makes this page. Ratios count, not seconds: how many times better we are "
        "than the rival, in one run, in turns. A missed goal stays on the page.",
    ]
    for part, rows in results.items():
        lines += [
            "",
            f"## {part}",
            "",
            "| what | ours | rival | rival's name | ratio | goal | met |",
        ]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [
            f"| {row['what']} | {row['ours']:.4g} | {row['rival']:.4g} | {row['rival_name']} "
            f"| {row['ratio']} | {row['goal']} | {'yes' if row['met'] else '**no**'} |"
            for row in rows
        ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"default: all of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes; writes nothing down")
    options = parser.parse_args()
    known = QUICK if options.quick else PARTS
    asked = {part: known.get(part, []) for part in options.parts or known}
    results = {" ".join([part, *given]): run(part, given) for part, given in asked.items()}
    text = page(results)
    if not options.quick:
        (HERE / "RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

"""What the benchmarks share: data, alternated timing, and one form for every result."""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # they can halve BLAS, for all rivals alike
    os.environ.pop(name, None)  # before NumPy reads them
# Programs that are started here find their bytecode, as an installed package's do: with this,
# Python would compile our sources at each start, and that is what would be measured.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import numpy as np  # noqa: E402

from nextup.algorithms.interactions import Interactions  # noqa: E402

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULTS = Path(__file__).with_name("RESULTS.md")


class Row(TypedDict):
    """One comparison; times in seconds, lower is better."""

    what: str
    ours: float
    rival: float
    rival_name: str
    ratio: float  # rival / ours: how many times better we are
    goal: float  # the ratio that was promised
    met: bool


def row(what: str, ours: float, rival: float, rival_name: str, goal: float) -> Row:
    """A result from two measured costs."""
    ratio = rival / ours
    return Row(
        what=what,
        ours=round(ours, 6),
        rival=round(rival, 6),
        rival_name=rival_name,
        ratio=round(ratio, 2),
        goal=goal,
        met=ratio >= goal,
    )


def quality_row(what: str, ours: float, rival: float, rival_name: str, goal: float) -> Row:
    """Quality is better when larger, so the ratio is ours by the rival's."""
    ratio = ours / rival
    return Row(
        what=what,
        ours=round(ours, 4),
        rival=round(rival, 4),
        rival_name=rival_name,
        ratio=round(ratio, 4),
        goal=round(goal, 4),
        met=ratio >= goal,
    )


def report(rows: Sequence[Row], *, as_json: bool) -> None:
    """Print the rows: one JSON list and nothing else, or a table."""
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    width = max((len(each["what"]) for each in rows), default=4)
    print(f"{'':{width}}  {'ours':>10}  {'rival':>10}  {'ratio':>7}  {'goal':>6}")
    for each in rows:
        verdict = "met" if each["met"] else "MISSED"
        print(
            f"{each['what']:{width}}  {each['ours']:10.4g}  {each['rival']:10.4g}  "
            f"{each['ratio']:7.2f}  {each['goal']:6.4g}  {verdict} ({each['rival_name']})"
        )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """How every benchmark may be asked to show its rows."""
    parser.add_argument("--json", action="store_true", help="one list of rows, and nothing else")
    parser.add_argument("--record", action="store_true", help="into RESULTS.md as well")


def publish(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Report the rows and, where asked, put them into the page of results under the command."""
    report(rows, as_json=options.json)
    if options.record:
        given = [each for each in sys.argv[1:] if each not in {"--record", "--json"}]
        command = " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *given])
        page = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Benchmarks\n"
        RESULTS.write_text(with_section(page, f"`{command}`", rows), encoding="utf-8")


def with_section(page: str, title: str, rows: Sequence[Row]) -> str:
    """The page with this section in the place of the one of the same title, or at its end."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    lines = [f"## {title}", "", f"{datetime.now(UTC):%Y-%m-%d}; load when it ended: {load}.", ""]
    lines += table(rows)
    start, *sections = page.rstrip("\n").split("\n## ")
    bodies = {section.partition("\n")[0]: section for section in sections}
    bodies[title] = "\n".join(lines).removeprefix("## ")
    return "\n\n## ".join([start.rstrip(), *(body.strip() for body in bodies.values())]) + "\n"


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as a table in Markdown, missed goals in bold."""
    return [
        "| what | ours | rival | rival's name | ratio | goal | met |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['what']} | {row['ours']:.4g} | {row['rival']:.4g} | {row['rival_name']} "
            f"| {row['ratio']} | {row['goal']} | {'yes' if row['met'] else '**no**'} |"
            for row in rows
        ),
    ]


def say(text: str) -> None:
    """Progress, on standard error so that standard output stays clean."""
    print(text, file=sys.stderr, flush=True)


def alternate(
    contestants: dict[str, Callable[[], object]], rounds: int, *, cpu_time: bool = False
) -> dict[str, float]:
    """The median seconds of each, run in turns so that a slow minute hits all alike.

    `cpu_time` counts the processor seconds of all threads: for machines that others use too.
    """
    clock = time.process_time if cpu_time else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            gc.collect()
            started = clock()
            run()
            seconds[name].append(clock() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


class Split(NamedTuple):
    """Touches to learn from and touches to find again."""

    name: str
    train: Interactions
    test: Interactions


def split(name: str, touches: Interactions, seed: int = 0, share: float = 0.2) -> Split:
    """Hold out a random share of all touches."""
    held_out = np.random.default_rng(seed).random(len(touches)) < share
    return Split(name, _part(touches, ~held_out), _part(touches, held_out))


def _part(touches: Interactions, chosen: np.ndarray) -> Interactions:
    before = np.concatenate(([0], np.cumsum(chosen)))
    return Interactions(
        before[touches.indptr],
        touches.items[chosen],
        touches.weights[chosen],
        touches.times[chosen],
        touches.n_items,
    )


def goodbooks() -> Split:
    """goodbooks-10k, every rating a touch."""
    with zipfile.ZipFile(DATA / "goodbooks-10k.zip") as archive:
        text = archive.read("goodbooks-10k/ratings.csv").decode()
    books, users, _ = np.array(
        [line.split(",") for line in text.splitlines()[1:]], dtype=np.int64
    ).T
    pairs = np.unique(np.stack([users - 1, books - 1], axis=1), axis=0)  # some occur twice
    shape = {"n_users": int(users.max()), "n_items": int(books.max())}
    return split("goodbooks 1M", Interactions.from_pairs(*pairs.T, **shape))


def gowalla() -> Split:
    """Gowalla in its published split."""
    with zipfile.ZipFile(DATA / "gowalla.zip") as archive:
        parts = [
            adjacency(archive.read(f"gowalla/{part}.txt").decode()) for part in ("train", "test")
        ]
    shape = {"n_users": 29_858, "n_items": 40_981}
    train, test = (Interactions.from_pairs(*pairs.T, **shape) for pairs in parts)
    return Split("gowalla 1M", train, test)


def adjacency(text: str) -> np.ndarray:
    """Pairs of person and item, (n, 2), from lines of one person and all their items."""
    lines = [np.array(line.split(), np.int64) for line in text.splitlines()]
    users = np.concatenate([np.full(len(line) - 1, line[0]) for line in lines])
    return np.stack([users, np.concatenate([line[1:] for line in lines])], axis=1)


def generated(millions: int, seed: int = 0) -> Split:
    """A set of MovieLens-20M's shape: its people and items, scaled by the root of the size.

    Activity and popularity are log-normal (a tenth of the items has three quarters of the touches),
    and everybody mixes a few of a hundred tastes, each a popularity of its own.
    """
    scale = (millions / 20) ** 0.5
    shape = {"n_users": int(138_493 * scale), "n_items": int(26_744 * scale)}
    touches = _many_touches(millions * 1_000_000, **shape, rng=np.random.default_rng(seed))
    return split(f"generated {millions}M", touches)


def _many_touches(
    nnz: int, n_users: int, n_items: int, rng: np.random.Generator, tastes: int = 100
) -> Interactions:
    activity = rng.lognormal(0, 1.1, n_users)
    drawn = rng.poisson(activity * nnz * 1.25 / activity.sum()) + 5  # a quarter repeats itself
    drawn = np.minimum(drawn, n_items // 3)
    mixtures = np.cumsum(rng.dirichlet(np.full(tastes, 0.03), n_users), axis=1)
    appeal = rng.normal(0, 1.4, n_items) + rng.normal(0, 2.4, (tastes, n_items))
    reach = np.cumsum(np.exp(appeal), axis=1)  # (tastes, n_items)
    indptr, parts = [0], []
    for first in range(0, n_users, 4096):
        counts = drawn[first : first + 4096]
        users = np.repeat(np.arange(len(counts)), counts)
        ladder = (
            mixtures[first : first + 4096] + np.arange(len(counts))[:, None]
        )  # ascends throughout
        taste = np.searchsorted(ladder.ravel(), users + rng.random(len(users))) - users * tastes
        items = np.empty(len(users), np.int64)
        for each in range(tastes + 1):  # one beyond where rounding leaves a sum below 1
            at = np.flatnonzero(taste == each)
            own = reach[min(each, tastes - 1)]
            items[at] = np.searchsorted(own, rng.random(len(at)) * own[-1], side="right")
        pairs = np.unique(users * n_items + items)
        parts.append((pairs % n_items).astype(np.int32))
        ends = np.cumsum(np.bincount(pairs // n_items, minlength=len(counts)))
        indptr.extend((indptr[-1] + ends).tolist())
    items = np.concatenate(parts)
    ones, zeros = np.ones(len(items), np.float32), np.zeros(len(items), np.int64)
    return Interactions(np.array(indptr), items, ones, zeros, n_items)


def data_set(name: str) -> Split:
    """By name: goodbooks, gowalla, or a number of generated millions."""
    if name == "goodbooks":
        return goodbooks()
    if name == "gowalla":
        return gowalla()
    return generated(int(name))


def ndcg(lists: np.ndarray, test: Interactions) -> float:
    """NDCG of ranked lists (people, limit), over the people with something to find."""
    limit = lists.shape[1]
    wanted = np.repeat(np.arange(test.n_users), np.diff(test.indptr)) * test.n_items + test.items
    listed = np.arange(test.n_users)[:, None] * test.n_items + lists
    hits = np.isin(listed, wanted) & (lists >= 0)
    discounts = 1 / np.log2(np.arange(limit) + 2)
    counts = np.diff(test.indptr)
    ideal = np.concatenate(([0], np.cumsum(discounts)))[np.minimum(counts, limit)]
    counted = counts > 0
    return float(((hits @ discounts)[counted] / ideal[counted]).mean())

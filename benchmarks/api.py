"""The HTTP API under load: `python -m benchmarks.api [--json]`. Needs wrk.

A platform with a 60,000-item model, its server and a bare ASGI app on the same server that returns
the same bytes, asked in turns by the same tool. Each caller shows a key. Costs are seconds per
request or event, so that a ratio says how many times better we are, as in every benchmark here.
Gorse's figures are quoted from what was measured on this kind of machine (2 cores, SQLite, its full
configuration); they are not measured here.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment
from benchmarks import _api_world as world_of

if TYPE_CHECKING:
    from benchmarks._api_world import Running, World

QUOTED = "Gorse 0.5.11, quoted"
GORSE_READS, GORSE_EVENTS, GORSE_FRESH = 822.0, 2_000.0, 45.0  # per second; seconds
CONNECTIONS = 32
BATCH = 1_000
EVENT_BYTES = 300  # of a row in the log, about
EVENTS_PER_SECOND = 200
START_GOAL, P99_GOAL, FRESH_GOAL = 2.0, 0.010, 0.050  # seconds
MEMORY_GOAL = 100e6  # bytes


def reading(world: World, folder: Path, seconds: int, rounds: int) -> list[harness.Row]:
    """Reads at steady state and reads that must compute, beside the bare app."""
    body = folder / "body.json"
    with world_of.nextup(world) as ours:
        body.write_bytes(ours.ask("GET", "/v1/users/u1/recommendations", world.key))
        with world_of.bare(body) as bare:
            hot, computed, floor = [], [], []
            for _ in range(rounds):
                script = world_of.reads(world.key)
                hot.append(world_of.load(ours.address, script, folder, seconds=seconds))
                floor.append(world_of.load(bare.address, script, folder, seconds=seconds))
                script = world_of.reads(world.key, "?exclude=item-%d")
                computed.append(world_of.load(ours.address, script, folder, seconds=seconds))
        peak = statistics.median(each.per_second for each in hot)
        plain = statistics.median(each.per_second for each in floor)
        slow = statistics.median(each.per_second for each in computed)
        pause = max(1, round(1000 * CONNECTIONS / (peak / 2)) - 1)
        script = world_of.reads(world.key, delay_ms=pause)
        world_of.load(ours.address, script, folder, seconds=4)  # what has expired is made
        half = world_of.load(ours.address, script, folder, seconds=seconds)
    harness.say(
        f"reads per second: {peak:,.0f} at steady state, {slow:,.0f} computed, {plain:,.0f} bare; "
        f"at {half.per_second:,.0f} the median is {half.p50 * 1000:.1f} ms; "
        f"errors {sum(each.errors for each in (*hot, *computed, half))}"
    )
    return [
        harness.row("read, steady state", 1 / peak, 1 / plain, "a bare ASGI app", 0.7),
        harness.row("read, computed", 1 / slow, 1 / plain, "a bare ASGI app", 0.3),
        harness.row("p99 of reads at half of the peak", half.p99, P99_GOAL, "the goal", 1.0),
        harness.row("read, 32 connections", 1 / peak, 1 / GORSE_READS, QUOTED, 10.0),
    ]


def taking_in(world: World, folder: Path, seconds: int) -> list[harness.Row]:
    """Durable events, one by one and in batches, beside appending and syncing a file."""
    with world_of.nextup(world) as ours:
        script = world_of.events(world.key)
        single = world_of.load(ours.address, script, folder, seconds=seconds)
        script = world_of.events(world.key, BATCH)
        batches = world_of.load(ours.address, script, folder, seconds=seconds, connections=4)
    harness.say(
        f"events per second: {single.per_second:,.0f} one by one (p99 {single.p99 * 1000:.0f} ms), "
        f"{batches.per_second * BATCH:,.0f} in batches; errors {single.errors + batches.errors}"
    )
    one, many = 1 / single.per_second, 1 / (batches.per_second * BATCH)
    raw_one, raw_many = raw(folder, CONNECTIONS), raw(folder, BATCH)
    return [
        harness.row("event, one by one", one, raw_one, f"append {CONNECTIONS} and fsync", 0.5),
        harness.row("event, in batches", many, raw_many, f"append {BATCH} and fsync", 0.5),
        harness.row("event, 32 connections", one, 1 / GORSE_EVENTS, QUOTED, 5.0),
        harness.row("p99 of single events", single.p99, 0.020, "the goal", 1.0),
    ]


def raw(folder: Path, group: int, rounds: int = 200) -> float:
    """Seconds per event, where so many are appended to a file and synced at a time."""
    rows = b"x" * (EVENT_BYTES * group)
    with (folder / "raw").open("ab") as file:
        taken = []
        for _ in range(rounds):
            started = time.perf_counter()
            file.write(rows)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) / group


def freshness(world: World, folder: Path, seconds: int) -> list[harness.Row]:
    """From the acknowledgement of a like to another answer, at 200 likes a second, while others
    read as fast as they can."""
    taken: list[float] = []
    with world_of.nextup(world) as ours:
        clients = 4
        threads = [
            threading.Thread(target=_like, args=(ours, world.key, n, clients, seconds, taken))
            for n in range(clients)
        ]
        for thread in threads:
            thread.start()
        meanwhile = world_of.load(
            ours.address, world_of.reads(world.key), folder, seconds=seconds, connections=8
        )
        for thread in threads:
            thread.join()
    taken.sort()
    p99 = taken[int(len(taken) * 0.99)]
    harness.say(
        f"freshness: median {1000 * statistics.median(taken):.1f} ms of {len(taken):,} likes in "
        f"{seconds} s, while {meanwhile.per_second:,.0f} reads per second were answered"
    )
    return [
        harness.row("p99 from a like to its answer", p99, FRESH_GOAL, "the goal", 1.0),
        harness.row(
            "from a like to its answer", statistics.median(taken), GORSE_FRESH, QUOTED, 1.0
        ),
    ]


def _like(
    ours: Running, key: str, number: int, clients: int, seconds: int, taken: list[float]
) -> None:
    host, port = ours.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    headers = {"X-API-Key": key, "Content-Type": "application/json"}

    def ask(method: str, path: str, body: object = None) -> dict[str, object]:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return dict(json.loads(connection.getresponse().read()))

    started = time.perf_counter()
    turn = 0
    while (due := started + turn * clients / EVENTS_PER_SECOND) < started + seconds:
        time.sleep(max(0.0, due - time.perf_counter()))
        user = f"fresh-{number}-{turn % 25}"
        path = f"/v1/users/{user}/recommendations?limit=5"
        before = ask("GET", path)["token"]
        item = f"item-{(turn * 13 + number * 7) % 3000}"
        ask("POST", "/v1/events", {"type": "like", "user_id": user, "item_id": item})
        acknowledged = time.perf_counter()
        while ask("GET", path)["token"] == before:
            pass
        taken.append(time.perf_counter() - acknowledged)
        turn += 1
    connection.close()


def starting(world: World, rounds: int) -> list[harness.Row]:
    """From the command to an answer, and what another worker costs."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        with world_of.nextup(world) as ours:
            ours.ask("GET", "/v1/users/u1/recommendations", world.key)
            taken.append(time.perf_counter() - started)
    with world_of.nextup(world, "--workers", "3") as ours:
        for _ in range(60):  # each worker gets to work
            ours.ask("GET", "/v1/users/u1/recommendations?limit=10", world.key)
        private = max(map(world_of.private_bytes, world_of.children(ours.process.pid)))
    what = "from the command to an answer, 60,000 items"
    return [
        harness.row(what, min(taken), START_GOAL, "the goal", 1.0),
        harness.row("bytes of another worker", float(private), MEMORY_GOAL, "the goal", 1.0),
    ]


PARTS = ("start", "read", "events", "fresh")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seconds", type=int, default=8, help="of load for each figure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[harness.Row] = []
    loaded = [part for part in options.parts if part != "start"]
    if loaded and not world_of.has_wrk():
        harness.say(f"wrk is not installed, so {loaded} are left out: apt-get install wrk")
        options.parts = [part for part in options.parts if part not in loaded]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "platform").mkdir()
        world = world_of.make_world(folder / "platform")
        if "start" in options.parts:
            rows += starting(world, options.rounds)
        if "read" in options.parts:
            rows += reading(world, folder, options.seconds, options.rounds)
        if "fresh" in options.parts:
            rows += freshness(world, folder, options.seconds)
        if "events" in options.parts:
            rows += taking_in(world, folder, options.seconds)
    harness.report(rows, as_json=options.json)


if __name__ == "__main__":
    main()

"""A platform to be asked, the servers over it, and the load: what `benchmarks.api` stands on."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import _harness as harness  # isort: skip  first: it cleans the environment

import numpy as np

from nextup.algorithms.interactions import Interactions
from nextup.algorithms.models import by_name as models
from nextup.bootstrap import open_platform
from nextup.domain.events import Event, EventType
from nextup.domain.items import Item
from nextup.domain.operations import ModelRecord
from nextup.services.access.accounts import Accounts
from nextup.services.artifacts import Artifact, save_artifact
from nextup.services.stream import OnlineUpdater
from nextup.settings import BLEND, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS, PEOPLE, TOUCHES = 60_000, 20_000, 600_000
ASKING = 50  # people who ask
TOML = "[lake]\ncollect_seconds = 0\n"
NEXTUP = "from nextup.entrypoints.cli.app import main; main()"
BARE = """
import sys
from pathlib import Path
from nextup.entrypoints.api.server import ApiServer

body = Path(sys.argv[1]).read_bytes()
headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]

async def app(scope, receive, send):
    while scope["type"] == "lifespan":
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

ApiServer(app, host="127.0.0.1", port=0).serve_until_stopped(
    lambda url: print("Serving on " + url + ";", flush=True)
)
"""
SERVING = re.compile(r"Serving on http://([^;\s]+);")
PATIENCE = 120  # seconds until a server counts as hanging


class World(NamedTuple):
    """A platform on disk and a key to it."""

    home: Path
    key: str


class Load(NamedTuple):
    """What wrk saw."""

    per_second: float
    p50: float  # seconds
    p99: float
    errors: int


def make_world(home: Path) -> World:
    """A catalogue of 60,000 items and a model that knows them all."""
    (home / "nextup.toml").write_text(TOML, encoding="utf-8")
    rng = np.random.default_rng(1)
    with open_platform(load_settings(home)) as platform:
        items = [
            Item(f"item-{n}", "item", f"The item number {n}", 1950 + n % 75, (f"genre{n % 20}",))
            for n in range(ITEMS)
        ]
        platform.catalog.put_items(items)
        drawn = (ITEMS * rng.random(TOUCHES) ** 3).astype(np.int64)  # a few are popular
        people = rng.integers(0, PEOPLE, TOUCHES)
        touches = Interactions.from_pairs(people, drawn, n_users=PEOPLE, n_items=ITEMS)
        made = {"popularity": {}, "als": {"factors": 64, "iterations": 2}, "item_item": {}}
        fitted = {
            name: models.component(name, **settings).fit(touches, seed=1)
            for name, settings in made.items()
        }
        now = datetime.now(UTC)
        ids = [item.item_id for item in items]
        save_artifact(platform.files, Artifact("bench", now, ids, fitted, {}, {}, BLEND))
        platform.control.save_model(ModelRecord("bench", now, "als"))
        platform.control.set_current_model("bench")
        platform.event_log.append(
            [
                Event(f"e{n}-{k}", EventType.LIKE, f"u{n}", f"item-{(n * 37 + k * 11) % 3000}", now)
                for n in range(ASKING)
                for k in range(20)
            ]
        )
        OnlineUpdater(platform.event_log, platform.online_state).apply_all()
        admin = Accounts(platform.clients, platform.settings).first_admin()
        assert admin is not None
        return World(home, admin.secret)


class Running(NamedTuple):
    """A server and where it is."""

    process: subprocess.Popen[str]
    address: str

    def ask(self, method: str, path: str, key: str, body: object = None) -> bytes:
        """One request on a connection of its own."""
        host, port = self.address.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content


@contextmanager
def running(program: str, *arguments: str) -> Iterator[Running]:
    """A Python program that says where it serves, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        found = None
        while found is None:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server did not start: {arguments}")
            found = SERVING.search(line)
        yield Running(process, found[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        process.stdout.close()


def nextup(world: World, *arguments: str):
    """`nextup serve` over the world."""
    return running(NEXTUP, "serve", "--port", "0", "-C", str(world.home), *arguments)


def bare(body: Path):
    """A bare ASGI app that answers with these bytes, on the same server."""
    return running(BARE, str(body))


def has_wrk() -> bool:
    """Whether the load tool is there."""
    return shutil.which("wrk") is not None


def load(address: str, script: str, folder: Path, *, seconds: int, connections: int = 32) -> Load:
    """What the server answers to wrk, whose requests the Lua script makes."""
    file = folder / "load.lua"
    file.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}",
            "--latency",
            "-s",
            str(file),
            f"http://{address}/",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return _read(done.stdout)


def _read(text: str) -> Load:
    def seconds(share: str) -> float:
        found = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", text)
        assert found is not None, text
        return float(found[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]

    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate is not None, text
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Load(float(rate[1]), seconds("50"), seconds("99"), int(wrong[1]) if wrong else 0)


def reads(key: str, query: str = "", *, delay_ms: int = 0) -> str:
    """A script: people ask in turns. `%d` in the query becomes a number that never comes again."""
    wait = f"function delay() return {delay_ms} end" if delay_ms else ""
    return f"""
local n = math.random(1, 1000) * 1000000
local key = {{["X-API-Key"] = "{key}"}}
{wait}
request = function()
  n = n + 1
  local path = "/v1/users/u" .. (n % {ASKING}) .. "/recommendations" .. string.format("{query}", n)
  return wrk.format("GET", path, key)
end
"""


def events(key: str, batch: int = 0) -> str:
    """A script: each request is a new event, or a batch of them."""
    one = (
        '\'{"type":"view","user_id":"w\' .. (n % 5000) .. \'","item_id":"item-\' .. (n % 60000)'
        ' .. \'","event_id":"\' .. run .. n .. \'"}\''
    )
    many = f"""
  local rows = {{}}
  for i = 1, {max(batch, 1)} do n = n + 1; rows[i] = {one} end
  return wrk.format("POST", "/v1/events/batch", head, "[" .. table.concat(rows, ",") .. "]")
"""
    single = f"""
  n = n + 1
  return wrk.format("POST", "/v1/events", head, {one})
"""
    return f"""
local n = 0
local run = "{time.time_ns()}-"
local head = {{["X-API-Key"] = "{key}", ["Content-Type"] = "application/json"}}
request = function()
{many if batch else single}
end
"""


def private_bytes(pid: int) -> int:
    """The memory of a process that no other process shares."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE)
    return sum(int(kilobytes) for kilobytes in found) * 1024


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


say = harness.say

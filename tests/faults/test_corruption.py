"""Damaged files: a clear line that names what is damaged, simpler answers where there can be
some, and everything else left as it is."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from tests.faults.load import SERVING, Server, ask
from tests.faults.looking import log_rows, opened
from tests.faults.processes import ROUNDS, SEED, Command, refused, run, succeed
from tests.faults.test_kill import PIPELINE

from nextup.domain.operations import ModelRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

pytestmark = pytest.mark.faults

T = TypeVar("T")

ROLLED_BACK = "damaged-on-arrival"


def scramble(path: Path) -> None:
    """Random bytes in the place of the middle quarter."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size * 3 // 8)
        file.write(random.Random(SEED).randbytes(max(1, size // 4)))


def behead(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(random.Random(SEED).randbytes(min(100, path.stat().st_size)))


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = {damage.__name__: damage for damage in (scramble, behead, truncate)}


def some(damages: Iterable[T], place: int) -> list[T]:
    """Every damage where time was given, and one in turn in `make test`."""
    every = list(damages)
    return every if ROUNDS else [every[place % len(every)]]


def only(home: Path, pattern: str) -> Path:
    """The largest file of the pattern."""
    return max(home.glob(pattern), key=lambda path: path.stat().st_size)


def content(home: Path) -> dict[str, str]:
    """Everything on the disk but the record of runs and what SQLite keeps while it is open."""
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name not in {"control.db", "lock"} and "-" not in path.suffix
    }


REFUSED = [
    ("data/events.db", [*PIPELINE, "--to", "collect"], "events.db"),
    ("data/catalog.db", [*PIPELINE, "--from", "refine", "--to", "refine"], "catalog.db"),
    ("data/control.db", ["model", "list"], "control.db"),
    ("data/lists.db", [*PIPELINE], "lists.db"),
    ("data/lake/silver/interactions/part-*.parquet", ["validate"], "silver.interactions: part-"),
    (
        "data/lake/silver/interactions/_delta_log/*4.json",
        [*PIPELINE, "--to", "refine"],
        "silver.interactions: _delta_log/",
    ),
    ("data/lake/gold/user_item/part-*.parquet", ["validate"], "gold.user_item: part-"),
    ("nextup.toml", ["model", "list"], "nextup.toml"),
]


@pytest.mark.parametrize(
    ("file", "command", "name", "damage"),
    [(*case, damage) for at, case in enumerate(REFUSED) for damage in some(DAMAGES, at)],
)
def test_damage_is_named(
    halfway: Path, file: str, command: list[str], name: str, damage: str
) -> None:
    """The command that needs the file says in one line what is damaged and what to do; it exits
    with 1, and changes neither the file nor any other."""
    DAMAGES[damage](only(halfway, file))
    before = content(halfway)
    done = run(halfway, *command)
    line = refused(done)
    assert done.code == 1
    assert name in line
    assert any(word in line for word in ("backup", "pipeline", "init")), line
    after = content(halfway)
    assert {name: after.get(name) for name in before} == before


MODELS = [
    "data/files/models/*/model.json",
    "data/files/models/*/items.json",
    "data/files/models/*/*/*.npy",
]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (file, damage)
        for at, file in enumerate(MODELS)
        for damage in some([behead, truncate, empty], at)
    ],
)
def test_a_damaged_model(halfway: Path, file: str, damage: Callable[[Path], None]) -> None:
    """People get their published lists, newcomers what is popular, and publishing says what is
    damaged."""
    damage(only(halfway, file))
    before = content(halfway)
    with opened(halfway) as platform:
        person = log_rows(platform)[0].user_id
        published = platform.recommendation_store.read(person)
        model_id = str(platform.control.current_model())
    assert published is not None
    shown = json.loads(succeed(halfway, "recommend", person, "--json").out)
    assert shown["level"] == "published"
    assert {item["item_id"] for item in shown["items"]} <= {
        item.item_id for item in published.items
    }
    assert json.loads(succeed(halfway, "recommend", "nobody", "--json").out)["items"]
    line = refused(run(halfway, "pipeline", "run", "--date", "2026-03-19", "--from", "publish"))
    assert model_id in line
    after = content(halfway)
    del after["data/state.db"], before["data/state.db"]  # served lists
    assert after == before


def test_a_server_without_its_model(halfway: Path) -> None:
    """A server whose next model is damaged keeps the one it has and says why; one that starts
    with a damaged model answers with the published lists."""
    with opened(halfway) as platform:
        person = log_rows(platform)[0].user_id
        current = str(platform.control.current_model())
        record = platform.control.model(current)
        assert record is not None
        platform.control.save_model(
            ModelRecord(ROLLED_BACK, record.created_at, record.component, passed=True)
        )
        with platform.files.replace_folder(f"models/{ROLLED_BACK}") as folder:
            (folder / "model.json").write_text("{")
    path = f"/v1/users/{person}/recommendations"
    with Server(halfway) as server:
        status, answer = ask(server.url, "GET", path)
        assert (status, answer["level"]) == (200, "fresh")
        succeed(halfway, "model", "promote", ROLLED_BACK)
        for _ in range(200):
            ready = ask(server.url, "GET", "/readyz")[1]
            if ready["model_failure"]:
                break
        else:
            pytest.fail("the server did not notice")
        assert ROLLED_BACK in ready["model_failure"]
        status, answer = ask(server.url, "GET", path)
        assert (status, answer["level"]) == (200, "fresh")
        assert ready["model_id"] == current
        assert server.kill()
    with Server(halfway) as server:
        status, answer = ask(server.url, "GET", path)
        assert (status, answer["level"]) == (200, "published")
        succeed(halfway, "model", "rollback")
        for _ in range(200):
            if ask(server.url, "GET", "/readyz")[1]["model_id"] == current:
                break
        assert ask(server.url, "GET", path)[1]["level"] == "fresh"


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (file, damage)
        for at, file in enumerate(["data/lists.db", "data/state.db"])
        for damage in some(DAMAGES, at)
    ],
)
def test_a_store_that_is_damaged_under_a_server(halfway: Path, file: str, damage: str) -> None:
    """It is done without: people get an answer and events are taken in, none of which is lost.
    A server that is started on it answers likewise, or says in one line what is damaged."""
    with opened(halfway) as platform:
        rows = log_rows(platform)
    item_id = rows[0].item_id
    path = f"/v1/users/{rows[0].user_id}/recommendations"
    posted = []

    def answers(server: Server) -> None:
        status, answer = ask(server.url, "GET", path)
        assert status == 200, answer
        assert answer["items"]
        posted.append(f"e{len(posted)}")
        event = {"type": "like", "user_id": "ada", "item_id": item_id, "event_id": posted[-1]}
        status, answer = ask(server.url, "POST", "/v1/events", event)
        assert status == 202, answer

    with Server(halfway) as server:
        answers(server)
        DAMAGES[damage](halfway / file)
        answers(server)
        server.kill()
    with Command(halfway, "serve", "--port", "0") as again:
        if again.wait_until(lambda out: SERVING in out):
            again.kill()
        else:
            assert Path(file).name in refused(again.finish())
    with opened(halfway) as platform:
        assert [row.event_id for row in log_rows(platform)[len(rows) :]] == posted

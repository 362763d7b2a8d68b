"""What durable stores promise after a restart, a kill, and on a full disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.contract.backends import (
    LOCAL_FILES,
    ONLINE_STATES,
    RECOMMENDATION_STORES,
    Place,
    kill_at_line,
    places,
)
from tests.contract.log_rows import NOON, counters, histories, row, touch
from tests.contract.test_files import put, put_folder, tree
from tests.contract.test_online_state import FAR, all_trending, apply, served
from tests.contract.test_recommendation_store import in_service, published
from tests.servers import cannot, durable

from nextup.domain.recommendations import PublishedList, Scored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextup.ports.files import Files


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from places(request, tmp_path)


ends_with_its_process = cannot(memory="memory ends with its process")


@pytest.mark.parametrize("place", RECOMMENDATION_STORES, indirect=True)
@ends_with_its_process
def test_lists_outlive_a_restart(place: Place) -> None:
    """What was written is there when the store is opened again."""
    store = place.recommendation_store()
    in_service(store, "g1", published("ada", "film"))
    store.close()
    again = place.recommendation_store()
    assert again.current() == "g1"
    assert again.read("ada") == published("ada", "film")


@durable(RECOMMENDATION_STORES)
def test_a_switch_that_returned_is_seen_by_all(place: Place) -> None:
    """Whoever read a moment ago in another process, as the same store opened twice, reads anew;
    and a list whose generation was dropped since is not missed."""
    writer, reader = place.recommendation_store(), place.recommendation_store()
    for number in range(4):
        in_service(writer, f"g{number}", published("ada", f"film-{number}"))
        assert reader.read("ada") == published("ada", f"film-{number}")
        assert reader.read("ada") == published("ada", f"film-{number}")
        if number:
            writer.drop(f"g{number - 1}")
        assert reader.read("ada") == published("ada", f"film-{number}")


@durable(RECOMMENDATION_STORES)
def test_tenants_are_apart(place: Place) -> None:
    """A store with another prefix in the same database has lists of its own."""
    in_service(place.recommendation_store(), "g1", published("ada", "film"))
    neighbour = Place(place.url, place.home, f"{place.tenant}_n")
    other = neighbour.recommendation_store()
    assert other.current() is None
    assert other.read("ada") is None
    neighbour.clean()


PUBLISHING = """
from nextup.domain.recommendations import PublishedList, Scored

def lists():
    places = (Scored("new", 1.0, "factors"),) * 20
    for number in range(8_000):
        if number % 500 == 0:
            print(number, flush=True)
        yield PublishedList(f"user-{number}", places)

store = place.recommendation_store()
store.write("g2", lists())
print("written", flush=True)
store.switch("g2")
print("switched", flush=True)
store.close()
"""


@durable(RECOMMENDATION_STORES)
@pytest.mark.parametrize("line", [1, 5, 6, 11, 16, 17])
@pytest.mark.faults
def test_a_publish_that_was_killed_can_be_run_again(place: Place, line: int) -> None:
    """SIGKILL anywhere in a publish: readers keep the old generation until the new one is whole,
    and publishing again completes it, with each list once."""
    store = place.recommendation_store()
    in_service(store, "g1", published("user-1", "old"))
    printed = kill_at_line(place.run(PUBLISHING), line)
    if store.current() == "g1":
        assert store.read("user-1") == published("user-1", "old")
    else:
        assert "written" in printed
        assert store.count("g2") == 8_000
        store.switch("g1")
    whole = (
        PublishedList(f"user-{n}", (Scored("new", 1.0, "factors"),) * 20) for n in range(8_000)
    )
    assert store.write("g2", whole) == 8_000
    store.switch("g2")
    assert store.count("g2") == 8_000
    found = store.read("user-7999")
    assert found is not None
    assert len(found.items) == 20


@pytest.mark.parametrize("place", ONLINE_STATES, indirect=True)
@ends_with_its_process
def test_the_state_outlives_a_restart(place: Place) -> None:
    """History, counters, position and served lists are there when it is opened again."""
    state = place.online_state()
    one = row(0)
    apply(state, one)
    state.save_served(served("t"), FAR)
    state.close()
    again = place.online_state()
    assert again.position() == {"0": 1}
    assert again.history("ada") == [touch(one)]
    assert all_trending(again) == {"film": [(NOON, 1.0)]}
    assert again.served("t") == served("t")


APPLYING = """
from tests.contract.log_rows import after, row

state = place.online_state()
rows = [row(n, f"user-{n % 7}", f"item-{n % 3}") for n in range(2_000)]
for start in range(0, len(rows), 20):
    print(start, flush=True)
    state.apply(rows[start : start + 20], after(rows[start : start + 20]))
"""


@durable(ONLINE_STATES)
@pytest.mark.parametrize("line", [1, 2, 7, 20, 55])
@pytest.mark.faults
def test_a_killed_updater_leaves_whole_batches(place: Place, line: int) -> None:
    """SIGKILL anywhere: histories and counters are exactly those of the log up to the position,
    and a replay from the start completes them."""
    kill_at_line(place.run(APPLYING), line)
    state = place.online_state()
    rows = [row(n, f"user-{n % 7}", f"item-{n % 3}") for n in range(2_000)]
    reached = state.position().get("0", 0)
    assert reached % 20 == 0
    for part in (rows[:reached], rows):
        apply(state, *part)
        for n in range(7):
            assert state.history(f"user-{n}") == histories(part).get(f"user-{n}", [])
        found = {item_id: dict(hours) for item_id, hours in all_trending(state).items()}
        assert found == counters(part)


BEFORE = {"deep/f": b"old", "deep/m/a": b"old", "deep/m/b": b"old", "other": b"old"}
AFTER = {
    "create": BEFORE | {"deep/f": b"new" * 100_000},
    "append": BEFORE | {"deep/f": b"oldnew"},
    "folder": {"deep/f": b"old", "deep/m/a": b"new", "deep/m/c": b"new", "other": b"old"},
    "remove": {"deep/f": b"old", "other": b"old"},
}
OPERATIONS = 100  # more than any act asks for


def prepare(root: Path) -> None:
    """As if put there long ago; not through the adapter, which would wait for the disk."""
    for name, content in BEFORE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def perform(files: Files, act: str) -> None:
    if act == "create":
        put(files, "deep/f", b"new" * 100_000)
    elif act == "append":
        files.append("deep/f", b"new", committed=3)
    elif act == "folder":
        with files.replace_folder("deep/m") as folder:
            (folder / "a").write_bytes(b"new")
            (folder / "c").write_bytes(b"new")
    else:
        files.remove("deep/m")


# One child after the other kills itself when it is about to ask the system for its file operation
# of the next number, until one lives to the end. Local files only: HDFS has its tests of kills in
# `tests/faults`, and its client's threads do not outlive a fork.
DYING = """
import os, signal
from tests.contract.test_restarts import OPERATIONS, perform, prepare

def die_at(left):
    def count_down(event, arguments):
        nonlocal left
        if event == "open" or event.startswith(("os.", "fcntl.", "shutil.")):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    return count_down

for number in range(OPERATIONS):
    prepare(place.home / str(number) / "files")
    files = Place(place.url, place.home / str(number)).files()
    child = os.fork()
    if child == 0:
        sys.addaudithook(die_at(number))
        perform(files, sys.argv[1])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(number, flush=True)
    if status == 0:
        break
"""


@pytest.mark.parametrize("place", [LOCAL_FILES], indirect=True)
@pytest.mark.parametrize("act", list(AFTER))
@pytest.mark.parametrize("reopened", [False, True], ids=["in the open one", "opened anew"])
@pytest.mark.faults
def test_killed_anywhere_old_or_new_is_there(place: Place, act: str, reopened: bool) -> None:
    """SIGKILL before each single file operation in turn: everything is as before or as after,
    for who has the place open and for who opens it, doing it again completes it, and nothing is
    left lying about."""
    there = [Place(place.url, place.home / str(number)) for number in range(OPERATIONS)]
    opened = [each.files() for each in there]
    with place.run(DYING, act) as process:
        output, _ = process.communicate()
    deaths = len(output.split()) - 1
    assert 0 < deaths < OPERATIONS - 1
    outcomes = []
    for each, files in zip(there[: deaths + 1], opened, strict=False):
        reader = each.files() if reopened else files
        # first by its name, as a server looks that never lists
        assert reader.exists("deep/m/a") == ("deep/m/a" in tree(reader))
        assert tree(reader) in (BEFORE, AFTER[act])
        outcomes.append(tree(reader) == AFTER[act])
        if reopened:
            perform(reader, act)
            assert tree(reader) == AFTER[act]
            assert {path.name for path in each.home.glob("files/.nextup/*")} <= {"lock"}
        each.clean()
    assert not outcomes[0]
    assert outcomes[-1]
    assert outcomes == sorted(outcomes)  # no act is undone once it is done


LIMITED = """
import resource, signal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from nextup.domain.errors import StorageFull

def create():
    with files.create("f") as stream:
        stream.write(b"x" * 200_000)

def fill():
    with files.replace_folder("m") as folder:
        (folder / "a").write_bytes(b"x" * 200_000)

files = place.files()
for write in (create, fill, lambda: files.append("log", b"x" * 200_000, committed=3)):
    try:
        write()
    except StorageFull as error:
        print("full", bool(error.cure), flush=True)
"""


@pytest.mark.parametrize("place", [LOCAL_FILES], indirect=True)
def test_no_space_is_said_and_changes_nothing(place: Place) -> None:
    """When the system takes no more bytes, the old content stays and the error names a cure."""
    files = place.files()
    put(files, "f", b"old")
    put_folder(files, "m", a=b"old")
    files.append("log", b"old", committed=0)
    before = tree(files)
    with place.run(LIMITED) as process:
        output, _ = process.communicate()
    assert output.split("\n") == ["full True"] * 3 + [""]
    assert tree(place.files()) == before

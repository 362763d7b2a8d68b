"""HDFS whose NameNode or DataNode is killed in the middle of a write: nothing is half-written, and
the same open lake and files go on when it is back."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.contract.backends import Place
from tests.contract.lake_rows import events, offsets
from tests.faults.processes import SEED, rounds

from nextup.domain.errors import BackendUnavailable
from nextup.domain.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stack.server import Server
    from stack.servers.hdfs import Hdfs

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

BATCH = 50  # rows of a transaction
BATCHES = 12
NODES = {"namenode": 0, "datanode": 1}  # their places among the server's processes


@pytest.fixture
def hdfs(private_server: Callable[[str], Server]) -> Hdfs:
    return cast("Hdfs", private_server("hdfs"))


@pytest.fixture
def place(hdfs: Hdfs, tmp_path: Path) -> Iterator[Place]:
    place = Place(f"{hdfs.url}/data", tmp_path)
    yield place
    place.close()


def kill(hdfs: Hdfs, node: str) -> None:
    hdfs.processes.pop(NODES[node]).kill()


def start(hdfs: Hdfs, node: str) -> None:
    """Start it again, in its old place."""
    if node == "namenode":
        hdfs.start_name_node()
        hdfs.processes.insert(0, hdfs.processes.pop())
    else:
        hdfs.start_data_node(0)


def until_it_answers(act: Callable[[], Any]) -> Any:
    """Repeat what a server that is away refuses; anything but "unavailable" is a failure."""
    deadline = time.monotonic() + 300
    while True:
        try:
            return act()
        except BackendUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("node", NODES)
def test_a_lake_is_appended_to_through_kills(node: str, hdfs: Hdfs, place: Place) -> None:
    """Every batch is in the table once, though what was refused was repeated; whoever reads
    meanwhile sees whole batches."""
    lake = place.lake()
    written: list[int] = []
    failures: list[BaseException] = []

    def append(number: int) -> None:
        first = number * BATCH
        rows = events(*range(first, first + BATCH))
        until_it_answers(
            lambda: lake.append(
                Table.EVENTS,
                rows,
                source="test",
                position={"0": first + BATCH},
                after={"0": first} if first else {},
            )
        )
        written.append(number)

    def work() -> None:
        try:
            for number in range(1, BATCHES):
                append(number)
        except BaseException as error:
            failures.append(error)

    append(0)
    dice = random.Random(SEED)
    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(rounds(2)):
        time.sleep(dice.uniform(0, 1))
        kill(hdfs, node)
        time.sleep(dice.uniform(0, 1))
        start(hdfs, node)
        found = until_it_answers(lambda: offsets(lake))
        assert found == list(range(len(found)))
        assert len(found) % BATCH == 0
    worker.join(600)
    assert failures == []
    assert written == list(range(BATCHES))
    expected = list(range(BATCHES * BATCH))
    assert until_it_answers(lambda: offsets(lake)) == expected
    assert until_it_answers(lambda: offsets(place.lake())) == expected
    assert lake.position(Table.EVENTS, "test") == {"0": len(expected)}


@pytest.mark.parametrize("node", NODES)
def test_a_file_is_replaced_through_a_kill(node: str, hdfs: Hdfs, place: Place) -> None:
    """A file whose writing was broken off is the old one; written again, it is the new one, and
    nothing else lies beside it."""
    files = place.files()
    old, new = b"old" * 1000, random.Random(SEED).randbytes(6 << 20)

    def write(content: bytes, *, disturb: bool = False) -> None:
        with files.create("models/model.bin") as file:
            for at in range(0, len(content), 1 << 20):
                file.write(content[at : at + (1 << 20)])
                if disturb and at == 3 << 20:
                    kill(hdfs, node)

    def read() -> bytes:
        with files.open("models/model.bin") as file:
            return file.read()

    write(old)
    with pytest.raises(BackendUnavailable):
        write(new, disturb=True)
    start(hdfs, node)
    assert until_it_answers(read) == old
    until_it_answers(lambda: write(new))
    assert until_it_answers(read) == new
    assert files.list("models") == ["model.bin"]


@pytest.mark.parametrize("node", NODES)
def test_a_file_is_appended_to_through_a_kill(node: str, hdfs: Hdfs, place: Place) -> None:
    """What is repeated after a refusal is there once."""
    files = place.files()
    assert files.append("rows.csv", b"a,1\n", committed=0) == 4
    kill(hdfs, node)
    with pytest.raises(BackendUnavailable):
        files.append("rows.csv", b"b,2\n", committed=4)
    start(hdfs, node)
    assert until_it_answers(lambda: files.append("rows.csv", b"b,2\n", committed=4)) == 8

    def read() -> bytes:
        with files.open("rows.csv") as file:
            return file.read()

    assert until_it_answers(read) == b"a,1\nb,2\n"

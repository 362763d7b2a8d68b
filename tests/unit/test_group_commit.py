"""Requests of many threads share writes, and each gets what is its own."""

from __future__ import annotations

import threading

import pytest

from nextup.adapters.event_log.group_commit import GroupCommit
from nextup.adapters.event_log.naming import names_person
from nextup.domain.errors import BackendUnavailable, InvalidInput, NextupError, StorageFull


class Disk:
    """Writes numbers as their squares; the first write waits until others have queued."""

    def __init__(self, waiting: int, most: int = 100) -> None:
        self.group = GroupCommit[int, int](self.write, weigh=lambda _: 1, most=most)
        self.writes: list[list[int]] = []
        self.bad: dict[int, BaseException] = {}
        self.waiting = waiting
        self.outcomes: dict[int, object] = {}

    def write(self, numbers: list[int]) -> list[int]:
        if not self.writes:  # hold the first one until the rest wait
            while len(self.group._queue) < self.waiting:
                threading.Event().wait(0.001)
        self.writes.append(numbers)
        for number in numbers:
            if number in self.bad:
                raise self.bad[number]
        return [number * number for number in numbers]

    def submit(self, number: int) -> None:
        try:
            self.outcomes[number] = self.group.submit(number)
        except (NextupError, KeyboardInterrupt, ZeroDivisionError) as error:
            self.outcomes[number] = type(error)

    def submit_all(self, last: int) -> None:
        """0 leads; the others queue behind it, all at once."""
        threads = [threading.Thread(target=self.submit, args=(n,)) for n in range(last + 1)]
        threads[0].start()
        while not self.group._busy and 0 not in self.outcomes:
            threading.Event().wait(0.001)
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join()


def test_what_waits_is_written_together() -> None:
    """Ten that came during the first write share the second."""
    disk = Disk(waiting=10)
    disk.submit_all(10)
    assert [len(numbers) for numbers in disk.writes] == [1, 10]
    assert disk.outcomes == {number: number * number for number in range(11)}


def test_a_group_has_a_limit() -> None:
    """Ten that wait, at most four at a time."""
    disk = Disk(waiting=10, most=4)
    disk.submit_all(10)
    assert [len(numbers) for numbers in disk.writes] == [1, 4, 4, 2]
    assert disk.outcomes == {number: number * number for number in range(11)}


@pytest.mark.parametrize(
    "error", [InvalidInput("bad"), StorageFull("too large"), ZeroDivisionError()]
)
def test_one_that_cannot_be_written_fails_alone(error: Exception) -> None:
    """The others of its group are written one by one."""
    disk = Disk(waiting=5)
    disk.bad[3] = error
    disk.submit_all(5)
    expected = {number: number * number for number in range(6)} | {3: type(error)}
    assert disk.outcomes == expected
    assert len(disk.writes) == 1 + 1 + 5


def test_a_database_that_is_away_is_not_asked_again_for_each() -> None:
    """All of the group get the error, after one try."""
    disk = Disk(waiting=5)
    disk.bad[3] = BackendUnavailable("away")
    disk.submit_all(5)
    assert disk.outcomes == {0: 0} | dict.fromkeys(range(1, 6), BackendUnavailable)
    assert len(disk.writes) == 2


def test_an_interrupted_leader_leaves_nobody_waiting() -> None:
    """The thread that was interrupted sees it; those it wrote for get an error to act on."""
    disk = Disk(waiting=5)
    disk.bad[3] = KeyboardInterrupt()
    disk.submit_all(5)
    assert disk.outcomes.pop(0) == 0
    kinds = list(disk.outcomes.values())
    assert kinds.count(KeyboardInterrupt) == 1
    assert kinds.count(BackendUnavailable) == 4
    disk.bad.clear()
    disk.submit(7)
    assert disk.outcomes[7] == 49


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ('{"user_id": "ada"}', True),
        ('{"userId": "ada"}', True),
        ('[{"a": [{"User": "ada"}]}]', True),
        ('{"user_id": "\\u0061da"}', True),
        ('{"user_id": "Ada"}', False),
        ('{"item_id": "ada"}', False),
        ('{"user_id": "ada"', False),
        ("ada", False),
        ("", False),
        ("[" * 100_000, False),
    ],
)
def test_who_is_named_in_a_record(record: str, named: bool) -> None:
    """Only JSON in which a user's field has this value, whatever else is in it."""
    assert names_person(record, "ada") is named

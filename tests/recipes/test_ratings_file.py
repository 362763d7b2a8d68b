"""The ratings file: every rating of the log once, whoever is killed when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.contract.backends import REPOSITORY
from tests.contract.cases import event, in_threads

from nextup.bootstrap import open_platform
from nextup.domain.errors import CorruptData, InvalidInput
from nextup.recipes.rating_service.ratings_file import HEADER, LOCK, RatingsFile, lines
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextup.bootstrap import Platform

FILE = "ratings/ratings.csv"
NOTE = f"{FILE}.position"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with open_platform(load_settings(tmp_path)) as platform:
        yield platform


def writer(platform: Platform, rows: int = 100) -> RatingsFile:
    return RatingsFile(
        platform.event_log,
        platform.files,
        platform.control,
        file=FILE,
        rows=rows,
        every_seconds=0,
    )


def rate(platform: Platform, *films: int, person: int = 7) -> None:
    rated = {"type": "rating", "user_id": str(person), "value": 4.5}
    platform.event_log.append(
        [event(film, event_id=f"{person}-{film}", item_id=str(film), **rated) for film in films]
    )


def written(platform: Platform) -> list[str]:
    with platform.files.open(FILE) as stream:
        return stream.read().decode().splitlines()


def caught_up(share: RatingsFile) -> None:
    while share.step():
        pass


def expected(platform: Platform) -> list[str]:
    rows = platform.event_log.read({}, 1_000_000).rows
    return (HEADER + lines(rows)).decode().splitlines()


def test_the_header_and_every_rating_in_the_order_of_the_log(platform: Platform) -> None:
    """Other events are passed over; who comes later goes on at the end."""
    caught_up(writer(platform))
    assert written(platform) == ["userId,movieId,rating,timestamp"]
    rate(platform, 1, 2)
    platform.event_log.append([event(3, "7")])
    rate(platform, 3)
    caught_up(writer(platform, rows=2))
    moment = int(event(0).occurred_at.timestamp())
    assert written(platform)[1:] == [f"7,{film},4.5,{moment + film}" for film in (1, 2, 3)]
    rate(platform, 4)
    caught_up(writer(platform))
    assert written(platform) == expected(platform)


def test_what_was_not_noted_is_cut_off_and_written_again(platform: Platform) -> None:
    """A writer that died between file and note, or in the middle of a line, leaves no trace."""
    rate(platform, 1, 2)
    caught_up(writer(platform))
    size = platform.files.size(FILE)
    rate(platform, 3)
    platform.files.append(FILE, b"7,3,4.5,17000", committed=size)
    caught_up(writer(platform))
    assert written(platform) == expected(platform)


@pytest.mark.parametrize("emptied", [True, False])
def test_a_file_that_is_gone_is_made_again_from_the_log(platform: Platform, emptied: bool) -> None:
    """Removed or emptied, it comes back whole."""
    rate(platform, 1, 2)
    caught_up(writer(platform))
    platform.files.remove(FILE)
    if emptied:
        with platform.files.create(FILE):
            pass
    rate(platform, 3)
    caught_up(writer(platform))
    assert written(platform) == expected(platform)


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_file_that_was_there_before_is_carried_on(platform: Platform, end: str) -> None:
    """Somebody else's ratings stay, and ours follow on lines of their own."""
    with platform.files.create(FILE) as stream:
        stream.write(f"userId,movieId,rating,timestamp\n1,2,3.0,4{end}".encode())
    rate(platform, 5)
    caught_up(writer(platform))
    assert written(platform)[:2] == ["userId,movieId,rating,timestamp", "1,2,3.0,4"]
    assert written(platform)[2:] == expected(platform)[1:]


def test_another_file_is_left_alone(platform: Platform) -> None:
    """One that is no ratings file is refused, and a note that cannot be read is said to be."""
    with platform.files.create(FILE) as stream:
        stream.write(b"title,year\nAlien,1979\n")
    share = writer(platform)
    with pytest.raises(InvalidInput, match="does not begin with userId"):
        share.step()
    with platform.files.create(NOTE) as stream:
        stream.write(b"?")
    with pytest.raises(CorruptData, match="Remove it"):
        share.step()
    share.close()
    assert written(platform) == ["title,year", "Alien,1979"]


def test_one_writes_and_the_others_wait(platform: Platform) -> None:
    """While somebody holds the file, a writer does nothing; several at once write each row once."""
    rate(platform, *range(200))
    with platform.control.lock(LOCK):
        assert not writer(platform).step()
        assert not platform.files.exists(FILE)
    writers = [threading.Thread(target=caught_up, args=(writer(platform, rows=7),)) for _ in "123"]
    in_threads(writers)
    caught_up(writer(platform))
    assert written(platform) == expected(platform)


def test_a_person_is_forgotten(platform: Platform) -> None:
    """Their rows go, nobody else's; what comes later is appended as ever."""
    rate(platform, 1, 2)
    rate(platform, 1, 2, person=70)
    caught_up(writer(platform))
    assert writer(platform).erase("7") == 2
    assert [line.split(",")[0] for line in written(platform)[1:]] == ["70", "70"]
    assert writer(platform).erase("7") == 0
    rate(platform, 3)
    caught_up(writer(platform))
    assert [line.split(",")[0] for line in written(platform)[1:]] == ["70", "70", "7"]


PROGRAM = """
import sys
from pathlib import Path
from tests.recipes.test_ratings_file import rate, writer
from nextup.bootstrap import open_platform
from nextup.settings import load_settings

with open_platform(load_settings(Path(sys.argv[1]))) as platform:
    share = writer(platform, rows=3)
    print("ready", flush=True)
    for number in range(100_000):
        rate(platform, number, person=int(sys.argv[2]))
        share.step()
"""


def test_killed_again_and_again(platform: Platform, tmp_path: Path) -> None:
    """After each kill -9 the next writer completes the file: each rating is there once."""
    for attempt in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), str(attempt)],
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.05 + 0.1 * attempt)
            process.send_signal(signal.SIGKILL)
    caught_up(writer(platform))
    assert written(platform) == expected(platform)
    assert len(written(platform)) > 5

"""The heaps of processes that live long."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNTING = """
import sys, threading
if sys.argv[1] == "settled":
    from nextup.entrypoints.heap import settle_heap
    settle_heap()

together = threading.Barrier(9)

def work():
    kept = [bytearray(60_000) for _ in range(50)]  # in pieces that come from a heap
    together.wait()
    together.wait()
    del kept

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
together.wait()
heaps = 0
for line in open("/proc/self/maps"):
    place, rights, _, _, _, *path = line.split()
    heaps += int(place.split("-")[0], 16) % (64 << 20) == 0 and rights == "rw-p" and not path
together.wait()
print(heaps)  # besides the main one
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heaps are meant")
def test_threads_share_two_heaps() -> None:
    """Eight threads at once have one beside the main one, and several without being told."""

    def heaps(how: str) -> int:
        run = [sys.executable, "-c", COUNTING, how]
        return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)

    assert heaps("settled") <= 1
    assert heaps("as it is") > 1


STARTING = """
import gc
from nextup.entrypoints.heap import starting

class Made:
    pass

with starting():
    assert not gc.isenabled()
    made = [Made() for _ in range(10_000)]
assert gc.isenabled()
assert gc.get_freeze_count() > 10_000
assert not any(isinstance(each, Made) for each in gc.get_objects())  # that are looked at
later = Made()
assert any(each is later for each in gc.get_objects())
"""


def test_what_a_start_has_made_is_looked_at_no_more() -> None:
    """Python looks for cycles again after the start, among what came after it."""
    subprocess.run([sys.executable, "-c", STARTING], check=True)

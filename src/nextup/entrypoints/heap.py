"""The C library's heap, and Python's search for cycles, in processes that live long.

glibc gives every few threads a heap of their own and keeps what is freed: a server that runs the
pipeline now and then grew by a hundred megabytes with each run. Two heaps, given back when they
are empty at their end, hold it at what it needs.

Python looks for cycles when objects have become many more, as modules and a catalogue make them:
a tenth of a start, and all of it stays. What is there when a server has started is looked at no
more. After it there are next to none: an event makes some ten objects and a batch many thousands,
of which no two hold each other, and looking through them took a tenth of the time that they took
into Kafka.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_HEAPS, TRIM_THRESHOLD, MAP_THRESHOLD = -8, -1, -3  # options of mallopt(3)
MANY_OBJECTS = 10_000  # more than there were, before Python looks for cycles among them
LARGE = 4 << 20  # bytes; scores of a million items fit, and are no new pages in each answer


def settle_heap() -> None:
    """To be called before threads start. C libraries other than glibc are left as they are."""
    _, *older = gc.get_threshold()
    gc.set_threshold(MANY_OBJECTS, *older)
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and needs none
    if mallopt is not None:
        mallopt(MOST_HEAPS, 2)
        mallopt(MAP_THRESHOLD, LARGE)  # the pipeline's are kept out of the heap
        mallopt(TRIM_THRESHOLD, 4 * LARGE)


@contextmanager
def starting() -> Iterator[None]:
    """While the block makes what stays, Python does not look for cycles; nor later, among what
    there is at its end. Garbage that goes in cycles and was made within is never found."""
    looks = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if looks:
            gc.enable()

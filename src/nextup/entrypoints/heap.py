"""The C library's heap, for processes that live long.

glibc gives every few threads a heap of their own and keeps what is freed: a server that runs the
pipeline now and then grew by a hundred megabytes with each run. Two heaps, given back when they
are empty at their end, hold it at what it needs.
"""

from __future__ import annotations

import ctypes
import sys

MOST_HEAPS, TRIM_THRESHOLD = -8, -1  # options of mallopt(3)


def settle_heap() -> None:
    """To be called before threads start; does nothing where the C library is not glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and needs none
    if mallopt is not None:
        mallopt(MOST_HEAPS, 2)
        mallopt(TRIM_THRESHOLD, 1 << 17)  # bytes; saying so keeps large arrays out of the heap

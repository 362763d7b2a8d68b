"""Which kernels do the work: the compiled ones, or their NumPy twins where there are none.

Chosen once, at import. `NEXTUP_NATIVE=0` forces the twins; `avx2` or `plain` asks the compiled
kernels for a narrower instruction set than the CPU's widest, `avx512` for one without VNNI.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Literal, cast

from nextup.algorithms.native import twins

if TYPE_CHECKING:
    from nextup.algorithms.native.interface import Kernels

Backend = Literal["avx512", "avx2", "neon", "plain", "numpy"]


def compiled() -> Kernels | None:
    """The compiled kernels; None where they were not built."""
    try:
        return cast("Kernels", import_module("nextup.algorithms.native._kernels"))
    except ImportError:
        return None


def _choose() -> Kernels:
    forced = os.environ.get("NEXTUP_NATIVE") == "0"
    return (None if forced else compiled()) or twins


kernels: Kernels = _choose()


def backend() -> Backend:
    """What the kernels run on; `numpy` means that the twins do the work."""
    return cast("Backend", kernels.instruction_set())


def thread_count(asked: int) -> int:
    """`asked`, or for 0 as many as this process may use."""
    if asked > 0:
        return asked
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1

"""The compiled kernels and their NumPy twins, behind one interface."""

from nextup.algorithms.native.choice import backend, compiled, kernels, thread_count
from nextup.algorithms.native.interface import Kernels, aligned_zeros, padded_width
from nextup.algorithms.native.sparse import Sparse

__all__ = [
    "Kernels",
    "Sparse",
    "aligned_zeros",
    "backend",
    "compiled",
    "kernels",
    "padded_width",
    "thread_count",
]

"""Builds the compiled kernels, where a compiler is at hand; pyproject.toml says all the rest."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("src/nextup/algorithms/native")
ABI3 = platform.python_implementation() == "CPython"  # one wheel for every Python from 3.11 on


class BuildOrGoWithout(build_ext):
    """Compile, or say plainly that the NumPy twins will do the work."""

    def build_extension(self, ext: Extension) -> None:
        """Turn any failure into a notice."""
        try:
            super().build_extension(ext)
        except Exception as error:
            sys.stderr.write(
                f"nextup: the compiled kernels were not built ({error}). Everything works without "
                "them, several times slower; a C++17 compiler (GCC 12, Clang 15 or later) and "
                "a new installation make it fast.\n"
            )


setup(
    ext_modules=[
        Extension(
            "nextup.algorithms.native._kernels",
            sources=sorted(str(path) for path in NATIVE.glob("*.cpp")),
            depends=sorted(str(path) for path in NATIVE.glob("*.hpp")),
            language="c++",
            define_macros=[("Py_LIMITED_API", "0x030b0000")] if ABI3 else [],
            py_limited_api=ABI3,
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-ffp-contract=fast",  # sums of products are fused in every instruction set
                "-fvisibility=hidden",
                "-Wno-psabi",  # no vector crosses a translation unit
            ],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildOrGoWithout},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
)

"""Benchmarks run rarely; that they still can is tested here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(file.stem for file in (ROOT / "benchmarks").glob("[a-z]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_it_starts(module: str) -> None:
    """Every name that it takes from elsewhere is there, before any rival is installed."""
    run = [sys.executable, "-m", f"benchmarks.{module}", "--help"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout

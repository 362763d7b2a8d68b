"""The house stands as the design says."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

import nextup

SOURCE = Path(nextup.__file__).parent
HEAVY = {"polars", "deltalake", "numpy", "scipy", "sqlalchemy", "fastapi", "pydantic", "narwhals"}


def test_the_import_contract_holds() -> None:
    """No file imports from a floor above its own, and siblings never import each other."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=SOURCE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_imports_itself_in_a_circle() -> None:
    """The modules can be put in an order in which each imports only earlier ones."""
    graph = grimp.build_graph("nextup", exclude_type_checking_imports=True, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, naming the circle


@pytest.mark.parametrize("start", ["import nextup", "import nextup.entrypoints.cli.app"])
def test_starting_loads_nothing_heavy(start: str) -> None:
    """`import nextup`, and the command line as far as `--help`, import no heavy library."""
    code = f"import sys; {start}; print(*sorted(set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()


def test_no_file_is_too_long() -> None:
    """A source file has at most 400 lines."""
    long = {
        str(file.relative_to(SOURCE)): lines
        for file in SOURCE.rglob("*.py")
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_names_say_what_is_inside() -> None:
    """No module is called by a word that fits anything."""
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "core"}
    assert [file for file in SOURCE.rglob("*.py") if file.stem in vague] == []


def test_only_bootstrap_chooses_adapters() -> None:
    """Outside `adapters` itself nothing but `bootstrap.py` imports an adapter."""
    choosers = {
        str(file.relative_to(SOURCE))
        for file in SOURCE.rglob("*.py")
        if "adapters" not in file.parts and _imports_adapters(file)
    }
    assert choosers == {"bootstrap.py"}


def _imports_adapters(file: Path) -> bool:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return any(
        isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nextup.adapters")
        for node in ast.walk(tree)
    )

"""deploy/init.sh where something is wrong: it says what, and has made nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "init.sh"
NEEDED = ("sh", "dirname", "grep", "sed", "make")


def init(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, on a PATH that has nothing but what it needs; no engine."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in NEEDED:
        found = shutil.which(name)
        if found and not (programs / name).exists():
            (programs / name).symlink_to(found)
    (programs / "nextup").touch(mode=0o755)  # never reached
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return subprocess.run(
        ["sh", SCRIPT, *words],
        cwd=work,
        env={"PATH": str(programs), "HOME": os.environ.get("HOME", "/")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--frobnicate"], 2, "no option --frobnicate"),
        (["one", "two"], 2, "one folder, and not 2"),
        (["a-file"], 1, "a-file is a file"),
        (["books"], 1, "books is another recipe's"),
        (["bare"], 1, "bare has lost its .env"),
        (["new"], 1, "podman is not here"),
    ],
)
def test_what_is_wrong(tmp_path: Path, words: list[str], status: int, said: str) -> None:
    """Options, arguments, folders and a missing engine are each named, on stderr."""
    work = tmp_path / "work"
    for recipe, folder in (("book-platform", "books"), ("film-lakehouse", "bare")):
        (work / folder).mkdir(parents=True)
        (work / folder / "nextup.toml").write_text(f'recipe = "{recipe}"\n')
    (work / "a-file").touch()
    before = sorted(work.rglob("*"))
    done = init(tmp_path, *words)
    assert done.returncode == status
    assert said in done.stderr
    assert done.stdout == ""
    assert sorted(work.rglob("*")) == before


def test_an_engine_without_compose(tmp_path: Path) -> None:
    """An engine that has no compose is named, and what to do about it."""
    engine = tmp_path / "programs" / "podman"
    engine.parent.mkdir()
    engine.write_text("#!/bin/sh\nexit 125\n")
    engine.chmod(0o755)
    done = init(tmp_path, ENGINE="podman")
    assert done.returncode == 1
    assert "podman has no compose" in done.stderr
    assert list((tmp_path / "work").iterdir()) == []


def test_help(tmp_path: Path) -> None:
    """It tells how it is called."""
    done = init(tmp_path, "--help")
    assert done.returncode == 0
    assert "deploy/init.sh [FOLDER]" in done.stdout

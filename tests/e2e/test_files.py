"""`nextup files`, and the logs that commands leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.e2e.shell import nextup

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = """
files_url = "file://files"

[folders]
models = "models/als"

[logs]
commands = "logs"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "nextup.toml").write_text(SETTINGS)
    return tmp_path


def test_files_come_and_go(home: Path) -> None:
    """Put, listed, fetched, and emptied after asking; names are the real ones, whatever the
    platform calls its folders."""
    for name, content in {"a.csv": "1", "b.csv": "22"}.items():
        (home / name).write_text(content)
    put = nextup("files", "put", "a.csv", "b.csv", "--to", "models/als/", cwd=home)
    assert "a.csv -> models/als/a.csv  1 bytes" in put.out
    listed = nextup("files", "list", "models/als", "--json", cwd=home).document
    assert [(one["name"], one["bytes"]) for one in listed] == [("a.csv", 1), ("b.csv", 2)]
    assert "als/" in nextup("files", "list", "models", cwd=home).out
    nextup("files", "get", "models", "--to", "here", cwd=home)
    assert (home / "here" / "als" / "b.csv").read_text() == "22"
    got = nextup("files", "get", "models/als/a.csv", "--to", "there", "--json", cwd=home)
    assert got.document == [{"name": "models/als/a.csv", "path": "there/a.csv", "bytes": 1}]
    refused = nextup("files", "empty", "models/als", cwd=home)
    assert refused.status == 2
    assert "--yes" in refused.err
    assert nextup("files", "empty", "models/als", "--yes", "--json", cwd=home).document == {
        "removed": {"models/als": 2}
    }
    assert (home / "files" / "models" / "als").is_dir()


def test_folders_are_made_once(home: Path) -> None:
    """What is there already stays."""
    made = nextup("files", "make", "input", "tmps", "--json", cwd=home).document
    assert made == {"made": ["input", "tmps"], "there": []}
    (home / "files" / "input" / "a.csv").write_text("1")
    again = nextup("files", "make", "input", "errors", "--json", cwd=home).document
    assert again == {"made": ["errors"], "there": ["input"]}
    assert (home / "files" / "input" / "a.csv").read_text() == "1"


def test_what_is_not_there_is_named(home: Path) -> None:
    """In one line, with the status of a failure."""
    for arguments in (("list", "nowhere"), ("get", "nowhere"), ("put", "nowhere")):
        done = nextup("files", *arguments, cwd=home)
        assert done.status == 1
        assert "nowhere" in done.err
        assert done.err.count("\n") == 1


def test_commands_leave_logs(home: Path) -> None:
    """One for each that does something, with what it said and how it ended; the newest can be
    fetched; commands that show leave none."""
    nextup("ingest", "sample", cwd=home)
    failed = nextup("pipeline", "run", "--to", "nothing", cwd=home)
    assert failed.status == 2
    nextup("lake", "status", cwd=home)
    nextup("files", "make", "input", cwd=home, NEXTUP_LOGS__NAME="hdfs-configure")
    names = sorted(path.name for path in (home / "files" / "logs").iterdir())
    assert [name.rpartition("-")[0] for name in names] == [
        *("hdfs-configure", "ingest-sample", "pipeline-run")
    ]
    text = (home / "files" / "logs" / names[1]).read_text()
    assert "films and books." in text
    assert "ended with 0 after" in text
    text = (home / "files" / "logs" / names[2]).read_text()
    assert "Error: There is no step 'nothing'." in text
    assert "ended with 2 after" in text
    fetched = nextup("files", "get", "logs", "--newest", "--to", "data", "--json", cwd=home)
    assert [one["path"] for one in fetched.document] == [f"data/{names[0]}"]


def test_secrets_are_in_no_log(home: Path) -> None:
    """A command that prints credentials leaves no log."""
    made = nextup("client", "create", "shop", "--json", cwd=home)
    assert made.status == 0, made.err
    assert not (home / "files" / "logs").exists()

"""The demo does what it says, in a folder of its own, and proves it over HTTP."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx
from tests.e2e.shell import interrupt, line_with, nextup, started

if TYPE_CHECKING:
    from pathlib import Path

SMALL = ("--people", 400, "--days", 60)


def test_check_proves_that_it_works(tmp_path: Path) -> None:
    """`--check` exits with 0 after a like changed the list, names what it explains, and puts all
    of it, with the time of each part, in one JSON document."""
    found = nextup("demo", "--check", "--folder", "shop", *SMALL, "--json", cwd=tmp_path).document
    assert found["folder"] == "shop"
    assert found["before"] != found["after"]
    assert found["explained_by_the_like"]
    assert set(found["explained_by_the_like"]) <= set(found["after"])
    assert found["liked"] not in found["after"]
    assert {"catalogue", "audience", "train", "publish", "first answer"} <= set(found["seconds"])

    events = nextup("doctor", "-C", "shop", "--json", cwd=tmp_path).document["findings"]
    assert all(finding["healthy"] for finding in events)
    again = nextup("demo", "--check", "--folder", "shop", cwd=tmp_path)
    assert again.status == 1
    assert again.err == "Error: shop is not empty. Choose a new folder.\n"
    (tmp_path / "file").touch()
    onto_a_file = nextup("demo", "--check", "--folder", "file", cwd=tmp_path)
    assert onto_a_file.status == 1
    assert onto_a_file.err.startswith("Error: file cannot be written")


def test_without_check_it_stays(tmp_path: Path) -> None:
    """It takes another port when its own is busy and says which, prints what to try, answers, and
    ends cleanly on Ctrl-C; without a name the next free folder is taken."""
    (tmp_path / "demo").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with started("demo", "--port", port, *SMALL, cwd=tmp_path) as process:
            assert "demo-2/ (its audience is simulated)" in line_with(process, "Building")
            url = line_with(process, "Open http://").split()[1].removesuffix("/docs,")
            assert not url.endswith(f":{port}")
            tries = line_with(process, "curl ")
            assert f"{url}/v1/users/" in tries
            page = httpx.get(tries.split("'")[1], timeout=30).json()
            assert page["items"]
            done = interrupt(process)
    assert done.status == 0
    assert done.err == ""
    assert (tmp_path / "demo-2" / "nextup.toml").is_file()
    assert list((tmp_path / "demo").iterdir()) == []

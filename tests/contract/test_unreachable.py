"""What a server that is away, slow, or refuses us is answered with: by every port, in our words."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from tests.contract.backends import POSTGRESQL, REDIS
from tests.servers import reach

from nextup.bootstrap import open_adapter
from nextup.domain.errors import BackendUnavailable, NextupError
from nextup.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ASK: dict[str, Callable[[Any], object]] = {
    "event_log": lambda log: log.head(),
    "catalog": lambda catalog: catalog.count_items(),
    "recommendation_store": lambda store: store.current(),
    "online_state": lambda state: state.position(),
    "control": lambda control: control.runs(),
}
PORTS = {
    "postgresql": list(ASK),
    "redis": ["recommendation_store", "online_state"],
}
SECRET = "hunter2-is-secret"


@pytest.fixture(params=[POSTGRESQL, REDIS])
def url(request: pytest.FixtureRequest) -> str:
    return reach(request, request.param).url


def every_answer(url: str, home: Path) -> list[NextupError]:
    """What each port says that could use the server."""
    said = []
    for port in PORTS[urlsplit(url).scheme]:
        settings = load_settings(
            home,
            **{f"{port}_url": url},
            connections={"connect_seconds": 2, "answer_seconds": 0.5, "retries": 0},
        )
        with pytest.raises(NextupError) as raised:
            ask(port, settings)
        said.append(raised.value)
    return said


def ask(port: str, settings: Any) -> None:
    adapter = open_adapter(port, settings)
    try:
        ASK[port](adapter)
    finally:
        adapter.close()


def changed(url: str, **parts: Any) -> str:
    """The URL with another host, port, user or password."""
    now = urlsplit(url)
    user = parts.get("user", now.username or "")
    password = parts.get("password", now.password)
    host, port = parts.get("host", now.hostname), parts.get("port", now.port)
    return now._replace(netloc=f"{user}:{password}@{host}:{port}").geturl()


def test_a_wrong_password(url: str, tmp_path: Path) -> None:
    """Is said to be one, and is not shown."""
    for error in every_answer(changed(url, password=SECRET), tmp_path):
        assert isinstance(error, BackendUnavailable)
        assert "refuses the user or the password" in error.message
        assert "password in the URL" in error.cure
        assert SECRET not in f"{error!r} {error} {error.__cause__}"


def test_an_unknown_user(url: str, tmp_path: Path) -> None:
    """Is told no more than with a wrong password."""
    for error in every_answer(changed(url, user="nobody"), tmp_path):
        assert "refuses the user or the password" in error.message


def test_no_such_host(url: str, tmp_path: Path) -> None:
    """Is told from a server that does not run."""
    for error in every_answer(changed(url, host="no-such-host.invalid"), tmp_path):
        assert isinstance(error, BackendUnavailable)
        assert "no such host" in error.message
        assert "host" in error.cure


def test_nobody_listens(url: str, tmp_path: Path) -> None:
    """The cure is to start the server, or to name the right port."""
    with socket.socket() as taken:  # bound, but nobody accepts
        taken.bind(("127.0.0.1", 0))
        for error in every_answer(changed(url, port=taken.getsockname()[1]), tmp_path):
            assert isinstance(error, BackendUnavailable)
            assert "Nobody listens" in error.message


def test_a_server_that_is_silent(url: str, tmp_path: Path) -> None:
    """One that takes the connection and says nothing is given up in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for error in every_answer(changed(url, port=port), tmp_path):
            assert isinstance(error, BackendUnavailable)
            assert "in time" in error.message


def test_a_database_that_is_not_there(url: str, tmp_path: Path) -> None:
    """Is named, with what to do."""
    for error in every_answer(urlsplit(url)._replace(path="/98").geturl(), tmp_path):
        assert "98" in error.message
        assert error.cure

"""Which backends the tests run on: a pytest plugin that starts real servers when one is asked for.

A suite's table lists backends: `embedded("sqlite", "sqlite:///store.db")` needs nothing, and
`server("redis")` is the real one. One server of a kind serves the whole run, all processes of
xdist included; the process that was started first ends them. `NEXTUP_TEST_REDIS_URL` names one
that is there already. What a machine cannot run is skipped with the reason, or fails with
`NEXTUP_REQUIRE_SERVERS=1`; `NEXTUP_TEST_SERVERS="redis kafka"` (or `none`) starts no others. The
run ends with a table of what was tested.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from stack.errors import Unavailable
from stack.registry import server_class
from stack.shared import SharedServers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _pytest.mark import ParameterSet
    from _pytest.terminal import TerminalReporter
    from stack.server import Server

SHARED = pytest.StashKey[SharedServers]()
FOLDER = "nextup_servers"  # in what xdist hands to its workers
TOLD = "backend"  # in the properties that a test's report carries to the terminal


@dataclass(frozen=True)
class Backend:
    """A row of a suite's table."""

    name: str
    url: str = ""  # of an embedded one; a server's is known when it runs
    path: str = ""  # behind the URL of a server
    durable: bool = True  # outlives the process that wrote


class Reached(NamedTuple):
    """A backend that a test may use now."""

    url: str
    how: str  # for the closing table


def embedded(name: str, url: str, *, durable: bool = True) -> ParameterSet:
    """A row: a backend that needs no server."""
    return pytest.param(Backend(name, url, durable=durable), id=name)


def server(name: str, path: str = "") -> ParameterSet:
    """A row: the real server of that name, as in `stack.registry`; `path` follows its URL."""
    return pytest.param(Backend(name, path=path), id=name)


def durable(rows: list[ParameterSet]) -> pytest.MarkDecorator:
    """For a test of those in the table that another process can open."""
    kept = [row for row in rows if row.values[0].durable]
    return pytest.mark.parametrize("place", kept, indirect=True)


def cannot(**reasons: str) -> pytest.MarkDecorator:
    """What a backend cannot do: it must fail there, for that reason."""
    return pytest.mark.cannot(**reasons)


def reach(request: pytest.FixtureRequest, backend: Backend) -> Reached:
    """Start the backend if nobody has; skip or fail the test where it cannot be had."""
    told = getattr(request.node, "user_properties", [])  # a module has none
    if backend.url:
        told.append((TOLD, (backend.name, "embedded", "")))
        return Reached(backend.url, "embedded")
    try:
        reached = _reach_server(request.config, backend)
    except Unavailable as error:
        reason = str(error)
        told.append((TOLD, (backend.name, "", reason)))
        if os.environ.get("NEXTUP_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{backend.name} must be tested: {reason}", pytrace=False)
        pytest.skip(f"{backend.name}: {reason.splitlines()[0]}")
    told.append((TOLD, (backend.name, reached.how, "")))
    return reached


def _reach_server(config: pytest.Config, backend: Backend) -> Reached:
    variable = f"NEXTUP_TEST_{backend.name.upper()}_URL"
    if url := os.environ.get(variable):
        return Reached(f"{url}{backend.path}", f"at {variable}")
    _refuse_unwanted(backend.name)
    running = config.stash[SHARED].get(backend.name)
    os.environ.update(running.environment)
    how = f"{running.version}, started here".lstrip(", ")
    return Reached(f"{running.url}{backend.path}", how)


def _refuse_unwanted(name: str) -> None:
    wanted = os.environ.get("NEXTUP_TEST_SERVERS")
    if wanted is not None and name not in wanted.split():
        raise Unavailable("NEXTUP_TEST_SERVERS leaves it out")


@contextmanager
def own_servers() -> Iterator[Callable[..., Server]]:
    """Starts servers that nobody else uses, to be killed, paused and filled up. `before` is done
    with a server that has its folder, which is empty, and does not run yet."""
    started: list[Server] = []

    def start(name: str, before: Callable[[Server], None] = lambda server: None) -> Server:
        try:
            _refuse_unwanted(name)
            new = server_class(name)()
            before(new)
            started.append(new.start())
        except Unavailable as error:
            if os.environ.get("NEXTUP_REQUIRE_SERVERS") == "1":
                pytest.fail(f"{name} must be tested: {error}", pytrace=False)
            pytest.skip(f"{name}: {error}")
        os.environ.update(started[-1].environment)
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            one.stop()


@pytest.fixture
def private_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Starts servers of the test's own."""
    with own_servers() as start:

        def told(name: str, **options: Any) -> Server:
            own = start(name, **options)
            how = f"{own.version}, of the test's own".lstrip(", ")
            request.node.user_properties.append((TOLD, (name, how, "")))
            return own

        yield told


def pytest_configure(config: pytest.Config) -> None:
    """Know the folder of the run's servers: a new one, or that of whoever started this process."""
    config.addinivalue_line("markers", "cannot(backend=reason): fails there, for that reason")
    handed = getattr(config, "workerinput", {}).get(FOLDER)
    config.stash[SHARED] = SharedServers(Path(handed)) if handed else SharedServers.owned()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the folder to a worker of xdist."""
    node.workerinput[FOLDER] = str(node.config.stash[SHARED].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers, where this process owns them."""
    if not hasattr(config, "workerinput"):
        config.stash[SHARED].stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect the failures that tests announce for a backend."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        backend = callspec.params.get("place") if callspec else None
        for mark in item.iter_markers("cannot"):
            if isinstance(backend, Backend) and backend.name in mark.kwargs:
                reason = mark.kwargs[backend.name]
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say which backends were tested, and why others were not."""
    tested: Counter[tuple[str, str]] = Counter()
    skipped: dict[str, str] = {}
    for outcome in ("passed", "failed", "xfailed", "skipped", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            told = {
                tuple(value) for key, value in getattr(report, "user_properties", ()) if key == TOLD
            }
            for name, how, reason in told:
                if reason:
                    skipped[name] = reason
                elif outcome in {"passed", "failed", "xfailed"}:
                    tested[name, how] += 1
    if not tested and not skipped:
        return
    terminalreporter.section("backends")
    for (name, how), tests in sorted(tested.items()):
        terminalreporter.line(f"{name:<14} tested   {tests:>5} tests  {how}")
    for name, reason in sorted(skipped.items()):
        terminalreporter.line(f"{name:<14} skipped  {reason}")

"""Fixtures of the suites of the event log, the catalogue and the control data.

Each suite defines `place` over its table of backends: the tables are in `cases.py`, and `Place`,
which knows how to open and to clean up, is in `backends.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.control.sql import SqlControl
from nextup.adapters.event_log.sql import SqlEventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.backends import Place
    from tests.contract.cases import Opener

    from nextup.ports.catalog import Catalog
    from nextup.ports.control import Control
    from nextup.ports.event_log import EventLog


@pytest.fixture
def open_log(place: Place) -> Iterator[Opener]:
    """Opens the same event log again and again; closes all of them."""
    yield from _opener(place, SqlEventLog)


@pytest.fixture
def open_catalog(place: Place) -> Iterator[Opener]:
    """Opens the same catalogue again and again; closes all of them."""
    yield from _opener(place, SqlCatalog)


@pytest.fixture
def open_control(place: Place) -> Iterator[Opener]:
    """Opens the same control data again and again; closes all of them."""
    yield from _opener(place, SqlControl)


@pytest.fixture
def event_log(open_log: Opener) -> EventLog:
    log: EventLog = open_log()
    return log


@pytest.fixture
def catalog(open_catalog: Opener) -> Catalog:
    catalog: Catalog = open_catalog()
    return catalog


@pytest.fixture
def control(open_control: Opener) -> Control:
    control: Control = open_control()
    return control


def _opener(place: Place, adapter: Callable[..., Any]) -> Iterator[Opener]:
    opened: list[Any] = []

    def open_it(**options: Any) -> Any:
        opened.append(adapter(place.database(), **options))
        return opened[-1]

    yield open_it
    for one in opened:
        one.close()

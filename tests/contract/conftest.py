"""Fixtures of the suites of the event log, the catalogue and the control data.

Each suite defines `place` over its table of backends; the tables and `Place`, which knows how to
open and to clean up, are in `backends.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.backends import Place
    from tests.contract.cases import Opener

    from nextup.ports.catalog import Catalog
    from nextup.ports.control import Control
    from nextup.ports.event_log import EventLog


@pytest.fixture
def open_log(place: Place) -> Opener:
    """Opens the same event log again and again; `place` closes all of them."""
    return place.event_log


@pytest.fixture
def open_catalog(place: Place) -> Opener:
    """Opens the same catalogue again and again; `place` closes all of them."""
    return place.catalog


@pytest.fixture
def open_control(place: Place) -> Opener:
    """Opens the same control data again and again; `place` closes all of them."""
    return place.control


@pytest.fixture
def event_log(place: Place) -> EventLog:
    return place.event_log()


@pytest.fixture
def catalog(place: Place) -> Catalog:
    return place.catalog()


@pytest.fixture
def control(place: Place) -> Control:
    return place.control()

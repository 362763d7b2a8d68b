"""Containers are started only when asked for: `make test-compose`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from stack.errors import Unavailable
from tests.deploy.compose import engine

if TYPE_CHECKING:
    from pathlib import Path

ASKED = bool(os.environ.get("NEXTUP_TEST_COMPOSE"))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """`make test` has another door for these: they build images and start whole deployments."""
    return None if ASKED or not collection_path.name.startswith("test_") else True


@pytest.fixture(scope="session", autouse=True)
def containers() -> None:
    """Podman, or the reason why not."""
    try:
        engine.require()
    except Unavailable as error:
        if os.environ.get("NEXTUP_REQUIRE_SERVERS"):
            raise
        pytest.skip(str(error))

"""Stories that take many minutes on two cores: `make soak` tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.faults.processes import ROUNDS

if TYPE_CHECKING:
    from collections.abc import Callable


def at_length(test: Callable[..., None]) -> Callable[..., None]:
    """Skipped, unless the tests run at length."""
    skipped = pytest.mark.skipif(not ROUNDS, reason="it takes many minutes: `make soak` runs it")
    marked: Callable[..., None] = pytest.mark.faults(skipped(test))
    return marked

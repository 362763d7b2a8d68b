"""The whole API against its own description: whatever fits it, or nearly fits it, is asked; no
answer is a fault of ours, has an undocumented status, or does not fit the description itself.

A seeded share runs in `make test`; `make soak N=200` asks each operation two hundred times.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import checks
from tests.house.pages import ROOT
from tests.integration.api_world import served, train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CASES = int(os.environ.get("NEXTUP_FAULT_ROUNDS", "0")) or 8  # of each operation
SEED = os.environ.get("NEXTUP_FAULT_SEED", "")
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
KNOWN = {"user_id": "u-1", "item_id": "film-2", "model_id": "m1"}
TRUE_REFUSALS = {503, 507}  # documented, and nothing here brings a backend down

pytestmark = pytest.mark.faults


DOCUMENT = schemathesis.openapi.from_path(str(ROOT / "docs/openapi.json"))
OPERATIONS = [found.ok() for found in DOCUMENT.get_all_operations()]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("described")
    with served(folder, access={"auth": "none"}) as (client, platform):
        train(platform, "m1")
        train(platform, "m2", seed=2)
        deadline = time.monotonic() + 20
        while client.get("/readyz").json()["model_id"] != "m2":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for item in ("film-1", "film-5"):
            like = {"type": "like", "user_id": "u-1", "item_id": item}
            client.post("/v1/events", json=like).raise_for_status()
        yield str(client.base_url)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_every_answer_is_described(operation: Any, url: str) -> None:
    """No 5xx, no undocumented status, no answer against its schema."""
    ask(operation, url)


@pytest.mark.parametrize("recipe", ["platform-api", "rating-service"])
def test_so_are_those_of_recipes(recipe: str, tmp_path: Path) -> None:
    """The routes of a recipe keep to their description, too."""
    wanted = {"access": {"auth": "none", "registration": "open", "logins_per_minute": 10**6}}
    with served(tmp_path, recipe=recipe, **wanted) as (client, _):
        document = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        own = [
            found.ok()
            for found in document.get_all_operations()
            if not found.ok().path.startswith(("/v1", "/healthz", "/readyz", "/metrics"))
        ]
        assert len(own) >= 2
        for operation in own:
            ask(operation, str(client.base_url))


def ask(operation: Any, url: str) -> None:
    """Many requests that fit the operation, and as many that nearly do."""
    for mode in schemathesis.GenerationMode:
        ask_in(mode, operation, url)


def ask_in(mode: schemathesis.GenerationMode, operation: Any, url: str) -> None:
    """All that fit, or all that do not. An operation that takes nothing cannot be asked wrongly."""

    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    @settings(
        max_examples=max(CASES // 2, 1),
        deadline=None,
        database=None,
        derandomize=not SEED,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: schemathesis.Case, known: bool) -> None:
        if known:  # ask about something that exists
            case.path_parameters.update(
                {name: KNOWN[name] for name in case.path_parameters if name in KNOWN}
            )
        response = case.call(base_url=url)
        assert response.status_code not in TRUE_REFUSALS, response.text
        case.validate_response(response, checks=CHECKS)

    with suppress(Unsatisfiable):
        (seed(int(SEED))(one) if SEED else one)()

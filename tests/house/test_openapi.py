"""The API's description in the repository is what servers give, and its examples are true."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from tests.house.pages import ROOT

from nextup.entrypoints.api.examples import good_answer, load_examples, operations

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))
OPERATIONS = [
    pytest.param(path, operation, id=f"{method.upper()} {path}")
    for path, method, operation in operations(DOCUMENT)
]
SECRETS = "/v1/clients"  # its answers hold secrets: their examples are written by hand


def test_the_file_is_what_servers_give() -> None:
    """Whoever changes a route runs `make openapi`."""
    spec = importlib.util.spec_from_file_location("make_openapi", ROOT / "docs/make_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert json.loads(generator.document()) == DOCUMENT


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_every_operation_explains_itself(path: str, operation: Mapping[str, Any]) -> None:
    """A summary, a description, and an example of each JSON body and good answer."""
    assert operation["summary"]
    assert operation["description"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    answer = good_answer(operation)
    for content in (body, answer):
        if content is not None and not path.startswith(SECRETS) and path != "/v1/token":
            assert "example" in content or _examples(content["schema"]), path


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_examples_fit_their_schemas(path: str, operation: Mapping[str, Any]) -> None:
    """What is shown is what is sent: each example passes the schema beside it."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    for content in (body, good_answer(operation)):
        if content is not None and "example" in content:
            schema = content["schema"] | {"components": DOCUMENT["components"]}
            jsonschema_rs.validate(schema, content["example"])


def test_nothing_was_recorded_in_vain() -> None:
    """Every recorded example belongs to an operation."""
    known = {f"{method.upper()} {path}" for path, method, _ in operations(DOCUMENT)}
    assert load_examples().keys() <= known


def _examples(schema: Mapping[str, Any]) -> bool:
    reference = schema.get("$ref", "").removeprefix("#/components/schemas/")
    return bool(DOCUMENT["components"]["schemas"].get(reference, schema).get("examples"))

"""Examples for the OpenAPI document: what a server really answered, recorded by `make openapi`."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE = "examples.json"  # beside this module: {"GET /v1/items/{item_id}": {"request", "answer"}}
JSON = "application/json"


def with_examples(openapi: dict[str, Any]) -> dict[str, Any]:
    """The document with an example of each body and each good answer that was recorded."""
    recorded = load_examples()
    for path, method, operation in operations(openapi):
        found = recorded.get(f"{method.upper()} {path}", {})
        body = operation.get("requestBody", {}).get("content", {}).get(JSON)
        if body is not None and "request" in found:
            body["example"] = found["request"]
        answer = good_answer(operation)
        if answer is not None and "answer" in found:
            answer["example"] = found["answer"]
    return openapi


def operations(openapi: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation with its path and method."""
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def good_answer(operation: Mapping[str, Any]) -> dict[str, Any] | None:
    """The JSON of a good answer; None for an operation that has none."""
    for status, answer in operation["responses"].items():
        content: dict[str, Any] | None = answer.get("content", {}).get(JSON)
        if status.startswith("2") and content is not None:
            return content
    return None


def load_examples() -> dict[str, dict[str, Any]]:
    """What was recorded, by method and path."""
    text = (resources.files(__package__) / FILE).read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found

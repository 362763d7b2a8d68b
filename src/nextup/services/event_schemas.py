"""The JSON Schemas of events, as files in the package, and what they say to a person.

The files are the only description of an event's shape: the checker loads them, the docs show
them. Two things are put in from the settings: the bounds of a rating's value.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema_rs

from nextup.domain.tables import VALUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextup.domain.events import EventType
    from nextup.settings import Contracts

_BOUNDS = ("minimum", "maximum")
_SHOWN = 60  # characters of an offending value that a sentence quotes
_SENTENCES = 3  # a record with more faults than this names the first ones


class Broken(NamedTuple):
    """The rule a record broke and one sentence about it."""

    rule: str
    reason: str


@cache
def _shipped(event_type: EventType) -> str:
    name = f"{event_type.value}_event.schema.json"
    return (files("nextup") / "schemas" / "events" / name).read_text(encoding="utf-8")


def event_schema(event_type: EventType, contracts: Contracts) -> dict[str, Any]:
    """The JSON Schema of one type of event, with the settings' bounds of a rating."""
    schema: dict[str, Any] = json.loads(_shipped(event_type))
    value = schema["properties"].get(VALUE)
    if value is not None:
        value["minimum"], value["maximum"] = contracts.rating_min, contracts.rating_max
    return schema


class EventShape:
    """Checks records of one type against its schema. Safe to share between threads."""

    def __init__(self, event_type: EventType, contracts: Contracts) -> None:
        self._name = event_type.value
        self._schema = event_schema(event_type, contracts)
        self._validator = jsonschema_rs.Draft202012Validator(self._schema, validate_formats=True)
        self.fits = self._validator.is_valid  # the fast question; `broken` is the slow answer

    def broken(self, record: Mapping[str, Any]) -> Broken:
        """Why the record does not fit. Only for records of which `fits` is false."""
        errors = list(self._validator.iter_errors(record))
        only_bounds = all(_keyword(error) in _BOUNDS for error in errors)
        sentences = [self._sentence(error) for error in errors[:_SENTENCES]]
        more = len(errors) - _SENTENCES
        if more > 0:
            sentences.append(f"({more} more)")
        rule = "rating_out_of_range" if only_bounds else "schema"
        return Broken(rule, " ".join(sentences))

    def expected(self, field: str) -> str:
        """What the schema wants in a field, in words."""
        return _in_words(self._schema["properties"][field])

    def _sentence(self, error: jsonschema_rs.ValidationError) -> str:
        keyword = _keyword(error)
        details = error.kind.as_dict()
        if keyword == "required":
            return f"$.{details['property']} is required, and missing."
        if keyword == "additionalProperties":
            names = ", ".join(f"$.{name}" for name in details["unexpected"])
            return f"{names}: a {self._name} has no such field."
        path = ".".join(str(part) for part in error.instance_path)
        return f"$.{path}: expected {self.expected(path)}, got {quoted(error.instance)}."


def quoted(value: object) -> str:
    """A value as JSON, short enough for a sentence."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _keyword(error: jsonschema_rs.ValidationError) -> str:
    return str(error.schema_path[-1])


def _in_words(node: Mapping[str, Any]) -> str:
    if node.get("format") == "date-time":
        return "an RFC 3339 date-time with a time zone, such as 2026-03-01T20:15:00Z"
    if node.get("type") == "string":
        return (
            f"text of {node['minLength']} to {node['maxLength']} characters "
            "without control characters"
        )
    if node.get("type") == "number":
        return f"a number from {node['minimum']:g} to {node['maximum']:g}"
    if node.get("type") == "object":
        return f"an object with at most {node['maxProperties']} entries"
    return quoted(node.get("const"))

"""Every operation of the OpenAPI document as a request: a new endpoint is covered by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

PUBLIC = {("get", "/healthz"), ("get", "/readyz"), ("get", "/metrics"), ("post", "/v1/token")}


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    document: Mapping[str, Any]
    whole: Mapping[str, Any]

    @property
    def scope(self) -> str | None:
        """What it says that it needs; None for everybody's."""
        security = self.document.get("security")
        return security[0]["oauth2"][0] if security else None

    def send(self, client: httpx.Client, names: Mapping[str, str], **more: Any) -> httpx.Response:
        """With these values for whatever names something: in the path, the query and the body."""
        path = self.path
        query: dict[str, str] = {}
        for parameter in self.document.get("parameters", ()):
            name = parameter["name"]
            if parameter["in"] == "path":
                path = path.replace("{" + name + "}", quote(names.get(name, name), safe=""))
            elif parameter["in"] == "query" and name in names:
                query[name] = names[name]
        body = self.body(names)
        content = {} if body is None else {"json": body}
        return client.request(self.method, path, params=query, **content, **more)

    def body(self, names: Mapping[str, str]) -> Any:
        """The smallest that fits the schema, made of these values."""
        content = self.document.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            return None
        content = content["application/json"]
        if self.path.startswith("/v1/events"):
            event = {"type": "like", "user_id": names["user_id"], "item_id": names["item_id"]}
            return [event] if self.path.endswith("/batch") else event
        return _sample(content["schema"], self.whole, names, "")

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def operations(openapi: Mapping[str, Any]) -> Iterator[Operation]:
    """All, in the document's order."""
    for path, methods in openapi["paths"].items():
        for method, document in methods.items():
            yield Operation(method, path, document, openapi)


def _sample(schema: Any, whole: Any, names: Mapping[str, str], name: str) -> Any:
    """A value of the schema. What is named like one of the names is that; optional is left out,
    unless it names something."""
    if "$ref" in schema:
        return _sample(_resolved(schema["$ref"], whole), whole, names, name)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return _sample(schema[word][0], whole, names, name)
    kind = schema.get("type")
    if kind == "object":
        required = set(schema.get("required", ()))
        return {
            key: _sample(part, whole, names, key)
            for key, part in schema.get("properties", {}).items()
            if key in required or key in names or _singular(key) in names
        }
    if kind == "array":
        return [_sample(schema.get("items", {}), whole, names, _singular(name))]
    if kind == "string":
        return names.get(name, schema.get("enum", ["film-1"])[0])
    return {"integer": 1, "number": 1.0, "boolean": False}.get(kind)


def _singular(name: str) -> str:
    renamed = {"history": "item_id", "exclude": "item_id", "pin": "item_id", "items": "item_id"}
    return renamed.get(name, name.removesuffix("s"))


def _resolved(reference: str, whole: Any) -> Any:
    part = whole
    for word in reference.removeprefix("#/").split("/"):
        part = part[word]
    return part

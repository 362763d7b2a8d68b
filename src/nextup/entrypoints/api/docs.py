"""The API's description as one page that needs nothing from anywhere else."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

router = APIRouter()

STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
summary{cursor:pointer;padding:.4rem 0;font-family:ui-monospace,monospace}
summary b{display:inline-block;width:4.5rem}
summary i{font:.9rem system-ui;opacity:.7;margin-left:1rem}
details{border-bottom:1px solid #8886}
details>div{padding:0 0 1rem 4.5rem}
pre{overflow:auto;background:#8882;padding:.7rem;border-radius:.4rem}
td,th{text-align:left;vertical-align:top;padding:.1rem 1rem .1rem 0}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@router.get("/docs", include_in_schema=False)
def get_docs(request: Request) -> HTMLResponse:
    """Rendered from the OpenAPI document, which is at /openapi.json."""
    return HTMLResponse(page(request.app.openapi()), headers={"Content-Security-Policy": POLICY})


def page(openapi: Mapping[str, Any]) -> str:
    """The document as HTML; everything that came from elsewhere is escaped."""
    info = openapi["info"]
    return "\n".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width'>",
            f"<title>{escape(info['title'])}</title><style>{STYLE}</style>",
            f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
            f"<p>{escape(info.get('description', ''))}</p>",
            "<p>For machines: <a href=/openapi.json>openapi.json</a>.</p>",
            *_operations(openapi["paths"]),
            "</html>",
        ]
    )


def _operations(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            summary = operation.get("summary", "")
            about = operation.get("description") or summary
            yield (
                f"<details><summary><b>{method.upper()}</b> {escape(path)} "
                f"<i>{escape(summary)}</i></summary><div>"
                f"<p>{escape(about)}</p>{_parameters(operation)}{_body(operation)}"
                f"{_responses(operation)}</div></details>"
            )


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}"
        f"<td>{escape(_kind(one.get('schema', {})))}<td>{escape(one.get('description', ''))}"
        for one in operation.get("parameters", ())
    )
    return f"<table>{rows}</table>" if rows else ""


def _body(operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if not content:
        return ""
    shown = content.get("example", content.get("schema"))
    return f"<p>Body, JSON:</p><pre>{escape(json.dumps(shown, indent=2))}</pre>"


def _responses(operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{escape(status)}<td>{escape(answer.get('description', ''))}"
        for status, answer in operation.get("responses", {}).items()
    )
    return f"<table>{rows}</table>"


def _kind(schema: Mapping[str, Any]) -> str:
    options = schema.get("anyOf", [schema])
    return " or ".join(str(option["type"]) for option in options if "type" in option)

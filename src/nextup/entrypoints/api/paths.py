"""Ids in paths, whatever they are made of: `/v1/items/a%2Fb` is the item `a/b`.

Servers decode a path before anybody can see which of its slashes were part of an id. Here those
are marked before routes are matched, and `whole` puts them back into the id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

SLASH = "\udc2f"  # half a character: no decoded path can hold one


def whole(value: Any) -> Any:
    """The id as it was meant."""
    return value.replace(SLASH, "/") if isinstance(value, str) else value


class WholeIds:
    """Marks the encoded slashes of a path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Change the scope's path, where it must be."""
        if scope["type"] == "http":
            raw: bytes = scope.get("raw_path") or b""
            if b"%2f" in raw or b"%2F" in raw:
                scope["path"] = _marked(raw.split(b"?")[0])
        await self._app(scope, receive, send)


def _marked(raw: bytes) -> str:
    segments = raw.split(b"/")
    decoded = (unquote_to_bytes(segment).decode(errors="replace") for segment in segments)
    return "/".join(segment.replace("/", SLASH) for segment in decoded)

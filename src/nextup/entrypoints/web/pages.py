"""Hands out the pages and what they are made of; all they show comes from the API.

There is nothing to build: the browser loads the modules as they lie here. A page can do what its
visitor's client may do, and nothing on it runs that did not come from this server.
"""

from __future__ import annotations

from importlib import resources
from mimetypes import guess_type
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from nextup.domain.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

router = APIRouter(include_in_schema=False)

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # asked again each time, and answered 304 while it is the same
}
SUFFIXES = {".css", ".js", ".svg"}


@router.get("/")
def storefront() -> Response:
    """Where a person sees what the platform would show them."""
    return _answer("shop.html")


@router.get("/console")
def console() -> Response:
    """Where an operator sees how the platform does."""
    return _answer("console.html")


@router.get("/assets/{name:path}")
def asset(name: Annotated[str, Path(max_length=200)]) -> Response:
    """A stylesheet, a module or a picture."""
    return _answer(name, of=SUFFIXES)


def _answer(name: str, of: set[str] | None = None) -> Response:
    found = _find(name)
    suffix = name[name.rfind(".") :]
    if found is None or (of is not None and suffix not in of):
        raise NotFound(f"There is no page or asset '{name}'.")
    kind, _ = guess_type(name)
    return Response(found.read_bytes(), media_type=kind, headers=dict(HEADERS))


def _find(name: str) -> Traversable | None:
    """The file, walked to by its parts, so that no name leads out of the folder."""
    place = resources.files(__package__) / "assets"
    for part in name.split("/"):
        place = next((entry for entry in place.iterdir() if entry.name == part), None)  # type: ignore[assignment]
        if place is None or not (place.is_dir() or place.is_file()):
            return None
        if place.is_file():
            return place if name.endswith(part) else None
    return None

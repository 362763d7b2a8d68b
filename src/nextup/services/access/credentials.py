"""What a request shows to be let in: exactly one key or token, in one of two headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextup.domain.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable

AUTHORIZATION, API_KEY = b"authorization", b"x-api-key"
BEARER = b"bearer "
CURE = "Send `Authorization: Bearer <token or key>` or `X-API-Key: <key>`, once."
RENEW = "POST /v1/token gives a new token."


def shown(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The key or token among the headers of an ASGI scope, whose names are in lower case.

    Raises Unauthenticated where there is none, or more than one: a proxy and this server could
    each believe another one.
    """
    found = b""
    for name, value in headers:
        if name == AUTHORIZATION:
            secret = _of_bearer(value)
        elif name == API_KEY:
            secret = value
        else:
            continue
        if found or not secret:
            raise Unauthenticated(
                "The request shows more than one key, or an empty one.", cure=CURE
            )
        found = secret
    if not found:
        raise Unauthenticated("The request shows no key and no token.", cure=CURE)
    return found


def refused(why: str) -> Unauthenticated:
    """The error for a token that does not let in."""
    return Unauthenticated(f"The token {why}.", cure=RENEW)


def _of_bearer(value: bytes) -> bytes:
    if value[: len(BEARER)].lower() != BEARER:
        raise Unauthenticated("Only bearer tokens and keys are known here.", cure=CURE)
    return value[len(BEARER) :].strip()

"""A client's name and password, in any of the ways in which people send them."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec
from pydantic import ValidationError

from nextup.domain.clients import Scope
from nextup.domain.errors import InvalidInput
from nextup.entrypoints.api.clients_bodies import TokenRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

FORM = "application/x-www-form-urlencoded"
GRANTS = {"client_credentials", "password"}
FIELDS = 10  # of a form; more are none of ours
EXAMPLE = {"client_id": "shop", "password": "a long one, not guessed"}
CURE = 'Send {"client_id": ..., "password": ...}, or an OAuth2 form.'

_FORM_SCHEMA = {
    "type": "object",
    "properties": {
        "grant_type": {"type": "string", "enum": sorted(GRANTS)},
        "client_id": {"type": "string"},
        "client_secret": {"type": "string"},
        "username": {"type": "string"},
        "password": {"type": "string"},
        "scope": {"type": "string"},
    },
}
TOKEN_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": TokenRequest.model_json_schema(), "example": EXAMPLE},
            FORM: {
                "schema": _FORM_SCHEMA,
                "example": {
                    "grant_type": "client_credentials",
                    "client_id": EXAMPLE["client_id"],
                    "client_secret": EXAMPLE["password"],
                },
            },
        },
    }
}


class Credentials(NamedTuple):
    """Who somebody says they are. The password is for nobody's eyes: don't log this."""

    client_id: str
    password: str
    scopes: frozenset[Scope] | None  # None: all that the client has

    def __repr__(self) -> str:
        return f"Credentials({self.client_id!r})"


async def read_credentials(request: Request) -> Credentials:
    """Of JSON, an OAuth2 form, or an `Authorization: Basic` header beside a form.

    Raises InvalidInput for what does not fit or says things twice.
    """
    body = await request.body()
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    fields = _form(body) if kind == FORM else _json(body)
    basic = _basic(request.headers.getlist("authorization"))
    if basic is not None:
        if fields.keys() & {"client_id", "password"}:
            raise InvalidInput("The request names a client twice.", cure=CURE)
        fields = {**fields, **basic}
    try:
        asked = TokenRequest.model_validate(fields, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{where}: {first['msg']}.", cure=CURE) from None
    return Credentials(asked.client_id, asked.password, _scopes(asked.scope))


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        fields = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InvalidInput("The body is neither JSON nor a form.", cure=CURE) from None
    if not isinstance(fields, dict):
        raise InvalidInput("The body is not a JSON object.", cure=CURE)
    return fields


def _form(body: bytes) -> Mapping[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=FIELDS, errors="strict"
        )
    except ValueError:  # bad encodings too
        raise InvalidInput("The form cannot be read.", cure=CURE) from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidInput("The form says something twice.", cure=CURE)
    if fields.pop("grant_type", "client_credentials") not in GRANTS:
        raise InvalidInput("The grant_type is not known here.", cure=f"One of: {sorted(GRANTS)}.")
    renamed = {"username": "client_id", "client_secret": "password"}
    named = {renamed.get(name, name): value for name, value in fields.items()}
    if len(named) < len(fields):
        raise InvalidInput("The form says something twice.", cure=CURE)
    return named


def _basic(headers: list[str]) -> dict[str, str] | None:
    if not headers:
        return None
    scheme, _, encoded = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "basic":
        raise InvalidInput("Authorization: only Basic is known here, once.", cure=CURE)
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidInput("Authorization: the name and password cannot be read.") from None
    client_id, colon, password = text.partition(":")
    if not colon:
        raise InvalidInput("Authorization: the name and password cannot be read.")
    return {"client_id": unquote(client_id), "password": unquote(password)}


def _scopes(text: str | None) -> frozenset[Scope] | None:
    if text is None or not text.split():
        return None
    try:
        return frozenset(Scope(one) for one in text.split())
    except ValueError:
        known = " ".join(Scope)
        raise InvalidInput("The scope is not known.", cure=f"Of: {known}.") from None

"""Every error as a problem document (RFC 9457): type, title, status, detail, cure, request id."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from nextup.domain.errors import (
    BackendUnavailable,
    Forbidden,
    LimitReached,
    NextupError,
    Unauthenticated,
)
from nextup.entrypoints.api.bodies import Problem
from nextup.entrypoints.api.paths import whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
RETRY_AFTER_SECONDS = "1"
CHALLENGE = 'Bearer realm="nextup"'
SHOWN_ERRORS = 20  # wrong fields that a problem names
CURES = {
    404: "GET /docs lists what there is.",
    405: "GET /docs lists the methods of each path.",
    413: "Send several smaller requests.",
}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (400, "The request cannot be read."),
        (401, "Nobody knows who sends this: no key or token, or none that is good."),
        (403, "The caller does not have the scope that this needs."),
        (404, "It does not exist."),
        (409, "Something else is under way, or stands in the way."),
        (413, "The body is too large."),
        (422, "The request does not fit."),
        (429, "The caller has used up what they may do for now."),
        (503, "A backend does not answer; try again."),
        (507, "No space is left where the event must be kept."),
    )
}


PROBLEM_EXAMPLES: dict[int, dict[str, Any]] = {
    status: {
        "type": f"urn:nextup:problem:{HTTPStatus(status).phrase.lower().replace(' ', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "cure": cure,
        "request_id": "4f1d2c3b5a697887",
    }
    for status, detail, cure in (
        (401, "The token has expired.", "POST /v1/token gives a new one."),
        (
            403,
            "This needs the scope 'write', which client 'shop' does not have.",
            "An admin can give it: PATCH /v1/clients/{client_id}.",
        ),
        (
            429,
            "Client 'shop' may send 50 requests per second.",
            "Wait as long as Retry-After says.",
        ),
    )
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented errors of a route."""
    return {status: PROBLEMS[status] for status in statuses}


def problem(
    status: int,
    detail: str,
    *,
    request_id: str,
    cure: str = "",
    title: str = "",
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """One problem document."""
    title = title or HTTPStatus(status).phrase
    body = {
        "type": f"urn:nextup:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "cure": cure,
        "request_id": request_id,
        **members,
    }
    if errors is not None:
        body["errors"] = list(errors)
    extra = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra.setdefault("Retry-After", RETRY_AFTER_SECONDS)
    return Response(msgspec.json.encode(body), status, extra, MEDIA_TYPE)


def problem_of(error: NextupError, request_id: str) -> Response:
    """The document of an expected error, with the headers that belong to it."""
    return problem(
        error.status,
        error.message,
        cure=error.cure,
        request_id=request_id,
        headers=_headers_of(error),
    )


def _headers_of(error: NextupError) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": CHALLENGE}
    if isinstance(error, Forbidden):
        return {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope"'}
    if isinstance(error, LimitReached):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    return {}


def request_id(request: Request) -> str:
    """The id that the edge gave this request, and every answer and log line names."""
    return str(request.scope.get("request_id", ""))


def with_problem_types(openapi: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with problems under their own media type, where FastAPI knows only
    that of a route's good answers."""
    for methods in openapi["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                content = answer.get("content", {})
                if content.get("application/json", {}).get("schema") == PROBLEM_SCHEMA:
                    content[MEDIA_TYPE] = content.pop("application/json")
    return openapi


def install_problems(app: FastAPI) -> None:
    """Answer all errors in this way."""
    app.add_exception_handler(NextupError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _route(request: Request) -> str:
    """For logs: the route and not the path, which may hold a token."""
    return getattr(request.scope.get("route"), "path", None) or "unmatched"


async def _expected(request: Request, error: Exception) -> Response:
    assert isinstance(error, NextupError)
    if isinstance(error, BackendUnavailable):
        log.warning("%s %s: %s", request.method, _route(request), error)
    if (
        error.status == HTTPStatus.INTERNAL_SERVER_ERROR
    ):  # damaged data, a wrong setting: not theirs
        log.error("%s %s: %s", request.method, _route(request), error)
    return problem_of(error, request_id(request))


def _shown_path(request: Request) -> str:
    """The path as text that can be sent back, wherever it came from."""
    return str(whole(request.scope["path"]))[:200].encode(errors="replace").decode()


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    wrong = [
        {"where": ".".join(str(part) for part in one["loc"]), "what": one["msg"]}
        for one in found[:SHOWN_ERRORS]
    ]
    if found and found[0]["type"] == "json_invalid":
        return problem(
            400,
            "The body is not JSON.",
            cure="Send one JSON document in UTF-8.",
            errors=wrong,
            request_id=request_id(request),
        )
    first = wrong[0] if wrong else {"where": "request", "what": "does not fit"}
    return problem(
        422,
        f"{first['where']}: {first['what']}.",
        cure="GET /docs describes the request; a body needs Content-Type: application/json.",
        errors=wrong,
        request_id=request_id(request),
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {_shown_path(request)}."
    return problem(
        error.status_code,
        detail,
        cure=CURES.get(error.status_code, ""),
        headers=error.headers,
        request_id=request_id(request),
    )

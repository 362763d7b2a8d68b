"""What a request handler needs, handed to it by the app: who asks, and what answers them.

A router is included with the scope that its routes need. A handler asks for `Services` and gets
the caller's own tenant; without a caller there is none, so a route that nobody guards can reach
nobody's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from anyio.to_thread import run_sync
from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator

from nextup.domain.clients import Caller, Scope
from nextup.entrypoints.api.bodies import Id, Word
from nextup.entrypoints.api.metrics import Metrics
from nextup.entrypoints.api.paths import whole
from nextup.entrypoints.api.problems import PROBLEM_EXAMPLES, PROBLEMS
from nextup.services.contracts import require_integers
from nextup.services.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import APIRouter, FastAPI

    from nextup.services.access.guard import Guard
    from nextup.services.access.tenants import Tenants

CALLER, NEEDED = "nextup.caller", "nextup.needed"  # in the scope of a request that was let in
REFUSED = "nextup.refused"  # in the scope of one that was not, by whoever asked the guard first
READING = {"GET", "HEAD"}
REFUSALS = (401, 403, 429)

SCHEMES: Mapping[str, Any] = {
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key that `nextup client create` or POST /v1/clients told once.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of POST /v1/token, or a key.",
    },
    "oauth2": {
        "type": "oauth2",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/v1/token",
                "scopes": {
                    Scope.READ: "Lists, items and people.",
                    Scope.WRITE: "Send events; change items and people.",
                    Scope.OPERATE: "Runs, models, generations, quarantine.",
                    Scope.ADMIN: "Clients and their keys.",
                },
            }
        },
    },
}


class Needs:
    """Lets a request through to a route, or raises what the guard says."""

    def __init__(self, reading: Scope, changing: Scope) -> None:
        self._reading = reading
        self._changing = changing

    def scope_of(self, method: str) -> Scope:
        """What a request of this method needs."""
        return self._reading if method in READING else self._changing

    async def __call__(self, request: Request) -> None:
        """Remember who asks, for `Services`."""
        needed = self.scope_of(request.method)
        if REFUSED in request.scope:
            raise request.scope[REFUSED]
        if request.scope.get(NEEDED) is needed:  # asked, and counted, before the framework
            return
        guard: Guard = request.app.state.guard
        request.scope[CALLER] = guard.admit(request.scope["headers"], needed)
        request.scope[NEEDED] = needed


class Doors:
    """Includes routers in an app, and remembers what each of their routes needs."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.needed: dict[tuple[str, str], Scope] = {}  # by path and method

    def include(self, router: APIRouter, reading: Scope, changing: Scope | None = None) -> None:
        """Routes that read need one scope; those that change something another, or the same."""
        needs = Needs(reading, changing or reading)
        self._app.include_router(router, dependencies=[Depends(needs)])
        for route in router.routes:
            for method in getattr(route, "methods", None) or ():
                self.needed[getattr(route, "path", ""), method.lower()] = needs.scope_of(method)

    def include_public(self, router: APIRouter) -> None:
        """Routes that everybody may ask. `Services` is not to be had in them."""
        self._app.include_router(router)


def with_security(
    openapi: dict[str, Any], needed: Mapping[tuple[str, str], Scope]
) -> dict[str, Any]:
    """The OpenAPI document with what each operation needs, and how it is refused."""
    openapi.setdefault("components", {})["securitySchemes"] = dict(SCHEMES)
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            scope = needed.get((path, method))
            if scope is None:
                continue
            operation["security"] = [
                {"oauth2": [scope.value]},
                {"bearer": [scope.value]},
                {"api_key": [scope.value]},
            ]
            for status in REFUSALS:
                operation["responses"].setdefault(str(status), _refusal(status))
    return openapi


def _refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"schema": schema, "example": PROBLEM_EXAMPLES[status]}
    header = "Retry-After" if status == 429 else "WWW-Authenticate"
    headers = {header: {"schema": {"type": "string"}}} if status != 403 else {}
    return {
        "description": PROBLEMS[status]["description"],
        "headers": headers,
        "content": {"application/problem+json": content},
    }


async def _caller(request: Request) -> Caller:
    return caller_of(request)


def caller_of(request: Request) -> Caller:
    """Who asks. Only in routes that are included with a scope."""
    caller = request.scope[CALLER]
    assert isinstance(caller, Caller)
    return caller


async def serving_of(request: Request) -> Serving:
    """What answers the caller. Only in routes that are included with a scope."""
    tenants: Tenants = request.app.state.tenants
    caller, needed = caller_of(request), request.scope[NEEDED]
    found = tenants.at_hand(caller, needed)
    if found is None:  # its platform is opened and its model loaded
        found = await run_sync(tenants.serving, caller, needed)
    require_integers(request.path_params, found.settings.contracts)
    return found


async def _own_serving(request: Request) -> Serving:
    tenants: Tenants = request.app.state.tenants
    return tenants.own


async def _metrics(request: Request) -> Metrics:
    metrics = request.app.state.metrics
    assert isinstance(metrics, Metrics)
    return metrics


Asking = Annotated[Caller, Depends(_caller)]
Services = Annotated[Serving, Depends(serving_of)]
OwnServices = Annotated[Serving, Depends(_own_serving)]  # the server's, for its health
Measured = Annotated[Metrics, Depends(_metrics)]

UserId = Annotated[Id, BeforeValidator(whole), Path(examples=["u-1"])]
ItemId = Annotated[Id, BeforeValidator(whole), Path(examples=["film-alien-1979"])]
Limit = Annotated[int, Query(ge=1, le=200, description="Places on a page.")]
Kind = Annotated[Word | None, Query(description="Only items of this kind.", examples=["film"])]
Ids = Annotated[tuple[Id, ...], Query(max_length=200)]

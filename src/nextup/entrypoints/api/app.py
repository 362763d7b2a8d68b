"""The API over an open platform. Nothing is built at import."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from nextup import __version__
from nextup.domain.clients import Scope
from nextup.entrypoints.api import (
    clients,
    docs,
    health,
    items,
    operations,
    operations_data,
    operations_lists,
    recommendations,
    rerank,
    shelves,
    users,
)
from nextup.entrypoints.api.access import Doors, with_security
from nextup.entrypoints.api.delivery import Delivery
from nextup.entrypoints.api.edge import Edge
from nextup.entrypoints.api.events import event_router
from nextup.entrypoints.api.examples import with_examples
from nextup.entrypoints.api.hot import ROUTE as LISTS
from nextup.entrypoints.api.hot import Hot
from nextup.entrypoints.api.hot_events import PATH as EVENTS
from nextup.entrypoints.api.hot_events import HotEvents
from nextup.entrypoints.api.metrics import Metrics
from nextup.entrypoints.api.overload import Overload
from nextup.entrypoints.api.paths import WholeIds
from nextup.entrypoints.api.problems import install_problems, with_problem_types
from nextup.entrypoints.api.pulse import Pulse
from nextup.entrypoints.api.recipe_routes import include_recipe
from nextup.entrypoints.api.requests import Requests
from nextup.entrypoints.api.short_way import ShortWay
from nextup.entrypoints.api.tally import Tally
from nextup.entrypoints.api.tracing import Tracing
from nextup.entrypoints.api.turn import Turn
from nextup.entrypoints.api.vital_signs import VitalSigns
from nextup.entrypoints.web import charts, pages
from nextup.recipes.pipelines import pipelines_of
from nextup.services.access.accounts import Accounts
from nextup.services.access.guard import Guard
from nextup.services.access.tenants import Tenants
from nextup.services.operating.clicks import Clicks
from nextup.services.patience import PatientPorts
from nextup.services.serving import Serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.types import Receive, Send
    from starlette.types import Scope as AsgiScope

    from nextup.domain.events import LogRow
    from nextup.entrypoints.api.arrived import Arrived
    from nextup.services.access.rates import Rates
    from nextup.services.access.tenants import DeploymentPorts
    from nextup.services.recommending.changes import Changes
    from nextup.services.serving import Duty, ServingPorts
    from nextup.settings import Settings

ABOUT = (
    "Send what people do; get what each person should see next, and why. "
    "Errors are problem documents (RFC 9457) that say what to do."
)


CORS_SECONDS = 600  # that a browser remembers what it may do


class Early(NamedTuple):
    """What is answered without the framework, by a server that knows how."""

    lists: Hot
    events: HotEvents

    def meet(self, request: Arrived) -> bool:
        """Whether the request is answered, or will be."""
        return self.lists.meet(request) or self.events.meet(request)


class App(FastAPI):
    """FastAPI, with errors described as they are sent, and some requests answered before it."""

    early: Early | None = None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] == "http" and self.early is not None:
            await self.early.lists.answer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = with_examples(with_problem_types(super().openapi()))
            self.openapi_schema = with_security(document, self.state.needed)
        return self.openapi_schema


def _open_doors(app: FastAPI, settings: Settings) -> None:
    """Include every router, with the scope that its routes need."""
    doors = Doors(app)
    doors.include_public(health.router)
    doors.include_public(docs.router)
    doors.include_public(pages.router)
    doors.include_public(clients.token_router)
    for part in (recommendations, rerank, shelves):  # some are asked by POST, and change nothing
        doors.include(part.router, Scope.READ)
    doors.include(event_router(settings.contracts, settings.server.max_batch), Scope.WRITE)
    for part in (items, users):
        doors.include(part.router, Scope.READ, Scope.WRITE)
    for part in (operations, operations_data, operations_lists, charts):
        doors.include(part.router, Scope.OPERATE)
    doors.include(clients.router, Scope.ADMIN)
    include_recipe(app, doors, settings)
    app.state.needed = doors.needed


def create_app(
    ports: DeploymentPorts,
    *,
    changes: Changes | None = None,
    duties: Callable[[str], Duty] | None = None,
    rates: Rates | None = None,
) -> App:
    """The app. Its background work runs between start-up and shutdown; the platform is the
    caller's to close, those of other tenants are opened and closed here. For one of several
    workers, `changes` and `rates` are what they share, and `duties` gives each tenant's duty by
    its name."""
    ports = cast("DeploymentPorts", PatientPorts(ports))
    settings = ports.settings
    metrics = Metrics()
    guard = Guard(ports.clients, settings, rates=rates)
    clicks: list[Clicks] = []
    tenants = Tenants(
        ports, lambda ports: _serving(ports, metrics, clicks, changes=changes, duties=duties)
    )
    metrics.follow_model(lambda: tenants.own.watcher.current().created_at)
    pulse = Pulse(metrics, lambda: _settle(clicks))
    vitals = VitalSigns(ports, metrics)
    tracing = Tracing(settings.telemetry) if settings.telemetry.endpoint else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_sync(tenants.start)
        guard.start()
        pulse.start()
        vitals.start()
        yield
        await run_sync(vitals.stop)
        await run_sync(pulse.stop)
        await run_sync(guard.stop)
        await run_sync(tenants.stop)
        if tracing is not None:
            await run_sync(tracing.close)

    app = App(
        title="Nextup",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,  # the stock pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # an id may end in a slash
    )
    app.state.guard = guard
    app.state.tenants = tenants
    app.state.accounts = Accounts(ports.clients, settings)
    app.state.hashing = CapacityLimiter(clients.HASHING)
    app.state.ranking = CapacityLimiter(recommendations.RANKING)
    app.state.metrics = metrics
    app.state.pulse = pulse
    app.state.vitals = vitals
    install_problems(app)
    _open_doors(app, settings)
    app.add_middleware(Delivery, compress_bytes=settings.server.compress_bytes)
    app.add_middleware(WholeIds)
    if settings.server.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.server.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE", "PATCH"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "etag", "retry-after"],
            max_age=CORS_SECONDS,
        )
    app.add_middleware(Requests, logged=settings.logs.requests, tracing=tracing)
    overload = Overload(settings.server.max_in_flight, settings.server.max_wait_seconds)
    app.add_middleware(
        Edge, metrics=metrics, max_body_bytes=settings.server.max_body_bytes, overload=overload
    )
    if not settings.logs.requests and tracing is None:  # which must see every request
        turn = Turn(guard)
        lists = Tally(metrics, LISTS, "GET", 200)
        compress_bytes = settings.server.compress_bytes
        short_way = ShortWay(overload, app.state.ranking, lists, compress_bytes=compress_bytes)
        events = HotEvents(
            turn,
            tenants,
            Tally(metrics, EVENTS, "POST", 202),
            overload,
            compress_bytes=compress_bytes,
            max_body_bytes=settings.server.max_body_bytes,
        )
        framework = super(App, app).__call__
        app.early = Early(Hot(framework, turn, tenants, lists, short_way), events)
    return app


def _settle(clicks: list[Clicks]) -> None:
    for one in clicks:
        one.settle()


def _serving(
    ports: ServingPorts,
    metrics: Metrics,
    clicks: list[Clicks],
    *,
    changes: Changes | None,
    duties: Callable[[str], Duty] | None,
) -> Serving:
    """A tenant's, watched: what it takes in and what counts is measured, and so are its clicks."""
    theirs = Clicks(lambda: ports.online_state, metrics.count_click)
    clicks.append(theirs)

    def applied(rows: Sequence[LogRow]) -> None:
        metrics.observe_applied(rows)
        theirs.note(rows)

    return Serving(
        ports,
        on_applied=applied,
        on_outcome=metrics.count_outcome,
        changes=changes,
        duty=duties(ports.settings.tenant) if duties is not None else None,
        pipelines=pipelines_of(ports.settings),
    )

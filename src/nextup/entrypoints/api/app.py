"""The API over an open platform. Nothing is built at import."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio.to_thread import run_sync
from fastapi import FastAPI

from nextup import __version__
from nextup.entrypoints.api import docs, health, items, recommendations, users
from nextup.entrypoints.api.edge import Edge
from nextup.entrypoints.api.events import event_router
from nextup.entrypoints.api.metrics import Metrics
from nextup.entrypoints.api.problems import install_problems, with_problem_types
from nextup.services.serving import Serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nextup.services.serving import ServingPorts

ABOUT = (
    "Send what people do; get what each person should see next, and why. "
    "Errors are problem documents (RFC 9457) that say what to do."
)


class _App(FastAPI):
    """FastAPI, with errors described as they are sent."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = with_problem_types(super().openapi())
        return self.openapi_schema


def create_app(ports: ServingPorts) -> FastAPI:
    """The app. Its background work runs between start-up and shutdown; the platform is the
    caller's to close."""
    settings = ports.settings
    metrics = Metrics()
    serving = Serving(ports, on_applied=metrics.observe_applied, on_outcome=metrics.count_outcome)
    metrics.follow_model(lambda: serving.watcher.current().created_at)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_sync(serving.start)
        yield
        await run_sync(serving.stop)

    app = _App(
        title="Nextup",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,  # the stock pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.serving = serving
    app.state.metrics = metrics
    install_problems(app)
    app.include_router(health.router)
    app.include_router(docs.router)
    app.include_router(event_router(settings.contracts, settings.server.max_batch))
    for part in (recommendations, items, users):
        app.include_router(part.router)
    app.add_middleware(Edge, metrics=metrics, max_body_bytes=settings.server.max_body_bytes)
    return app
